// A needle in hay: does a model know, at the end of a text as long as its context, sentences that
// stood once somewhere in it? Cache, pages and positions of a long text are whole only if so.
#include <algorithm>
#include <array>
#include <cmath>
#include <span>

#include "eval/evaluation_text.h"
#include "golden/golden_support.h"
#include "quantize/quantize_model.h"
#include "support/temp_dir.h"
#include "tokenizer/tokenizer.h"

namespace quarot::test {

namespace {

using Ids = std::vector<int32_t>;

// The words before the bar are the cue.
constexpr std::array<std::string_view, 4> kNeedles = {
    " Mr. Quillfeather keeps the silver| lantern under the ninth stair of Harrow Tower.",
    " The password of the blue garden| is seven green horses and a broken violin.",
    " Old Captain Marrow buried his letters| beneath the third window of the chapel.",
    " On Thursday the baker's daughter| sold nine painted drums to the deaf miller."};
constexpr int64_t kPiece = 100;  // tokens a step, which is no multiple of a page

double surprise(std::span<const float> logits, int32_t id) {
    const float top = *std::max_element(logits.begin(), logits.end());
    double total = 0.0;
    for (const float x : logits) total += std::exp(static_cast<double>(x - top));
    return std::log(total) + top - logits[static_cast<size_t>(id)];
}

class Haystack {
  public:
    // As many needles as the test has time for.
    Haystack(const std::string& folder, const std::string& text, int64_t context,
             LoadedModel& model, size_t n_needles)
        : tokenizer_(tokenizer::Tokenizer::load(folder)),
          hay_(tokenizer_.encode(text, tokenizer::AddBos::Off)),
          context_(context),
          model_(model),
          needles_(std::span(kNeedles).first(n_needles)),
          without_(mean_surprise(kNowhere)) {}

    // Nats a token by which a needle that stood `at` so many tokens makes its second coming, at the
    // end of the context, less surprising; the mean of all needles.
    double gain(int64_t at) const { return without_ - mean_surprise(at); }

  private:
    static constexpr int64_t kNowhere = -1;
    double mean_surprise(int64_t at) const {
        double sum = 0.0;
        for (const std::string_view needle : needles_) sum += surprise_of(needle, at);
        return sum / static_cast<double>(needles_.size());
    }
    double surprise_of(std::string_view needle, int64_t at) const {
        const size_t bar = needle.find('|');
        const Ids cue = encode(needle.substr(0, bar)), rest = encode(needle.substr(bar + 1));
        Ids sentence = cue;
        sentence.insert(sentence.end(), rest.begin(), rest.end());
        Ids ids = hay_;
        ids.resize(static_cast<size_t>(context_) - sentence.size());
        if (at != kNowhere) std::copy(sentence.begin(), sentence.end(), ids.begin() + at);
        ids.insert(ids.end(), sentence.begin(), sentence.end());
        const std::vector<float> logits = all_logits(model_, ids, kPiece);
        const size_t vocab = logits.size() / ids.size();
        double sum = 0.0;
        for (size_t i = ids.size() - rest.size(); i < ids.size(); ++i) {
            sum += surprise(std::span(logits).subspan((i - 1) * vocab, vocab), ids[i]);
        }
        return sum / static_cast<double>(rest.size());
    }
    Ids encode(std::string_view text) const {
        return tokenizer_.encode(text, tokenizer::AddBos::Off);
    }

    tokenizer::Tokenizer tokenizer_;
    Ids hay_;
    int64_t context_;
    LoadedModel& model_;
    std::span<const std::string_view> needles_;
    double without_;
};

// The least gain of each place.
void expect_gains(const Haystack& hay, const std::vector<std::pair<int64_t, double>>& places) {
    for (const auto& [at, least] : places) {
        const double gain = hay.gain(at);
        std::printf("%.3f nats from %d on\n", gain, static_cast<int>(at));
        EXPECT_GE(gain, least) << at;
    }
}

class Needle : public testing::TestWithParam<std::string> {};

INSTANTIATE_TEST_SUITE_P(Recipes, Needle, testing::Values("none", "w8a8kv8", "w4a8kv4"),
                         [](const auto& test) { return test.param; });

}  // namespace

// A model of 8 million parameters finds little that is far away, but it finds it.
TEST_P(Needle, IsFoundWhereverItStands) {
    constexpr int64_t kContext = 1024;
    const TempDir dir;
    const std::string original = model_folder("tiny-novels");
    std::string folder = original;
    if (GetParam() != "none") {
        Recipe recipe = named_recipe(GetParam());
        recipe.weights.method = "rtn";
        folder = dir / "quantized";
        quantize::quantize_model(original, folder, {.recipe = recipe, .n_threads = 2});
    }
    LoadedModel model = load(folder, {.context = kContext});
    const std::string text = eval::read_evaluation_text(original + "/eval.txt", "raw");
    const Haystack hay(original, text.substr(0, 20000), kContext, model, kNeedles.size());
    expect_gains(hay, {{500, 0.05}, {800, 0.2}, {960, 0.4}});
}

// A cache of 8192 tokens, 128 pages.
TEST(NeedleInALongText, IsFoundWhereverItStands) {
    constexpr int64_t kContext = 8192;
    const std::string folder = model_folder("smollm2-135m");
    QUAROT_NEED(folder, "smollm2-135m (make models)");
    LoadedModel model = load(folder, {.context = kContext});
    const std::string text =
        eval::read_evaluation_text(model_folder("tiny-novels") + "/eval.txt", "raw");
    const Haystack hay(folder, text, kContext, model, 1);
    expect_gains(hay, {{100, 0.5}, {4000, 0.5}});
}

}  // namespace quarot::test

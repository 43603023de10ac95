// A model whose keys have large biases: in full precision it agrees with another implementation,
// and at 4 bits throughout it is of use, since the cache leaves those biases out.
#include <algorithm>
#include <array>

#include "eval/evaluation_text.h"
#include "eval/perplexity.h"
#include "golden/golden_support.h"
#include "quantize/quantize_model.h"
#include "support/temp_dir.h"
#include "tokenizer/tokenizer.h"

namespace quarot::test {

namespace {

constexpr const char* kModel = "qwen2.5-coder-0.5b";
constexpr int64_t kSeqlen = 1024;

class KeyBiasGain : public testing::Test {
  protected:
    void SetUp() override {
        folder_ = model_folder(kModel);
        reference_ = reference_folder(kModel);
        text_ = shared_data("eval/wikitext-2-raw/wiki.test.raw");
        QUAROT_NEED(folder_, kModel);
        QUAROT_NEED(reference_, std::string(kModel) + "'s reference values");
        QUAROT_NEED(text_, "wiki.test.raw");
        ids_ = tokenizer::Tokenizer::load(folder_).encode(eval::read_evaluation_text(text_, "raw"));
    }

    double perplexity(const std::string& folder, int64_t windows,
                      const SettingChanges& changes = {}) const {
        LoadedModel model = load(folder, {.context = kSeqlen, .changes = changes});
        return eval::perplexity(*model.engine, nullptr, ids_,
                                {.seqlen = kSeqlen, .max_windows = windows})
            .perplexity;
    }

    std::string folder_, reference_, text_;
    std::vector<int32_t> ids_;
};

}  // namespace

TEST_F(KeyBiasGain, FullPrecisionAgrees) {
    const auto json = io::Json::parse_file(reference_ + "/reference.json").at("perplexity");
    ASSERT_EQ(std::ssize(ids_), json.at("tokens").as_int());
    const io::Json& run = json.at("runs").as_array().at(0);
    ASSERT_EQ(run.at("seqlen").as_int(), kSeqlen);
    const double found = perplexity(folder_, run.at("windows").as_int());
    std::printf("full precision %.4f, stored %.4f\n", found, run.at("ppl").as_double());
    EXPECT_NEAR(found / run.at("ppl").as_double(), 1.0, 0.001);
}

TEST_F(KeyBiasGain, FourBitsThroughoutAreOfUse) {
    std::array<double, 4> found{};
    for (uint32_t seed = 0; seed < found.size(); ++seed) {
        const TempDir dir;
        Recipe recipe = named_recipe("quarot-rtn");
        recipe.rotation.seed = seed;
        quantize::quantize_model(folder_, dir / "w4", {.recipe = recipe, .n_threads = 2});
        found[seed] = perplexity(dir / "w4", 1);
        std::printf("seed %u: %.2f; keys with their bias %.2f\n", seed, found[seed],
                    perplexity(dir / "w4", 1, {{"k_bias", "keep"}}));
    }
    std::sort(found.begin(), found.end());
    EXPECT_LE((found[1] + found[2]) / 2.0, 30.0);
}

}  // namespace quarot::test

// Full-precision perplexity against another implementation's, run by run and window by window.
#include <cmath>

#include "eval/evaluation_text.h"
#include "eval/perplexity.h"
#include "golden/golden_support.h"
#include "tokenizer/tokenizer.h"

namespace quarot::test {

namespace {

constexpr double kRelative = 0.0005;

struct Stored {
    std::string folder;
    std::vector<int32_t> ids;
    io::Json runs;
};

// Text and stored runs of a model; an empty folder if something is not here.
Stored stored_runs(const std::string& name) {
    Stored stored;
    const std::string reference = reference_folder(name), folder = model_folder(name);
    if (reference.empty() || folder.empty()) return stored;
    const auto json = io::Json::parse_file(reference + "/reference.json");
    const std::string file = json.at("perplexity").at("text").as_string();
    std::string text = shared_data("text/" + file);
    if (text.empty()) text = shared_data("eval/wikitext-2-raw/" + file);
    if (text.empty()) return stored;
    stored.ids = tokenizer::Tokenizer::load(folder).encode(eval::read_evaluation_text(text, "raw"));
    EXPECT_EQ(static_cast<int64_t>(stored.ids.size()), json.at("perplexity").at("tokens").as_int());
    stored.runs = json.at("perplexity").at("runs");
    stored.folder = folder;
    return stored;
}

class ReferencePerplexity : public testing::TestWithParam<std::string> {};

}  // namespace

TEST_P(ReferencePerplexity, EveryStoredRunAgreesOnCpu) {
    const Stored stored = stored_runs(GetParam());
    QUAROT_NEED(stored.folder, GetParam() + " or its text");
    for (const auto& run : stored.runs.as_array()) {
        const int64_t seqlen = run.at("seqlen").as_int();
        LoadedModel model = load(stored.folder, {.context = seqlen});
        const auto result =
            eval::perplexity(*model.engine, nullptr, stored.ids,
                             {.seqlen = seqlen, .max_windows = run.at("windows").as_int()});
        const double expected = run.at("ppl").as_double();
        std::printf("%s seqlen %lld: %.6f, stored %.6f, relative %.1e\n", GetParam().c_str(),
                    static_cast<long long>(seqlen), result.perplexity, expected,
                    result.perplexity / expected - 1.0);
        EXPECT_NEAR(result.perplexity / expected, 1.0, kRelative);
        const auto& windows = run.at("window_nll").as_array();
        ASSERT_EQ(windows.size(), result.window_nll.size());
        for (size_t w = 0; w < windows.size(); ++w) {
            EXPECT_NEAR(result.window_nll[w], windows[w].as_double(), 2e-4) << "window " << w;
        }
    }
}

TEST_P(ReferencePerplexity, ReferenceBackendAgreesOnTheFirstWindows) {
    const Stored stored = stored_runs(GetParam());
    QUAROT_NEED(stored.folder, GetParam() + " or its text");
    const bool big = GetParam() == "smollm2-135m" || GetParam() == "qwen2.5-coder-0.5b";
    const int64_t seqlen = big ? 128 : 512;
    const int64_t windows = big ? 1 : 2;
    std::vector<double> nll[2];
    for (const int reference : {0, 1}) {
        LoadedModel model = load(
            stored.folder, {.device = reference == 1 ? "reference" : "cpu", .context = seqlen});
        nll[reference] = eval::perplexity(*model.engine, nullptr, stored.ids,
                                          {.seqlen = seqlen, .max_windows = windows})
                             .window_nll;
    }
    for (size_t w = 0; w < nll[0].size(); ++w) EXPECT_NEAR(nll[0][w], nll[1][w], 5e-5);
    for (const auto& run : stored.runs.as_array()) {
        if (run.at("seqlen").as_int() != seqlen) continue;
        for (size_t w = 0; w < nll[1].size(); ++w) {
            EXPECT_NEAR(nll[1][w], run.at("window_nll").as_array()[w].as_double(), 5e-4);
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Models, ReferencePerplexity,
                         testing::Values("tiny-novels", "stories260K", "smollm2-135m",
                                         "qwen2.5-coder-0.5b"),
                         [](const auto& test) {
                             std::string name = test.param;
                             std::erase_if(name, [](char c) { return c == '-' || c == '.'; });
                             return name;
                         });

}  // namespace quarot::test

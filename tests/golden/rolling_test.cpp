// Perplexities of documents in rolling windows against lm-evaluation-harness, which ran the same
// pages (make_rolling.py): several windows a page, marks of WikiText, a page of one line.
#include <gtest/gtest.h>

#include <cmath>

#include "eval/perplexity.h"
#include "golden/golden_support.h"
#include "support/checkout.h"

namespace quarot::test {

TEST(Rolling, EveryPageAgreesWithTheHarness) {
    const std::string folder = model_folder("tiny-novels"),
                      pages = in_checkout("tests/golden/rolling");
    const auto harness = io::Json::parse_file(pages + "/harness.json");
    const int64_t window = harness.at("window").as_int();
    const eval::ScoredText text = eval::cut_text(
        eval::read_documents(pages + "/pages.jsonl", "wikitext-jsonl"),
        tokenizer::Tokenizer::load(folder), {.protocol = eval::Protocol::LmEval, .seqlen = window});
    LoadedModel model = load(folder, {.context = window});
    eval::RowScorer scorer;
    const eval::PerplexityResult result = eval::measure_perplexity(*model.engine, text, scorer);

    const auto& expected = harness.at("loglikelihoods").as_array();
    ASSERT_EQ(text.documents.size(), expected.size());
    std::vector<double> loglikelihoods(expected.size());
    for (size_t w = 0; w < text.windows.size(); ++w) {
        loglikelihoods[static_cast<size_t>(text.windows[w].document)] -=
            result.window_nll[w] * static_cast<double>(text.windows[w].targets.size());
    }
    for (size_t i = 0; i < expected.size(); ++i) {
        EXPECT_EQ(text.documents[i].n_words, harness.at("words").as_array()[i].as_int());
        EXPECT_EQ(text.documents[i].n_bytes, harness.at("bytes").as_array()[i].as_int());
        EXPECT_NEAR(loglikelihoods[i] / expected[i].as_double(), 1.0, 1e-5) << "page " << i;
    }
    const auto expect_same = [&](const char* name, const eval::Mean& mean) {
        EXPECT_NEAR(mean.value / harness.at(name).as_double(), 1.0, 1e-5) << name;
    };
    expect_same("word_perplexity", result.rolling->word_perplexity);
    expect_same("byte_perplexity", result.rolling->byte_perplexity);
    expect_same("bits_per_byte", result.rolling->bits_per_byte);
}

}  // namespace quarot::test

#include "bench/paper_rows.h"

#include <gtest/gtest.h>

#include "bench/random_weights.h"
#include "kernels/backend.h"

namespace quarot::bench {
namespace {

TEST(PaperFigures, AreFoundBySizeAndBatchAlone) {
    const PaperTimes linear = paper_linear(8192, 28672, 1).value();
    EXPECT_NEAR(linear.dense / linear.quantized, 4.3, 0.05);  // as the text says
    EXPECT_EQ(paper_linear(8192, 28672, 32).value().rotated, 97.044);
    EXPECT_FALSE(paper_linear(28672, 8192, 1));
    EXPECT_FALSE(paper_linear(8192, 28672, 64));
    EXPECT_EQ(paper_attention(40, 16).value().quantized, 1.021);
    EXPECT_FALSE(paper_attention(48, 16));
    EXPECT_EQ(paper_prefill_ratio("llama-2-70b", 32), 3.33);
    EXPECT_FALSE(paper_prefill_ratio("llama-2-13b", 32));
    const PaperMemory memory = paper_memory("llama-2-70b", 16, 4096).value();
    EXPECT_NEAR(memory.dense / memory.quantized, 3.89, 0.005);
    EXPECT_FALSE(paper_memory("llama-2-70b", 16, 4095));
}

class PaperRows : public testing::Test {
  protected:
    // On a clock that shows a second more whenever it is asked, so that every step takes one.
    std::vector<PaperRow> rows(const PaperSizes& sizes) {
        const model::ModelConfig config = {.hidden = 64,
                                           .ffn = 96,
                                           .n_layers = 1,
                                           .n_heads = 4,
                                           .n_kv_heads = 2,
                                           .head_dim = 16,
                                           .vocab = 100,
                                           .max_positions = 1024};
        const auto model = [&](const Recipe& recipe) {
            return random_weights(config, recipe, 1024, "small", 1, *backend_);
        };
        const model::Weights dense = model(Recipe{});
        const model::Weights quantized = model(named_recipe("quarot-rtn"));
        double now = 0.0;
        return paper_rows(sizes, dense, quantized, 1, *backend_, [&] { return now += 1.0; });
    }

    const std::unique_ptr<kernels::Backend> backend_ = kernels::make_backend("cpu", {1, ""});
};

TEST_F(PaperRows, AreThoseOfEachTableInOrder) {
    std::vector<std::string> found;
    for (const PaperRow& row : rows({.shape = "llama-2-7b",
                               .batches = {2},
                               .prompt_tokens = 4,
                               .depth = 9,
                               .memory_batches = {16},
                               .memory_depths = {256}})) {
        found.push_back(std::to_string(row.table.value_or(0)) + " " + row.what + " " +
                        std::to_string(row.depth) + "+" + std::to_string(row.tokens));
        EXPECT_EQ(row.rotated.has_value(), row.table == 14 || row.table == 15) << row.what;
    }
    EXPECT_EQ(found,
              (std::vector<std::string>{"14 64 x 64 0+4", "14 64 x 96 0+4", "15 4 heads of 16 9+1",
                                        "16 prefill of a block 0+4", "0 decoding of a block 9+1",
                                        "17 memory of a block 256+1"}));
}

// The cpu backend's steps have 512 tokens: two prompts of 200 fit into one, five take 2.5 times
// that.
TEST_F(PaperRows, ABatchTakesAsMuchLongerAsItHasMorePromptsThanAStep) {
    for (const PaperRow& row :
         rows({.shape = "llama-2-7b", .batches = {1, 2, 5}, .prompt_tokens = 200, .depth = 9})) {
        if (row.table != 14 && row.table != 16) continue;
        EXPECT_NEAR(row.dense, row.batch == 5 ? 2500.0 : 1000.0, 1e-6) << row.batch;
        EXPECT_NEAR(row.ratio(), 1.0, 1e-9);
    }
}

TEST_F(PaperRows, OfMemoryAreWeightsAndCacheOfOneBlockInWholePages) {
    const PaperRow row = rows({.shape = "llama-2-7b",
                               .batches = {1},
                               .prompt_tokens = 4,
                               .depth = 9,
                               .memory_batches = {2},
                               .memory_depths = {100}})
                             .back();
    const double weights = 2.0 * (2 * 64 * 64 + 2 * 32 * 64 + 3 * 96 * 64);
    const auto cache = static_cast<double>(
        backend_->kv_bytes({.n_layers = 1, .n_kv_heads = 2, .head_dim = 16}, 2 * 2).value());
    EXPECT_NEAR(row.dense, 1e-9 * (weights + cache), 1e-12);
    EXPECT_GT(row.ratio(), 3.0);
}

TEST_F(PaperRows, StandBesideThePaperOnlyWhereSizesAreEqual) {
    for (const PaperRow& row : rows({.shape = "llama-2-7b",
                               .batches = {1},
                               .prompt_tokens = 4,
                               .depth = 9,
                               .memory_batches = {1},
                               .memory_depths = {256}})) {
        EXPECT_FALSE(row.paper_ratio) << row.what;
        EXPECT_EQ(row.paper.has_value(), row.table == 17) << row.what;
    }
}

}  // namespace
}  // namespace quarot::bench

// Ranks of a tensor-parallel group, as threads: the same bits on 1, 2 and 4 of them where a recipe
// has blocks, nearly the same in full precision, and a refusal where a recipe spans them.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/error.h"
#include "folder/load_weights.h"
#include "folder/quarot_folder_for_tests.h"
#include "kernels/group.h"
#include "model/forward.h"
#include "model/shard.h"
#include "runtime/engine.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace quarot::test {

namespace {

constexpr int64_t kTokens = 37;

TinyModelOptions shape() {
    return {.hidden = 64,
            .ffn = 192,
            .n_heads = 8,
            .n_kv_heads = 4,
            .head_dim = 16,
            .attention_bias = true,
            .mlp_bias = true};
}

model::Batch one_sequence() {
    model::Batch batch;
    for (int32_t i = 0; i < kTokens; ++i) {
        batch.token_ids.push_back((i * i * 31 + i * 7 + 3) % 256);
        batch.positions.push_back(i);
        batch.logit_rows.push_back(i);
    }
    batch.first_token.push_back(kTokens);
    batch.context_lengths.push_back(kTokens);
    batch.pages = {0};
    batch.first_page.push_back(1);
    return batch;
}

float max_abs(const std::vector<float>& values) {
    float most = 0.0f;
    for (const float value : values) most = std::max(most, std::fabs(value));
    return most;
}

float max_abs_difference(std::vector<float> a, const std::vector<float>& b) {
    for (size_t i = 0; i < a.size(); ++i) a[i] -= b[i];
    return max_abs(a);
}

class Ranks : public testing::TestWithParam<std::string> {
  protected:
    Ranks() {
        write_tiny_model(in_, shape());
        const Recipe recipe = with_column_blocks(named_recipe("quarot-rtn"),
                                                 folder::SourceModel::open(in_).config(), 4);
        write_model(make_quarot_model(shape(), recipe), blocked_);
    }

    // Logits of all positions on each rank of a group.
    std::vector<std::vector<float>> logits_on(const std::string& folder, int size) {
        const auto source = folder::SourceModel::open(folder);
        std::vector<kernels::Rank> group = kernels::make_group(GetParam(), {.n_threads = 1}, size);
        std::vector<std::vector<float>> logits(static_cast<size_t>(size));
        kernels::run_ranks(group, [&](kernels::Rank& rank) {
            logits[static_cast<size_t>(rank.comm->rank())] = run(source, rank);
        });
        return logits;
    }

    static std::vector<float> run(const folder::SourceModel& source, kernels::Rank& rank) {
        kernels::Backend& backend = *rank.backend;
        const model::Weights weights = folder::load_weights(
            source, {}, 64, backend, {.rank = rank.comm->rank(), .size = rank.comm->size()});
        const auto kv = backend.make_kv_store(weights.kv_descriptor(), 1);
        model::StepMemory memory(weights, {.tokens = kTokens, .logit_rows = kTokens}, backend);
        const model::Batch batch = one_sequence();
        enqueue_step(weights, memory.upload(batch), memory, *kv, backend, *rank.comm);
        const kernels::Rows rows = enqueue_logits(weights, memory, 0, kTokens, backend, *rank.comm);
        EXPECT_TRUE(finish_step(batch, memory).empty());
        std::vector<float> logits(static_cast<size_t>(rows.rows * rows.cols));
        for (int64_t r = 0; r < rows.rows; ++r) {
            backend.download(logits.data() + r * rows.cols, rows.f32(r), rows.cols * 4);
        }
        return logits;
    }

    TempDir dir_;
    std::string in_ = dir_ / "in", blocked_ = dir_ / "blocked";
};

TEST_P(Ranks, ABlockedRecipeGivesTheSameBitsOnAnyNumberOfRanks) {
    const std::vector<float> expected = logits_on(blocked_, 1).front();
    EXPECT_GT(max_abs(expected), 0.1f);
    for (const int size : {2, 4}) {
        for (const auto& logits : logits_on(blocked_, size)) EXPECT_EQ(logits, expected) << size;
    }
}

// A rank reads rows of the whole matrix, and multiplies its own.
TEST_P(Ranks, ATiedMatrixOfCodesGivesTheSameBitsOnAnyNumberOfRanks) {
    TinyModelOptions options = shape();
    options.tied = true;
    Recipe recipe =
        with_column_blocks(named_recipe("w4a8kv4"), folder::SourceModel::open(in_).config(), 4);
    const std::string tied = dir_ / "tied";
    write_model(make_quarot_model(options, recipe), tied);
    const std::vector<float> expected = logits_on(tied, 1).front();
    EXPECT_GT(max_abs(expected), 0.1f);
    for (const int size : {2, 4}) {
        for (const auto& logits : logits_on(tied, size)) EXPECT_EQ(logits, expected) << size;
    }
}

TEST_P(Ranks, FullPrecisionDiffersByRounding) {
    const std::vector<float> expected = logits_on(in_, 1).front();
    for (const int size : {2, 4}) {
        for (const auto& logits : logits_on(in_, size)) {
            EXPECT_LE(max_abs_difference(logits, expected), 1e-5f * max_abs(expected)) << size;
        }
    }
}

// Of a network whose o and down give nothing but their biases, so that one counted twice is seen.
TEST_P(Ranks, BiasesOfOAndDownAreAddedOnce) {
    TinyModel model = make_tiny_model(shape());
    for (auto& [name, tensor] : model.tensors) {
        const bool adds = name.find("o_proj") != name.npos || name.find("down_proj") != name.npos;
        if (!adds) continue;
        std::vector<float> values(values_of(tensor).size(), 0.0f);
        if (name.ends_with(".bias")) {
            for (size_t i = 0; i < values.size(); ++i) values[i] = i % 3 == 0 ? 1.0f : -0.5f;
        }
        tensor = make_stored_tensor(DType::F32, tensor.shape, values);
    }
    const std::string folder = dir_ / "biases";
    write_model(model, folder);
    const std::vector<float> expected = logits_on(folder, 1).front();
    for (const int size : {2, 4}) {
        for (const auto& logits : logits_on(folder, size)) {
            EXPECT_LE(max_abs_difference(logits, expected), 1e-5f * max_abs(expected)) << size;
        }
    }
}

TEST_P(Ranks, AnEngineRunsABlockedRecipeOnOneRank) {
    const auto backend = kernels::make_backend(GetParam(), {.n_threads = 2});
    const model::Weights weights =
        folder::load_weights(folder::SourceModel::open(blocked_), {}, 64, *backend);
    runtime::Engine engine(weights, *backend, {.context = 64});
    std::vector<float> logits(static_cast<size_t>(kTokens * weights.config.vocab));
    runtime::ScopedRequest request(
        engine,
        {.tokens = one_sequence().token_ids,
         .max_tokens = kTokens,
         .logits = runtime::LogitsWanted::All,
         .shares_prefix = false},
        [&](const runtime::StepRows& rows) { rows.logits(0, rows.size(), logits); });
    request.wait();
    EXPECT_EQ(logits, logits_on(blocked_, 1).front());
}

TEST_P(Ranks, AnEngineOfOneRankRefusesAPartOfTheWeights) {
    const auto backend = kernels::make_backend(GetParam(), {.n_threads = 1});
    const model::Weights part = folder::load_weights(folder::SourceModel::open(blocked_), {}, 64,
                                                     *backend, {.rank = 0, .size = 2});
    EXPECT_THROW(runtime::Engine(part, *backend, {.context = 64}), Error);
}

TEST_P(Ranks, WhatSpansTheRanksIsRefused) {
    const std::string whole = dir_ / "whole";
    write_model(make_quarot_model(shape(), named_recipe("quarot-rtn")), whole);
    for (const auto& [folder, size] : {std::pair{whole, 2}, {blocked_, 8}, {in_, 3}}) {
        try {
            logits_on(folder, size);
            ADD_FAILURE() << "no error on " << size;
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::Unsupported) << error.what();
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Backends, Ranks, testing::Values("reference", "cpu"),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace quarot::test

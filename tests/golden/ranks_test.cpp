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
#include "runtime/model_group.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"
#include "support/watched_backend.h"

namespace quarot::test {

namespace {

constexpr int64_t kTokens = 37;
constexpr int64_t kLongPrompt = 101;  // of rows that GPUs share
constexpr int64_t kContext = 128;

TinyModelOptions shape() {
    return {.hidden = 64,
            .ffn = 192,
            .n_heads = 8,
            .n_kv_heads = 4,
            .head_dim = 16,
            .attention_bias = true,
            .mlp_bias = true};
}

std::vector<int32_t> some_tokens(int64_t n) {
    std::vector<int32_t> tokens;
    for (int32_t i = 0; i < n; ++i) tokens.push_back((i * i * 31 + i * 7 + 3) % 256);
    return tokens;
}

model::Batch one_sequence() {
    model::Batch batch;
    batch.token_ids = some_tokens(kTokens);
    for (int32_t i = 0; i < kTokens; ++i) {
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

    void SetUp() override {
        if (GetParam() == "cuda" && kernels::gpus().size() < 2) GTEST_SKIP() << "needs two GPUs";
    }

    // 2 and 4, as far as there are so many GPUs.
    static std::vector<int> group_sizes() {
        const bool only_two = GetParam() == "cuda" && kernels::gpus().size() < 4;
        return only_two ? std::vector{2} : std::vector{2, 4};
    }

    // Logits of all positions on each rank of a group.
    std::vector<std::vector<float>> logits_on(const std::string& folder, int size) {
        const auto source = folder::SourceModel::open(folder);
        std::vector<kernels::Rank> group =
            kernels::make_group(GetParam(), {.n_threads = 1, .work = DType::F32}, size);
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
    for (const int size : group_sizes()) {
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
    for (const int size : group_sizes()) {
        for (const auto& logits : logits_on(tied, size)) EXPECT_EQ(logits, expected) << size;
    }
}

TEST_P(Ranks, FullPrecisionDiffersByRounding) {
    const std::vector<float> expected = logits_on(in_, 1).front();
    for (const int size : group_sizes()) {
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
    for (const int size : group_sizes()) {
        for (const auto& logits : logits_on(folder, size)) {
            EXPECT_LE(max_abs_difference(logits, expected), 1e-5f * max_abs(expected)) << size;
        }
    }
}

TEST_P(Ranks, AnEngineRunsABlockedRecipeOnOneRank) {
    const auto backend = kernels::make_backend(GetParam(), {.n_threads = 2, .work = DType::F32});
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

// Shares the rows of every step, as GPUs share those of long ones.
class SharingComm final : public comm::Comm {
  public:
    explicit SharingComm(std::shared_ptr<comm::Comm> inner) : inner_(std::move(inner)) {}
    int rank() const override { return inner_->rank(); }
    int size() const override { return inner_->size(); }
    void sum(Rows rows) override { inner_->sum(rows); }
    void gather_columns(Rows part, Rows whole) override { inner_->gather_columns(part, whole); }
    bool shares_rows(int64_t) const override { return true; }
    void gather_rows(Rows rows) override { inner_->gather_rows(rows); }
    void maximum(float* values, int64_t n) override { inner_->maximum(values, n); }
    void broadcast(void* data, int64_t bytes) override { inner_->broadcast(data, bytes); }
    void leave() override { inner_->leave(); }

  private:
    std::shared_ptr<comm::Comm> inner_;
};

// What engines of several ranks give: logits, likeliest tokens and log-probabilities, of a prompt
// and of tokens after it.
class EngineOfRanks : public Ranks {
  protected:
    struct Answers {
        std::vector<float> logits;
        std::vector<int32_t> best;
        std::vector<double> log_probabilities;
        bool operator==(const Answers&) const = default;
    };

    static runtime::ModelGroup::Load load_of(const std::string& folder) {
        return [folder](const model::Shard& shard, kernels::Backend& backend) {
            return folder::load_weights(folder::SourceModel::open(folder), {}, kContext, backend,
                                        shard);
        };
    }
    static runtime::ModelGroup load(const std::string& folder, int size) {
        return {kernels::make_group(GetParam(), {.n_threads = 1, .work = DType::F32}, size),
                load_of(folder)};
    }

    static Answers answers_of(runtime::Engine& engine) {
        Answers all;
        const auto vocab = static_cast<size_t>(engine.weights().config.vocab);
        runtime::ScopedRequest request(
            engine, {.tokens = some_tokens(kLongPrompt), .max_tokens = kLongPrompt + 3},
            [&](const runtime::StepRows& rows) {
                const int64_t last = rows.size() - 1;
                const std::vector<int32_t> target = {7};
                all.logits.resize(all.logits.size() + vocab);
                rows.logits(last, 1, std::span(all.logits).last(vocab));
                all.best.push_back(rows.best(last));
                all.log_probabilities.emplace_back();
                rows.log_probabilities(target, std::span(all.log_probabilities).last(1));
            });
        request.wait();
        for (const int32_t token : {5, 7, 9}) {
            request.give(token);
            request.wait();
        }
        return all;
    }
};

TEST_P(EngineOfRanks, GivesTheBitsOfOneRank) {
    const runtime::ModelGroup alone = load(blocked_, 1);
    runtime::Engine one(alone.ranks(), {.context = kContext});
    const Answers expected = answers_of(one);
    EXPECT_EQ(expected.best.size(), 4u);
    for (const int size : group_sizes()) {
        const runtime::ModelGroup group = load(blocked_, size);
        runtime::Engine engine(group.ranks(), {.context = kContext});
        EXPECT_EQ(answers_of(engine), expected) << size;
        EXPECT_EQ(engine.cache_bytes(), one.cache_bytes()) << "each rank has its heads";
    }
}

TEST_P(EngineOfRanks, GivesTheBitsOfOneRankWhereRowsAreShared) {
    if (GetParam() == "cuda") GTEST_SKIP() << "shares rows by itself";
    const runtime::ModelGroup alone = load(blocked_, 1);
    runtime::Engine one(alone.ranks(), {.context = kContext});
    std::vector<kernels::Rank> ranks = kernels::make_group(GetParam(), {.n_threads = 1}, 4);
    for (kernels::Rank& rank : ranks) rank.comm = std::make_shared<SharingComm>(rank.comm);
    const runtime::ModelGroup group(std::move(ranks), load_of(blocked_));
    runtime::Engine engine(group.ranks(), {.context = kContext});
    EXPECT_EQ(answers_of(engine), answers_of(one));
}

// One that waits for it for ever would not end this test.
TEST_P(EngineOfRanks, ARankThatFailsFailsTheStepAndAllLaterOnes) {
    std::vector<kernels::Rank> ranks = kernels::make_group(GetParam(), {.n_threads = 1}, 2);
    auto watched = std::make_unique<WatchedBackend>(std::move(ranks[1].backend));
    WatchedBackend& second = *watched;
    second.records = ranks[0].backend->traits().records;
    ranks[1].backend = std::move(watched);
    const runtime::ModelGroup group(std::move(ranks), load_of(blocked_));
    runtime::Engine engine(group.ranks(), {.context = kContext});
    second.n_linears_left = 5;  // of the first step, which is the one that recording calls
    for (const char* message : {"fell off its bus", "has failed in an earlier step"}) {
        try {
            answers_of(engine);
            ADD_FAILURE() << "no error";
        } catch (const Error& error) {
            EXPECT_NE(std::string(error.what()).find(message), std::string::npos) << error.what();
        }
    }
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
        if (GetParam() == "cuda" && size > 2) continue;  // refused for want of GPUs
        try {
            logits_on(folder, size);
            ADD_FAILURE() << "no error on " << size;
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::Unsupported) << error.what();
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Backends, Ranks, testing::Values("reference", "cpu", "cuda"),
                         [](const auto& test) { return test.param; });
INSTANTIATE_TEST_SUITE_P(Backends, EngineOfRanks, testing::Values("reference", "cpu", "cuda"),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace quarot::test

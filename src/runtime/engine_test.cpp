// Requests of many clients in one engine: the same bits as alone, failures that stay where they
// arose, and no memory taken after it was made.
#include "runtime/engine.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "core/error.h"
#include "kernels/backend.h"
#include "runtime/generate.h"
#include "runtime/tokens_for_tests.h"
#include "support/model_weights.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"
#include "support/watched_backend.h"

namespace quarot::runtime {

namespace {

constexpr int64_t kContext = 160;

struct Setting {
    std::string device;
    kernels::KvAxis k_axis = kernels::KvAxis::Token;
};

// The tiny model with 4-bit activations and cache, so that the same tokens give the same bits in
// any company.
class EngineTest : public testing::TestWithParam<Setting> {
  protected:
    EngineTest() {
        test::write_tiny_model(dir_ / "model");
        weights_ = load(4);
    }
    // With activations and cache of so many bits.
    model::Weights load(int bits) {
        model::Weights weights = test::load_model(dir_ / "model", kContext, backend_);
        weights.recipe.activations.bits = weights.recipe.k.bits = weights.recipe.v.bits = bits;
        weights.recipe.k.axis = GetParam().k_axis;
        return weights;
    }

    // Logits after the tokens, of an engine that runs nothing else.
    std::vector<float> alone(const std::vector<int32_t>& tokens) {
        Engine engine(weights_, backend_, {.context = kContext});
        return logits_after(engine, tokens);
    }
    std::vector<float> logits_after(Engine& engine, const std::vector<int32_t>& tokens) {
        std::vector<float> logits(static_cast<size_t>(weights_.config.vocab));
        ScopedRequest request(engine, {.tokens = tokens, .max_tokens = kContext}, copy_to(logits));
        request.wait();
        return logits;
    }
    static Look copy_to(std::vector<float>& logits) {
        return [&logits](const StepRows& rows) { rows.logits(rows.size() - 1, 1, logits); };
    }
    // Token `id` has an embedding of NaN from now on.
    void poison(int32_t id) {
        const int64_t vocab = weights_.config.vocab, hidden = weights_.config.hidden;
        auto table = std::make_shared<Tensor>(DType::F32, Shape{vocab, hidden});
        for (int64_t i = 0; i < vocab * hidden; ++i) {
            table->as<float>()[i] = i / hidden == id ? NAN : std::sin(static_cast<float>(i % 1009));
        }
        weights_.embedding = backend_.prepare_embedding(std::move(table));
    }
    template <typename Run>
    void expect_error(ErrorCode code, const std::string& text, const Run& run) {
        try {
            run();
            ADD_FAILURE() << "no error";
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), code);
            EXPECT_NE(std::string(error.what()).find(text), std::string::npos) << error.what();
        }
    }

    test::TempDir dir_;
    test::WatchedBackend backend_{kernels::make_backend(GetParam().device, {.n_threads = 2})};
    model::Weights weights_;
};

TEST_P(EngineTest, ABatchOfSixteenTakesNoMemoryAndGivesTheBitsOfEachAlone) {
    Engine engine(weights_, backend_, {.context = kContext, .sequences = 16});
    std::vector<std::vector<float>> logits(
        16, std::vector<float>(static_cast<size_t>(weights_.config.vocab)));
    std::vector<std::unique_ptr<ScopedRequest>> requests;
    backend_.refuses_allocation = true;
    for (int32_t i = 0; i < 16; ++i) {
        requests.push_back(std::make_unique<ScopedRequest>(
            engine, Request{.tokens = tokens_of(i, 3 + 9 * i), .max_tokens = kContext},
            copy_to(logits[static_cast<size_t>(i)])));
    }
    for (const auto& request : requests) request->wait();
    for (const auto& request : requests) request->give(5);
    for (const auto& request : requests) request->wait();
    backend_.refuses_allocation = false;
    for (int32_t i = 0; i < 16; i += 5) {
        std::vector<int32_t> tokens = tokens_of(i, 3 + 9 * i);
        tokens.push_back(5);
        EXPECT_EQ(logits[static_cast<size_t>(i)], alone(tokens)) << i;
    }
}

TEST_P(EngineTest, GenerationTakesNoMemoryAfterTheEngineIsMade) {
    Engine engine(weights_, backend_, {.context = kContext});
    backend_.refuses_allocation = true;
    const GenerateOptions options = {.max_new_tokens = 20};
    const auto result = generate(engine, tokens_of(1, 70), options, [](int32_t) { return true; });
    EXPECT_EQ(result.ids.size(), 20u);
    std::vector<double> scores(90);
    ScopedRequest request(
        engine,
        {.tokens = tokens_of(3, 90),
         .max_tokens = 90,
         .logits = LogitsWanted::All,
         .shares_prefix = false},
        [&](const StepRows& rows) { rows.log_probabilities(tokens_of(4, rows.size()), scores); });
    request.wait();
    EXPECT_LT(scores.back(), 0.0);
}

TEST_P(EngineTest, ARecordedStepReplayedOnAnotherBatchGivesTheBitsOfAFreshOne) {
    const model::StepSize size = {.tokens = 64, .sequences = 4, .pages = 3, .logit_rows = 4};
    const std::vector<int32_t> a = tokens_of(1, 3), b = tokens_of(2, 2), c = tokens_of(3, 4),
                               d = tokens_of(4, 1), e = tokens_of(5, 3);
    const std::vector<PageId> first = {4}, second = {7}, third = {0};
    const StepPlan plans[] = {{{{0, 0, a, first, LogitsWanted::Last, 0, 0},
                                {1, 0, b, second, LogitsWanted::Last, 0, 1},
                                {2, 0, d, third, LogitsWanted::Last, 0, 2}}},
                              {{{3, 0, c, second, LogitsWanted::Last, 0, 1},
                                {4, 0, d, third, LogitsWanted::Last, 0, 2},
                                {0, 3, e, first, LogitsWanted::Last, 0, 0}}}};
    const auto logits_of = [&](bool records) {
        backend_.records = records;
        Executor executor(one_rank(weights_, backend_), size, 8);
        std::vector<float> logits(static_cast<size_t>(3 * weights_.config.vocab));
        for (const StepPlan& plan : plans) executor.run(plan);
        executor.logits(0, 3, logits);
        return logits;
    };
    const std::vector<float> fresh = logits_of(false);
    EXPECT_EQ(backend_.n_recordings, 0);
    EXPECT_EQ(logits_of(true), fresh);
    EXPECT_EQ(backend_.n_recordings, 1) << "6 and 8 tokens are steps of one size";
}

TEST_P(EngineTest, ANanEndsItsOwnRequestAlone) {
    poison(7);
    for (const bool quantized : {true, false}) {
        if (!quantized) {
            weights_ = load(16);
            poison(7);
        }
        Engine engine(weights_, backend_, {.context = kContext, .sequences = 3});
        const std::vector<int32_t> a = {1, 2, 3}, b = {4, 7, 5, 6}, c = {8, 9};
        std::vector<float> logits_a(static_cast<size_t>(weights_.config.vocab)),
            logits_b = logits_a, logits_c = logits_a;
        ScopedRequest first(engine, {.tokens = a, .max_tokens = 9}, copy_to(logits_a));
        ScopedRequest second(engine, {.tokens = b, .max_tokens = 9}, copy_to(logits_b));
        ScopedRequest third(engine, {.tokens = c, .max_tokens = 9}, copy_to(logits_c));
        expect_error(ErrorCode::Numeric,
                     quantized ? "NaN or Inf in layer 0 at the input of q, k and v"
                               : "NaN or Inf among the logits",
                     [&] { second.wait(); });
        first.wait();
        third.wait();
        if (quantized) {
            EXPECT_EQ(logits_a, alone(a));
            EXPECT_EQ(logits_c, alone(c));
        }
        first.give(3);
        third.give(4);
        EXPECT_NO_THROW(first.wait());
        EXPECT_NO_THROW(third.wait());
    }
}

TEST_P(EngineTest, AStepThatBreaksMovesNobody) {
    Engine engine(weights_, backend_, {.context = kContext, .sequences = 2});
    std::vector<float> a(static_cast<size_t>(weights_.config.vocab)), b = a;
    ScopedRequest first(engine, {.tokens = tokens_of(1, 80), .max_tokens = 90}, copy_to(a));
    ScopedRequest second(engine, {.tokens = tokens_of(2, 70), .max_tokens = 90}, copy_to(b));
    for (const int64_t n_linears : {0, 3}) {
        backend_.n_linears_left = n_linears;
        expect_error(ErrorCode::Device, "fell off", [&] { first.wait(); });
    }
    backend_.n_linears_left = -1;
    second.wait();
    first.wait();
    EXPECT_EQ(a, alone(tokens_of(1, 80)));
    EXPECT_EQ(b, alone(tokens_of(2, 70)));
}

// The step that breaks has written over the newest keys that its request had before.
TEST_P(EngineTest, AStepThatBreaksBehindFullBlocksIsRunAgain) {
    Engine engine(weights_, backend_, {.context = kContext, .sequences = 2});
    const std::vector<int32_t> tokens = tokens_of(1, 140);
    std::vector<float> logits(static_cast<size_t>(weights_.config.vocab));
    ScopedRequest request(engine,
                          {.tokens = {tokens.begin(), tokens.begin() + 60}, .max_tokens = 140},
                          copy_to(logits));
    request.wait();
    request.give(std::span(tokens).subspan(60));
    backend_.n_linears_left = 3;  // layer 0 has its keys by then
    expect_error(ErrorCode::Device, "fell off", [&] { request.wait(); });
    backend_.n_linears_left = -1;
    request.wait();
    EXPECT_EQ(logits, alone(tokens));
}

TEST_P(EngineTest, ASharedBeginningGivesTheBitsOfAnUnsharedOne) {
    std::vector<int32_t> tokens = tokens_of(1, 130);
    Engine engine(weights_, backend_, {.context = kContext, .sequences = 2});
    logits_after(engine, tokens);
    tokens.resize(129);
    tokens.push_back(200);
    int64_t first_position = 0;
    std::vector<float> logits(static_cast<size_t>(weights_.config.vocab));
    const int64_t n_before = engine.n_tokens_run();
    ScopedRequest request(engine, {.tokens = tokens, .max_tokens = kContext},
                          [&](const StepRows& rows) {
                              first_position = rows.first_position();
                              rows.logits(0, 1, logits);
                          });
    request.wait();
    EXPECT_EQ(first_position, 129);
    EXPECT_EQ(engine.n_tokens_run() - n_before, 2) << "two pages of 64 were there";
    EXPECT_EQ(logits, alone(tokens));
}

TEST_P(EngineTest, RefusedRequestsLeaveTheOthersAlone) {
    Engine engine(weights_, backend_, {.context = kContext});
    const auto vocab = static_cast<int32_t>(weights_.config.vocab);
    for (const int32_t bad : {-1, vocab, std::numeric_limits<int32_t>::max()}) {
        expect_error(ErrorCode::Usage, "outside the vocabulary", [&] {
            ScopedRequest request(engine, {.tokens = {1, bad}, .max_tokens = 8}, {});
        });
    }
    expect_error(ErrorCode::Usage, "161 tokens do not fit the context of 160",
                 [&] { ScopedRequest request(engine, {.tokens = {1}, .max_tokens = 161}, {}); });
    EXPECT_EQ(logits_after(engine, {1, 2}), alone({1, 2}));
}

TEST_P(EngineTest, WhatALookThrowsEndsItsRequest) {
    Engine engine(weights_, backend_, {.context = kContext, .sequences = 2});
    ScopedRequest bad(engine, {.tokens = {1, 2}, .max_tokens = 9},
                      [](const StepRows&) { fail(ErrorCode::Io, "the disk is full"); });
    std::vector<float> logits(static_cast<size_t>(weights_.config.vocab));
    ScopedRequest good(engine, {.tokens = {3}, .max_tokens = 9}, copy_to(logits));
    expect_error(ErrorCode::Io, "the disk is full", [&] { bad.wait(); });
    EXPECT_NO_THROW(good.wait());
    EXPECT_EQ(logits, alone({3}));
}

TEST_P(EngineTest, APrefillIsCancelledBetweenTwoSteps) {
    Engine engine(weights_, backend_, {.context = kContext, .sequences = 1, .step_tokens = 16});
    int n_asked = 0;
    {
        const RequestId id = engine.add({.tokens = tokens_of(1, 100), .max_tokens = 100}, {});
        expect_error(ErrorCode::Interrupted, "enough", [&] {
            engine.wait(id, [&] {
                if (++n_asked == 3) fail(ErrorCode::Interrupted, "enough");
            });
        });
        EXPECT_EQ(engine.n_tokens_run(), 32);
        engine.cancel(id);
    }
    EXPECT_EQ(logits_after(engine, {1, 2}), alone({1, 2})) << "its pages are free again";
}

// As by another thread's step.
TEST_P(EngineTest, ARequestServedWhileItsClientIsBetweenStepsHasNothingToWaitFor) {
    Engine engine(weights_, backend_, {.context = kContext, .sequences = 2});
    std::vector<float> logits(static_cast<size_t>(weights_.config.vocab));
    const RequestId id = engine.add({.tokens = {1, 2}, .max_tokens = 9}, copy_to(logits));
    ScopedRequest other(engine, {.tokens = {3}, .max_tokens = 9}, {});
    engine.wait(id, [&] { other.wait(); });
    engine.cancel(id);
    EXPECT_EQ(logits, alone({1, 2}));
}

TEST_P(EngineTest, AFullCacheIsAnErrorWhereWaitingWouldNeverEnd) {
    Engine engine(weights_, backend_, {.context = kContext, .sequences = 2, .n_pages = 3});
    ScopedRequest first(engine, {.tokens = {1}, .max_tokens = 129}, {});
    first.wait();
    ScopedRequest second(engine, {.tokens = {2}, .max_tokens = 64}, {});
    expect_error(ErrorCode::OutOfMemory, "KV cache", [&] { second.wait(); });
}

TEST_P(EngineTest, ClientsOnThreeThreadsGetWhatTheyGetAlone) {
    constexpr int32_t kClients = 3;
    std::vector<GenerateResult> expected;
    const GenerateOptions options = {.max_new_tokens = 12};
    const auto run = [&](Engine& engine, int32_t client) {
        return generate(engine, tokens_of(client, 20 + 30 * client), options,
                        [](int32_t) { return true; });
    };
    for (int32_t client = 0; client < kClients; ++client) {
        Engine engine(weights_, backend_, {.context = kContext});
        expected.push_back(run(engine, client));
    }
    Engine engine(weights_, backend_, {.context = kContext, .sequences = 2});  // one has to wait
    std::vector<GenerateResult> found(kClients);
    std::vector<std::thread> threads;
    for (int32_t client = 0; client < kClients; ++client) {
        threads.emplace_back(
            [&, client] { found[static_cast<size_t>(client)] = run(engine, client); });
    }
    for (std::thread& thread : threads) thread.join();
    for (size_t client = 0; client < kClients; ++client) {
        EXPECT_EQ(found[client].ids, expected[client].ids) << client;
    }
}

INSTANTIATE_TEST_SUITE_P(Backends, EngineTest,
                         testing::Values(Setting{"reference"}, Setting{"cpu"},
                                         Setting{"reference", kernels::KvAxis::Channel},
                                         Setting{"cpu", kernels::KvAxis::Channel}),
                         [](const auto& test) {
                             const bool by_token = test.param.k_axis == kernels::KvAxis::Token;
                             return test.param.device + (by_token ? "" : "_by_channel");
                         });

}  // namespace
}  // namespace quarot::runtime

// Orders of many clients: the same tokens alone, in company and after being put back; cancelled,
// scored and failed ones among them.
#include "runtime/batch_engine.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <future>
#include <new>
#include <string>
#include <thread>

#include "core/error.h"
#include "kernels/backend.h"
#include "runtime/tokens_for_tests.h"
#include "support/model_weights.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"
#include "support/watched_backend.h"

namespace quarot::runtime {

namespace {

constexpr int64_t kPositions = 160;

// Keeps what it is told; may be waited for.
class Recorder : public OrderClient {
  public:
    explicit Recorder(int64_t most = 1000) : most_(most) {}

    void begun() override { ++n_begun; }
    void prompt_scored(TokenScore&& score) override { prompt_scores.push_back(std::move(score)); }
    bool token(int32_t id, const std::optional<TokenScore>& score) override {
        ids.push_back(id);
        if (score) scores.push_back(*score);
        if (on_token) on_token();
        return std::ssize(ids) < most_;
    }
    void end_token(int32_t id, const std::optional<TokenScore>& score) override {
        end_id = id;
        if (score) scores.push_back(*score);
    }
    void ended(const Ending& ending) override {
        ++n_ended;
        ended_.set_value(ending);
    }
    Ending wait() {
        auto future = ended_.get_future();
        if (future.wait_for(std::chrono::seconds(60)) != std::future_status::ready) {
            ADD_FAILURE() << "the order never ended";
            return {};
        }
        return future.get();
    }

    std::function<void()> on_token;
    std::vector<int32_t> ids;
    std::vector<TokenScore> scores, prompt_scores;
    std::optional<int32_t> end_id;
    std::atomic<int> n_begun = 0;
    std::atomic<int> n_ended = 0;

  private:
    int64_t most_;
    std::promise<Ending> ended_;
};

class BatchEngineTest : public testing::Test {
  protected:
    BatchEngineTest() {
        test::write_tiny_model(dir_ / "model");
        weights_ = test::load_model(dir_ / "model", kPositions, backend_);
        weights_.recipe.activations.bits = weights_.recipe.k.bits = weights_.recipe.v.bits = 4;
    }
    static Order order(int32_t client, int64_t n_new) {
        Order order;
        order.prompt = tokens_of(client, 5 + 11 * (client % 8));
        order.options.max_new_tokens = n_new;
        order.options.sampling.temperature = client % 2 == 0 ? 0.0f : 1.0f;
        order.options.seed = static_cast<uint64_t>(client);
        return order;
    }
    std::vector<int32_t> alone(const Order& order) {
        BatchEngine engine(weights_, backend_, {.context = kPositions});
        auto client = std::make_shared<Recorder>();
        engine.submit(order, client);
        client->wait();
        return client->ids;
    }

    test::TempDir dir_;
    test::WatchedBackend backend_{kernels::make_backend("cpu", {.n_threads = 2})};
    model::Weights weights_;
};

TEST_F(BatchEngineTest, TokensAreThoseOfGenerate) {
    for (const int32_t client : {1, 2}) {
        const Order order = this->order(client, 20);
        Engine engine(weights_, backend_, {.context = kPositions});
        const GenerateResult expected =
            generate(engine, order.prompt, order.options, [](int32_t) { return true; });
        EXPECT_EQ(alone(order), expected.ids) << client;
    }
}

class BatchEngineByAxis : public BatchEngineTest,
                          public testing::WithParamInterface<kernels::KvAxis> {};
INSTANTIATE_TEST_SUITE_P(Axes, BatchEngineByAxis,
                         testing::Values(kernels::KvAxis::Token, kernels::KvAxis::Channel));

TEST_P(BatchEngineByAxis, TokensAreTheSameAloneAndInCompanyOnACacheThatIsTooSmall) {
    weights_.recipe.k.axis = GetParam();
    constexpr int32_t kClients = 12;
    // Pages of 64 tokens: three for a whole context, six for six at once.
    BatchEngine engine(weights_, backend_,
                       {.context = kPositions,
                        .sequences = 6,
                        .n_pages = 6,
                        .step_tokens = 32,
                        .admission = Admission::TokensSoFar});
    std::vector<std::shared_ptr<Recorder>> clients;
    for (int32_t i = 0; i < kClients; ++i) {
        clients.push_back(std::make_shared<Recorder>());
        Order wanted = order(i, 70);
        wanted.shares_prefix = i % 3 != 0;
        wanted.priority = i % 3;
        engine.submit(std::move(wanted), clients.back());
    }
    for (const auto& client : clients) EXPECT_EQ(client->wait().reason, FinishReason::Length);
    EXPECT_GT(engine.load().n_put_back, 0) << "the cache was never full";
    EXPECT_EQ(engine.load().n_pages_used, 0) << "pages are lost";
    for (int32_t i = 0; i < kClients; ++i) {
        EXPECT_EQ(clients[static_cast<size_t>(i)]->ids, alone(order(i, 70))) << i;
        EXPECT_EQ(clients[static_cast<size_t>(i)]->n_begun, 1) << i;
    }
}

TEST_F(BatchEngineTest, OrdersOfTwoShareAnEngineWithClientsThatWaitThemselves) {
    constexpr int32_t kClients = 15;
    Engine engine(weights_, backend_,
                  {.context = kPositions,
                   .sequences = 6,
                   .n_pages = 5,
                   .step_tokens = 32,
                   .admission = Admission::TokensSoFar});
    std::vector<std::vector<int32_t>> expected;
    for (int32_t i = 0; i < kClients; ++i) expected.push_back(alone(order(i, 100)));
    std::vector<std::vector<int32_t>> found(kClients);
    {
        BatchEngine first(engine), second(engine);
        std::vector<std::shared_ptr<Recorder>> clients(kClients);
        std::vector<std::thread> threads;
        for (int32_t i = 0; i < kClients; ++i) {
            const auto at = static_cast<size_t>(i);
            if (i % 3 == 0) {
                threads.emplace_back([&, i, at] {
                    const Order wanted = order(i, 100);
                    found[at] = generate(engine, wanted.prompt, wanted.options, [](int32_t) {
                                    return true;
                                }).ids;
                });
                continue;
            }
            clients[at] = std::make_shared<Recorder>();
            (i % 3 == 1 ? first : second).submit(order(i, 100), clients[at]);
        }
        for (std::thread& thread : threads) thread.join();
        for (size_t i = 0; i < clients.size(); ++i) {
            if (clients[i] == nullptr) continue;
            EXPECT_EQ(clients[i]->wait().failure, nullptr);
            found[i] = clients[i]->ids;
        }
    }
    for (size_t i = 0; i < found.size(); ++i) EXPECT_EQ(found[i], expected[i]) << i;
    EXPECT_GT(engine.load().n_put_back, 0) << "the cache was never full";
    EXPECT_EQ(engine.load().n_pages_used, 0) << "pages are lost";
}

TEST_F(BatchEngineTest, AnOrderThatWaitsForAnothersPagesRunsWhenTheyAreFree) {
    Engine engine(weights_, backend_, {.context = kPositions, .sequences = 2, .n_pages = 3});
    BatchEngine batch(engine);
    const Order wanted = order(1, 100);
    auto client = std::make_shared<Recorder>();
    {
        ScopedRequest holds(engine, {.tokens = wanted.prompt, .max_tokens = kPositions}, {});
        holds.wait();
        batch.submit(wanted, client);
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        EXPECT_EQ(client->n_begun, 0);
    }
    EXPECT_EQ(client->wait().reason, FinishReason::Length);
    EXPECT_EQ(client->ids, alone(wanted));
}

TEST_F(BatchEngineTest, ScoresOfAPromptAreThoseOfItsTokensInWhateverSteps) {
    Order wanted = order(4, 2);
    wanted.n_top = 3;
    wanted.scores_prompt = true;
    const auto scores_in_steps_of = [&](int64_t step_tokens) {
        BatchEngine engine(weights_, backend_, {.context = kPositions, .step_tokens = step_tokens});
        auto client = std::make_shared<Recorder>();
        engine.submit(wanted, client);
        EXPECT_EQ(client->wait().reason, FinishReason::Length);
        return client;
    };
    const auto whole = scores_in_steps_of(64), parts = scores_in_steps_of(7);
    ASSERT_EQ(whole->prompt_scores.size(), wanted.prompt.size() - 1);
    ASSERT_EQ(whole->scores.size(), 2u);
    EXPECT_EQ(parts->ids, whole->ids);
    for (size_t i = 0; i < whole->prompt_scores.size(); ++i) {
        const TokenScore& score = whole->prompt_scores[i];
        EXPECT_EQ(score.token.id, wanted.prompt[i + 1]);
        EXPECT_EQ(score.token.log_probability, parts->prompt_scores[i].token.log_probability);
        ASSERT_EQ(score.top.size(), 3u);
    }
    // Greedy tokens are the likeliest.
    EXPECT_EQ(whole->scores[0].top[0].id, whole->ids[0]);
    // And scores are the backend's own.
    Engine engine(weights_, backend_, {.context = kPositions});
    std::vector<double> expected(wanted.prompt.size() - 1);
    ScopedRequest request(engine,
                          {.tokens = wanted.prompt,
                           .max_tokens = std::ssize(wanted.prompt),
                           .logits = LogitsWanted::All},
                          [&](const StepRows& rows) {
                              rows.log_probabilities(std::span(wanted.prompt).subspan(1), expected);
                          });
    request.wait();
    for (size_t i = 0; i < expected.size(); ++i) {
        EXPECT_NEAR(whole->prompt_scores[i].token.log_probability, expected[i], 1e-9) << i;
    }
}

TEST_F(BatchEngineTest, ScoresOfAPromptAreFetchedTogether) {
    Order wanted = order(4, 1);
    const auto n_waits = [&] {
        BatchEngine engine(weights_, backend_, {.context = kPositions});
        const int64_t before = backend_.n_synchronized;
        auto client = std::make_shared<Recorder>();
        engine.submit(wanted, client);
        EXPECT_EQ(client->wait().reason, FinishReason::Length);
        return backend_.n_synchronized - before;
    };
    const int64_t without = n_waits();
    EXPECT_GT(without, 0);
    wanted.scores_prompt = true;
    EXPECT_LE(n_waits(), without + 2) << "for " << wanted.prompt.size() << " tokens";
}

TEST_F(BatchEngineTest, NoNewTokensIsAPromptThatIsRead) {
    BatchEngine engine(weights_, backend_, {.context = kPositions});
    Order wanted = order(2, 0);
    wanted.scores_prompt = true;
    auto client = std::make_shared<Recorder>();
    engine.submit(wanted, client);
    EXPECT_EQ(client->wait().reason, FinishReason::Length);
    EXPECT_TRUE(client->ids.empty());
    EXPECT_EQ(client->prompt_scores.size(), wanted.prompt.size() - 1);
}

TEST_F(BatchEngineTest, AnOrderIsCancelledInAnyStateAndTheOthersGoOn) {
    BatchEngine engine(weights_, backend_, {.context = kPositions, .sequences = 2});
    std::vector<std::shared_ptr<Recorder>> clients;
    std::vector<OrderId> ids;
    for (int32_t i = 0; i < 4; ++i) {
        clients.push_back(std::make_shared<Recorder>());
        if (i == 0) {
            clients[0]->on_token = [&] {
                // A running one and, behind it, one that waits for a seat.
                if (clients[0]->ids.size() != 3) return;
                engine.cancel(ids[1]);
                engine.cancel(ids[3]);
                engine.cancel(ids[3]);
            };
        }
    }
    std::promise<void> all_in;
    auto go = all_in.get_future().share();
    const auto hold = clients[0]->on_token;
    clients[0]->on_token = [&, go] {
        go.wait();
        hold();
    };
    for (int32_t i = 0; i < 4; ++i) {
        ids.push_back(engine.submit(order(i, 60), clients[static_cast<size_t>(i)]));
    }
    all_in.set_value();
    EXPECT_EQ(clients[1]->wait().reason, FinishReason::Interrupted);
    EXPECT_EQ(clients[3]->wait().reason, FinishReason::Interrupted);
    EXPECT_EQ(clients[0]->wait().reason, FinishReason::Length);
    EXPECT_EQ(clients[2]->wait().reason, FinishReason::Length);
    EXPECT_EQ(clients[3]->n_begun, 0);
    EXPECT_EQ(clients[0]->ids, alone(order(0, 60)));
    EXPECT_EQ(clients[2]->ids, alone(order(2, 60)));
    engine.cancel(ids[0]);  // has ended
    EXPECT_EQ(engine.load().n_pages_used, 0);
}

TEST_F(BatchEngineTest, AClientThatHasEnoughStopsBehindItsToken) {
    BatchEngine engine(weights_, backend_, {.context = kPositions});
    auto client = std::make_shared<Recorder>(3);
    engine.submit(order(1, 60), client);
    EXPECT_EQ(client->wait().reason, FinishReason::Stop);
    EXPECT_EQ(client->ids.size(), 3u);
}

TEST_F(BatchEngineTest, TheContextsEndIsNotTheLengthThatWasAskedFor) {
    BatchEngine engine(weights_, backend_, {.context = kPositions});
    auto client = std::make_shared<Recorder>();
    engine.submit(order(1, 100000), client);
    EXPECT_EQ(client->wait().reason, FinishReason::Context);
    EXPECT_EQ(std::ssize(client->ids), kPositions - std::ssize(order(1, 1).prompt));
}

TEST_F(BatchEngineTest, AnEndTokenEndsBeforeItself) {
    Order wanted = order(2, 20);
    const std::vector<int32_t> ids = alone(wanted);
    wanted.options.end_tokens = {ids[4]};
    const auto first = std::ranges::find(ids, ids[4]) - ids.begin();
    wanted.n_top = 1;
    BatchEngine engine(weights_, backend_, {.context = kPositions});
    auto client = std::make_shared<Recorder>();
    engine.submit(wanted, client);
    EXPECT_EQ(client->wait().reason, FinishReason::Eos);
    EXPECT_EQ(client->ids, std::vector<int32_t>(ids.begin(), ids.begin() + first));
    EXPECT_EQ(client->end_id, ids[4]);
    EXPECT_EQ(client->scores.size(), client->ids.size() + 1) << "it has a score as well";
}

TEST_F(BatchEngineTest, ABiasMakesATokenCertain) {
    Order wanted = order(1, 5);
    wanted.changes.bias = {{42, 1000.0f}};
    EXPECT_EQ(alone(wanted), std::vector<int32_t>(5, 42));
}

TEST_F(BatchEngineTest, AStepThatBreaksEndsWhatIsThereAndTheNextOrderIsServed) {
    BatchEngine engine(weights_, backend_, {.context = kPositions, .sequences = 2});
    backend_.n_linears_left = 3;
    auto client = std::make_shared<Recorder>();
    engine.submit(order(0, 10), client);
    const Ending ending = client->wait();
    ASSERT_NE(ending.failure, nullptr);
    EXPECT_THROW(std::rethrow_exception(ending.failure), Error);
    backend_.n_linears_left = -1;
    auto next = std::make_shared<Recorder>();
    engine.submit(order(0, 10), next);
    EXPECT_EQ(next->wait().failure, nullptr);
    EXPECT_EQ(next->ids, alone(order(0, 10)));
}

TEST_F(BatchEngineTest, WhatAClientThrowsAtItsEndConcernsNobodyElse) {
    class Thrower : public Recorder {
      public:
        void ended(const Ending& ending) override {
            Recorder::ended(ending);
            throw std::bad_alloc();
        }
    };
    BatchEngine engine(weights_, backend_, {.context = kPositions, .sequences = 2});
    auto thrower = std::make_shared<Thrower>();
    auto other = std::make_shared<Recorder>();
    engine.submit(order(1, 2), thrower);
    engine.submit(order(0, 10), other);
    EXPECT_EQ(thrower->wait().failure, nullptr);
    EXPECT_EQ(other->wait().failure, nullptr);
    EXPECT_EQ(other->ids, alone(order(0, 10)));
    EXPECT_EQ(thrower->n_ended, 1);
    EXPECT_EQ(engine.load().n_pages_used, 0);
}

TEST_F(BatchEngineTest, WhatIsThrownWhenAStepIsCountedEndsItsOrdersAlone) {
    std::atomic<bool> throws = true;
    BatchEngine engine(weights_, backend_, {.context = kPositions}, [&](int64_t) {
        if (throws) throw std::bad_alloc();
    });
    auto client = std::make_shared<Recorder>();
    engine.submit(order(0, 10), client);
    const Ending ending = client->wait();
    ASSERT_NE(ending.failure, nullptr);
    EXPECT_THROW(std::rethrow_exception(ending.failure), std::bad_alloc);
    throws = false;
    auto next = std::make_shared<Recorder>();
    engine.submit(order(0, 10), next);
    EXPECT_EQ(next->wait().failure, nullptr);
    EXPECT_EQ(next->ids, alone(order(0, 10)));
}

TEST_F(BatchEngineTest, RefusesWhatCannotBeServedAndKeepsServing) {
    BatchEngine engine(weights_, backend_, {.context = kPositions});
    const auto refused = [&](const Order& order) {
        auto client = std::make_shared<Recorder>();
        EXPECT_THROW(engine.submit(order, client), Error);
        EXPECT_EQ(client->n_ended, 0);
    };
    refused({});
    refused({.prompt = {1, 100000}, .options = {.max_new_tokens = 1}});
    refused({.prompt = tokens_of(1, kPositions + 1), .options = {.max_new_tokens = 1}});
    Order hot = order(1, 1);
    hot.options.sampling.temperature = -1.0f;
    refused(hot);
    auto client = std::make_shared<Recorder>();
    engine.submit(order(1, 1), client);
    EXPECT_EQ(client->wait().failure, nullptr);
}

TEST_F(BatchEngineTest, ItsEndCancelsWhatRuns) {
    auto client = std::make_shared<Recorder>();
    {
        BatchEngine engine(weights_, backend_, {.context = kPositions});
        std::promise<void> first;
        client->on_token = [&] {
            if (client->ids.size() == 1) first.set_value();
        };
        engine.submit(order(1, 150), client);
        first.get_future().wait();
    }
    EXPECT_EQ(client->n_ended, 1);
}

}  // namespace
}  // namespace quarot::runtime

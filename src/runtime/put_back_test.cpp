// A cache that is smaller than what was admitted: who gives pages back, and that all end.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "core/checked_math.h"
#include "runtime/scheduler.h"
#include "runtime/tokens_for_tests.h"

namespace quarot::runtime {

namespace {

constexpr SchedulerLimits kSmall = {.n_pages = 4,
                                    .page_tokens = 4,
                                    .sequences = 4,
                                    .step_tokens = 8,
                                    .admission = Admission::TokensSoFar};

// Commits a step and gives every request that has run all its tokens one more.
StepPlan step(Scheduler& scheduler) {
    const StepPlan plan = scheduler.next();
    scheduler.commit(plan, std::vector<bool>(plan.work.size(), false));
    for (const Work& work : plan.work) {
        const RequestId id = work.request;
        if (scheduler.n_pending(id) == 0) scheduler.give(id, std::vector<int32_t>{7});
    }
    return plan;
}

TEST(PutBack, TheLastGivesItsPagesToTheFirstAndRunsAllItsTokensAgain) {
    Scheduler scheduler(kSmall);
    const RequestId a = scheduler.add({.tokens = counting(0, 5), .max_tokens = 16});
    const RequestId b =
        scheduler.add({.tokens = counting(50, 3), .max_tokens = 16, .shares_prefix = false});
    int n_steps = 0;
    while (scheduler.n_put_back() == 0 && n_steps < 20) {
        step(scheduler);
        ++n_steps;
    }
    ASSERT_EQ(scheduler.n_put_back(), 1);
    EXPECT_EQ(scheduler.running(), std::vector<RequestId>{a});
    EXPECT_EQ(scheduler.queue().front(), b);
    const int64_t n_tokens = scheduler.n_pending(b);
    EXPECT_GT(n_tokens, 3) << "those it was given are among them";
    scheduler.cancel(a);
    const StepPlan plan = scheduler.next();
    ASSERT_EQ(plan.work.size(), 1u);
    EXPECT_EQ(plan.work[0].first_position, 0);
    EXPECT_EQ(std::ssize(plan.work[0].tokens), std::min<int64_t>(n_tokens, kSmall.step_tokens));
    scheduler.abandon(plan);
}

TEST(PutBack, LogitsThatWereSeenAreNotWantedAgain) {
    Scheduler scheduler(kSmall);
    const RequestId a = scheduler.add({.tokens = counting(0, 3), .max_tokens = 16});
    const RequestId b = scheduler.add({.tokens = counting(50, 3),
                                       .max_tokens = 16,
                                       .logits = LogitsWanted::All,
                                       .shares_prefix = false});
    std::map<int64_t, int> seen;  // how often the logits of each position of b were wanted
    for (int i = 0; i < 60 && scheduler.has(b); ++i) {
        const StepPlan plan = scheduler.next();
        for (const Work& work : plan.work) {
            if (work.request != b || work.logits == LogitsWanted::None) continue;
            for (int64_t t = work.n_without_logits; t < std::ssize(work.tokens); ++t) {
                ++seen[work.first_position + t];
            }
        }
        scheduler.commit(plan, std::vector<bool>(plan.work.size(), false));
        for (const RequestId id : {a, b}) {
            if (!scheduler.has(id) || scheduler.n_pending(id) > 0) continue;
            if (scheduler.length(id) == 16) {
                scheduler.cancel(id);
            } else {
                scheduler.give(id, std::vector<int32_t>{7});
            }
        }
    }
    EXPECT_GT(scheduler.n_put_back(), 0);
    EXPECT_EQ(seen.size(), 16u);
    for (const auto& [position, n] : seen) EXPECT_EQ(n, 1) << position;
}

TEST(PutBack, ANewcomerFindsAPageForTheGrowthOfThoseThatRun) {
    Scheduler scheduler(kSmall);
    scheduler.add({.tokens = counting(0, 8), .max_tokens = 16});
    step(scheduler);  // two pages of four are in use, one is for growth
    scheduler.add({.tokens = counting(50, 5), .max_tokens = 8});
    EXPECT_EQ(step(scheduler).work.size(), 1u);
    EXPECT_EQ(scheduler.queue().size(), 1u);
}

TEST(Priority, GoesBeforeAsManyAsItsHeadStart) {
    Scheduler scheduler({.n_pages = 1, .page_tokens = 4, .sequences = 1, .step_tokens = 1});
    std::vector<RequestId> plain;
    for (int i = 0; i < 40; ++i) {
        plain.push_back(scheduler.add({.tokens = {1}, .max_tokens = 1}));
    }
    const RequestId high = scheduler.add({.tokens = {1}, .max_tokens = 1, .priority = 1});
    const auto& queue = scheduler.queue();
    const auto place = std::ranges::find(queue, high) - queue.begin();
    EXPECT_EQ(place, 40 - kHeadStart + 1);
    EXPECT_EQ(queue[static_cast<size_t>(place) - 1], plain[40 - kHeadStart]);
}

TEST(Priority, OvertakesNobodyWithoutEnd) {
    Scheduler scheduler({.n_pages = 1, .page_tokens = 4, .sequences = 1, .step_tokens = 1});
    scheduler.add({.tokens = {1}, .max_tokens = 1});
    const RequestId patient = scheduler.add({.tokens = {1}, .max_tokens = 1});
    int64_t n_served = 0;
    for (; scheduler.has(patient) && n_served < 10'000; ++n_served) {
        scheduler.add({.tokens = {1}, .max_tokens = 1, .priority = kMaxPriority});
        const StepPlan plan = scheduler.next();
        const RequestId id = plan.work.at(0).request;
        scheduler.commit(plan, {false});
        scheduler.cancel(id);
    }
    EXPECT_LE(n_served, kMaxPriority * kHeadStart + 2);
    EXPECT_GT(n_served, kMaxPriority * kHeadStart / 2) << "priority gave no head start";
}

// Clients that come at random and generate to their end, on a cache that is far too small.
struct Client {
    int64_t max_tokens = 0;
    int64_t last_step = -1;  // in which it was given a token
};

struct Figures {
    int64_t n_steps = 0, n_tokens = 0, n_put_back = 0;
    int64_t longest_gap = 0;  // steps between two tokens of a client that was not put back
};

class Simulation {
  public:
    Simulation(uint32_t seed, const SchedulerLimits& limits)
        : random_(seed), limits_(limits), scheduler_(limits) {}

    Figures run(int n_clients) {
        int n_left = n_clients;
        while (n_left > 0 || !clients_.empty()) {
            if (n_left > 0 && below(4) == 0) {
                add();
                --n_left;
            }
            step();
            if (testing::Test::HasFatalFailure()) break;
        }
        figures_.n_put_back = scheduler_.n_put_back();
        return figures_;
    }
    int64_t sum_of_max_tokens() const { return sum_of_max_tokens_; }

  private:
    int64_t below(int64_t n) { return static_cast<int64_t>(random_() % static_cast<uint64_t>(n)); }

    void add() {
        const int64_t most = limits_.n_pages * limits_.page_tokens;
        const int64_t n = 1 + below(most / 2);
        Request request = {.tokens = counting(100 * static_cast<int32_t>(below(3)), n),
                           .max_tokens = n + below(most - n + 1),
                           .shares_prefix = below(3) > 0,
                           .priority = static_cast<int>(below(3))};
        const int64_t max_tokens = request.max_tokens;
        sum_of_max_tokens_ += max_tokens;
        clients_[scheduler_.add(std::move(request))] = {.max_tokens = max_tokens};
    }

    void step() {
        const StepPlan plan = scheduler_.next();
        ++figures_.n_steps;
        int64_t n_tokens = 0;
        for (const Work& work : plan.work) n_tokens += std::ssize(work.tokens);
        ASSERT_LE(n_tokens, limits_.step_tokens) << "over budget";
        ASSERT_TRUE(n_tokens > 0 || clients_.empty()) << "nobody moves";
        figures_.n_tokens += n_tokens;
        if (!plan.work.empty()) {
            // The one that comes first in order is in every step, unless it waits for seats or
            // pages of those that came before it had its priority.
            ASSERT_EQ(plan.work.front().request, scheduler_.running().front());
        }
        for (const Work& work : plan.work) {
            const int64_t end = work.first_position + std::ssize(work.tokens);
            ASSERT_EQ(std::ssize(work.pages), ceil_div(end, limits_.page_tokens));
        }
        scheduler_.commit(plan, std::vector<bool>(plan.work.size(), false));
        answer();
    }

    void answer() {
        for (auto client = clients_.begin(); client != clients_.end();) {
            const auto& [id, state] = *client;
            if (scheduler_.n_pending(id) > 0) {
                if (scheduler_.length(id) == 0) client->second.last_step = -1;  // it waits
                ++client;
            } else if (scheduler_.length(id) == state.max_tokens) {
                scheduler_.cancel(id);
                client = clients_.erase(client);
            } else {
                if (state.last_step >= 0) {
                    figures_.longest_gap =
                        std::max(figures_.longest_gap, figures_.n_steps - state.last_step);
                }
                client->second.last_step = figures_.n_steps;
                scheduler_.give(id, std::vector<int32_t>{static_cast<int32_t>(below(3))});
                ++client;
            }
        }
    }

    std::mt19937 random_;
    SchedulerLimits limits_;
    Scheduler scheduler_;
    std::map<RequestId, Client> clients_;
    Figures figures_;
    int64_t sum_of_max_tokens_ = 0;
};

// Requests with common prefixes and windows, none of which is ever put back.
TEST(PutBack, NobodyIsWhereAllTokensHaveTheirPages) {
    for (uint32_t seed = 0; seed < 20; ++seed) {
        SCOPED_TRACE(fmt::format("seed {}", seed));
        Simulation simulation(seed, {.n_pages = 6 + seed,
                                     .page_tokens = 1 + seed % 5,
                                     .sequences = 2 + seed % 5,
                                     .step_tokens = 8 + seed % 3,
                                     .window = seed % 4 == 0 ? 0 : 1 + seed % 7});
        EXPECT_EQ(simulation.run(300).n_put_back, 0);
        ASSERT_FALSE(testing::Test::HasFatalFailure());
    }
}

// Windows give pages back while others are put back.
TEST(PutBack, AllEndWithWindows) {
    int64_t n_put_back = 0;
    for (uint32_t seed = 0; seed < 20; ++seed) {
        SCOPED_TRACE(fmt::format("seed {}", seed));
        Simulation simulation(seed, {.n_pages = 4 + seed,
                                     .page_tokens = 1 + seed % 5,
                                     .sequences = 2 + seed % 5,
                                     .step_tokens = 8 + seed,
                                     .window = 1 + seed % 17,
                                     .admission = Admission::TokensSoFar});
        n_put_back += simulation.run(300).n_put_back;
        ASSERT_FALSE(testing::Test::HasFatalFailure());
    }
    EXPECT_GT(n_put_back, 0) << "the cache was never full";
}

TEST(PutBack, AllEndWithinAsManyStepsAsTheyHaveTokensAndDecodeInEveryStep) {
    int64_t n_put_back = 0;
    for (uint32_t seed = 0; seed < 20; ++seed) {
        SCOPED_TRACE(fmt::format("seed {}", seed));
        const SchedulerLimits limits = {.n_pages = 4 + seed,
                                        .page_tokens = 1 + seed % 5,
                                        .sequences = 2 + seed % 5,
                                        .step_tokens = 8 + seed,
                                        .admission = Admission::TokensSoFar};
        Simulation simulation(seed, limits);
        constexpr int kClients = 300;
        const Figures figures = simulation.run(kClients);
        ASSERT_FALSE(testing::Test::HasFatalFailure());
        // Steps without anyone are waits for the next client.
        EXPECT_LE(figures.n_steps, simulation.sum_of_max_tokens() + 40 * kClients);
        EXPECT_EQ(figures.longest_gap, 1) << "a prompt must not hold up those that decode";
        n_put_back += figures.n_put_back;
    }
    EXPECT_GT(n_put_back, 200) << "the cache was never full";
}

}  // namespace
}  // namespace quarot::runtime

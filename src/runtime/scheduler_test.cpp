// Whatever clients do, pages are counted right, promises are kept and nobody waits for ever.
#include "runtime/scheduler.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <random>
#include <set>

#include "core/checked_math.h"
#include "core/error.h"
#include "runtime/tokens_for_tests.h"

namespace quarot::runtime {

namespace {

// Runs the next step and commits it; the number of works.
size_t run(Scheduler& scheduler) {
    const StepPlan plan = scheduler.next();
    scheduler.commit(plan, std::vector<bool>(plan.work.size(), false));
    return plan.work.size();
}

TEST(Scheduler, GivesEveryRunningRequestATokenAndTheRestToTheFirst) {
    Scheduler scheduler({.n_pages = 8, .page_tokens = 4, .sequences = 3, .step_tokens = 6});
    const RequestId a = scheduler.add({.tokens = counting(0, 9), .max_tokens = 10});
    const RequestId b = scheduler.add({.tokens = counting(50, 3), .max_tokens = 3});
    const StepPlan plan = scheduler.next();
    ASSERT_EQ(plan.work.size(), 2u);
    EXPECT_EQ(plan.work[0].request, a);
    EXPECT_EQ(plan.work[0].tokens.size(), 5u);
    EXPECT_EQ(plan.work[0].pages.size(), 2u);
    EXPECT_EQ(plan.work[0].logits, LogitsWanted::None) << "its last token is not in the step";
    EXPECT_EQ(plan.work[1].request, b);
    EXPECT_EQ(plan.work[1].tokens.size(), 1u);
    EXPECT_EQ(scheduler.length(a), 0) << "lengths grow when a step is committed";
    scheduler.commit(plan, {false, false});
    EXPECT_EQ(scheduler.length(a), 5);
    const StepPlan next = scheduler.next();
    EXPECT_EQ(next.work[0].first_position, 5);
    EXPECT_EQ(next.work[0].logits, LogitsWanted::Last);
}

TEST(Scheduler, WantsLogitsFromAPositionOnAndSharesWhatLiesBefore) {
    Scheduler scheduler({.n_pages = 8, .page_tokens = 4, .sequences = 1, .step_tokens = 6});
    const auto request = [](int64_t first_logits) {
        return Request{.tokens = counting(0, 11),
                       .max_tokens = 11,
                       .logits = LogitsWanted::All,
                       .first_logits = first_logits};
    };
    const RequestId id = scheduler.add(request(8));
    StepPlan plan = scheduler.next();
    EXPECT_EQ(plan.work[0].logits, LogitsWanted::None) << "positions 0 to 5 are not wanted";
    scheduler.commit(plan, {false});
    plan = scheduler.next();
    EXPECT_EQ(plan.work[0].first_position, 6);
    EXPECT_EQ(plan.work[0].logits, LogitsWanted::All);
    EXPECT_EQ(plan.work[0].n_without_logits, 2);
    scheduler.commit(plan, {false});
    scheduler.cancel(id);
    const auto first_position_of = [&](int64_t first_logits) {
        const RequestId again = scheduler.add(request(first_logits));
        const StepPlan next = scheduler.next();
        const int64_t first = next.work[0].first_position;
        scheduler.commit(next, {false});
        scheduler.cancel(again);
        return first;
    };
    EXPECT_EQ(first_position_of(9), 8);
    EXPECT_EQ(first_position_of(7), 4) << "position 7 has to run for its logits";
    EXPECT_EQ(first_position_of(0), 0);
}

TEST(Scheduler, AnAbandonedStepIsPlannedAgain) {
    Scheduler scheduler({.n_pages = 4, .page_tokens = 4, .sequences = 1, .step_tokens = 8});
    const RequestId id = scheduler.add({.tokens = counting(0, 6), .max_tokens = 8});
    scheduler.abandon(scheduler.next());
    EXPECT_EQ(scheduler.length(id), 0);
    const StepPlan plan = scheduler.next();
    EXPECT_EQ(plan.work[0].first_position, 0);
    EXPECT_EQ(plan.work[0].tokens.size(), 6u);
}

TEST(Scheduler, AnAbandonedStepBeginsAnewWhereItLeavesTraces) {
    Scheduler scheduler({.n_pages = 4,
                         .page_tokens = 4,
                         .sequences = 2,
                         .step_tokens = 8,
                         .restarts_abandoned = true});
    const RequestId id =
        scheduler.add({.tokens = counting(0, 6), .max_tokens = 8, .shares_prefix = false});
    scheduler.commit(scheduler.next(), {false});
    scheduler.give(id, std::vector<int32_t>{7});
    scheduler.abandon(scheduler.next());
    EXPECT_EQ(scheduler.length(id), 0);
    const StepPlan plan = scheduler.next();
    EXPECT_EQ(plan.work.at(0).first_position, 0);
    EXPECT_EQ(plan.work.at(0).tokens.size(), 7u);
}

TEST(Scheduler, AFailedRequestEndsAndTheOthersGoOn) {
    Scheduler scheduler({.n_pages = 4, .page_tokens = 4, .sequences = 2, .step_tokens = 8});
    const RequestId a = scheduler.add({.tokens = counting(0, 2), .max_tokens = 8});
    const RequestId b = scheduler.add({.tokens = counting(9, 3), .max_tokens = 8});
    scheduler.commit(scheduler.next(), {true, false});
    EXPECT_FALSE(scheduler.has(a));
    EXPECT_EQ(scheduler.length(b), 3);
    EXPECT_EQ(scheduler.pool().free(), 3);
}

TEST(Scheduler, ARequestCancelledDuringAStepKeepsItsPagesUntilItIsOver) {
    Scheduler scheduler({.n_pages = 4, .page_tokens = 4, .sequences = 1, .step_tokens = 8});
    const RequestId id = scheduler.add({.tokens = counting(0, 6), .max_tokens = 8});
    const StepPlan plan = scheduler.next();
    scheduler.cancel(id);
    EXPECT_EQ(scheduler.pool().free(), 2);
    scheduler.commit(plan, {false});
    EXPECT_FALSE(scheduler.has(id));
    EXPECT_EQ(scheduler.pool().free(), 4);
}

TEST(Scheduler, RefusesWhatNeverFits) {
    Scheduler scheduler({.n_pages = 2, .page_tokens = 4, .sequences = 1, .step_tokens = 8});
    EXPECT_NO_THROW(scheduler.add({.tokens = {1}, .max_tokens = 8}));
    try {
        scheduler.add({.tokens = {1}, .max_tokens = 9});
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::OutOfMemory);
        EXPECT_STREQ(error.what(), "9 tokens need 3 pages of 4 of the KV cache, which has 2");
    }
}

TEST(Scheduler, AdmitsNobodyWhosePagesArePromisedToAnother) {
    Scheduler scheduler({.n_pages = 4, .page_tokens = 4, .sequences = 2, .step_tokens = 8});
    const RequestId a = scheduler.add({.tokens = {1}, .max_tokens = 12});
    const RequestId b = scheduler.add({.tokens = {2}, .max_tokens = 8});
    EXPECT_EQ(run(scheduler), 1u);
    EXPECT_EQ(scheduler.pool().free(), 3) << "free, but two of them are a's";
    scheduler.cancel(a);
    EXPECT_EQ(run(scheduler), 1u);
    EXPECT_EQ(scheduler.length(b), 1);
}

TEST(Scheduler, BeginsWithPagesOfAnEarlierRequest) {
    Scheduler scheduler({.n_pages = 8, .page_tokens = 4, .sequences = 2, .step_tokens = 16});
    const RequestId a = scheduler.add({.tokens = counting(0, 10), .max_tokens = 12});
    run(scheduler);
    const std::vector<PageId> pages(scheduler.pages(a).begin(), scheduler.pages(a).end());
    scheduler.cancel(a);
    const RequestId b = scheduler.add({.tokens = counting(0, 9), .max_tokens = 12});
    const RequestId c = scheduler.add({.tokens = counting(0, 8), .max_tokens = 8});
    const StepPlan plan = scheduler.next();
    EXPECT_EQ(plan.work[0].first_position, 8);
    EXPECT_EQ(plan.work[0].tokens.size(), 1u);
    EXPECT_EQ(plan.work[0].pages[0], pages[0]);
    EXPECT_EQ(plan.work[0].pages[1], pages[1]);
    EXPECT_EQ(plan.work[1].first_position, 4) << "the last token has to run";
    EXPECT_EQ(scheduler.pool().holders(pages[0]), 3);
    EXPECT_EQ(scheduler.pool().holders(pages[1]), 2);
    scheduler.commit(plan, {false, false});
    EXPECT_EQ(scheduler.length(b), 9);
    EXPECT_EQ(scheduler.length(c), 8);
}

TEST(PrefixIndex, ComparesTokensAndWhatCameBeforeThem) {
    PagePool pool(8);
    PrefixIndex index(pool, 2);
    const std::vector<PageId> pages = {pool.take(), pool.take(), pool.take()};
    index.publish(std::vector<int32_t>{1, 2, 3, 4, 5}, pages);
    EXPECT_EQ(index.n_pages(), 2) << "whole pages alone";
    EXPECT_EQ(index.longest(std::vector<int32_t>{1, 2, 3, 9}), (std::vector<PageId>{pages[0]}));
    EXPECT_TRUE(index.longest(std::vector<int32_t>{3, 4}).empty()) << "another beginning";
}

TEST(PrefixIndex, EvictsTheOldestThatNobodyHolds) {
    PagePool pool(4);
    PrefixIndex index(pool, 1);
    const auto publish = [&](int32_t token) {
        const std::vector<PageId> page = {pool.take()};
        index.publish(std::vector<int32_t>{token}, page);
        pool.release(page[0]);
        return page[0];
    };
    publish(1);
    publish(2);
    publish(3);
    const std::vector<PageId> held = index.longest(std::vector<int32_t>{1});
    EXPECT_EQ(index.evictable(), 2);
    index.evict();
    EXPECT_TRUE(index.longest(std::vector<int32_t>{2}).empty());
    EXPECT_EQ(pool.free(), 2);
    index.evict();
    EXPECT_EQ(index.evictable(), 0);
    EXPECT_EQ(pool.holders(held[0]), 2);
}

// Clients that add, give, cancel and let steps fail at random, against counts kept apart.
class RandomClients {
  public:
    RandomClients(uint32_t seed, const SchedulerLimits& limits)
        : random_(seed), limits_(limits), scheduler_(limits) {}

    void event() {
        const int64_t kind = below(10);
        if (kind < 2 && scheduler_.queue().size() < 6) add();
        if (kind == 2) cancel();
        if (kind >= 3) step();
        check_pages();
    }
    int64_t n_steps() const { return n_steps_; }
    int64_t n_waits() const { return n_waits_; }
    int64_t n_shared() const { return n_shared_; }

  private:
    int64_t below(int64_t n) { return static_cast<int64_t>(random_() % static_cast<uint64_t>(n)); }

    void add() {
        // A few beginnings, so that prefixes are shared.
        Request request;
        const int64_t n = 1 + below(3 * limits_.page_tokens);
        request.tokens = counting(100 * static_cast<int32_t>(below(3)), static_cast<int32_t>(n));
        request.max_tokens = n + below(2 * limits_.page_tokens);
        request.shares_prefix = below(4) > 0;
        const int64_t most = limits_.n_pages * limits_.page_tokens;
        if (request.max_tokens > most && limits_.window == 0) {
            EXPECT_THROW(scheduler_.add(request), Error);
            return;
        }
        if (request.max_tokens > most) return;
        ids_.push_back(scheduler_.add(request));
        max_tokens_[ids_.back()] = request.max_tokens;
    }

    void cancel() {
        if (ids_.empty()) return;
        scheduler_.cancel(ids_[static_cast<size_t>(below(std::ssize(ids_)))]);
    }

    void step() {
        const auto head = head_of_queue();
        const StepPlan plan = scheduler_.next();
        check_plan(plan);
        ++n_steps_;
        if (below(20) == 0 && !plan.work.empty()) {
            cancel();
            scheduler_.abandon(plan);
            return;  // not a step that moved anyone
        }
        std::vector<bool> failed;
        for (size_t i = 0; i < plan.work.size(); ++i) failed.push_back(below(50) == 0);
        if (below(4) == 0) cancel();
        scheduler_.commit(plan, failed);
        check_wait(head);
        give_or_end();
    }

    std::optional<RequestId> head_of_queue() const {
        if (scheduler_.queue().empty()) return std::nullopt;
        return scheduler_.queue().front();
    }

    // Every client answers before the next step: with another token, or by ending.
    void give_or_end() {
        std::erase_if(ids_, [&](RequestId id) { return !scheduler_.has(id); });
        for (const RequestId id : ids_) {
            if (scheduler_.n_pending(id) > 0) continue;
            if (scheduler_.length(id) == max_tokens_[id] || below(8) == 0) {
                scheduler_.cancel(id);
            } else {
                const auto token = static_cast<int32_t>(below(3));
                scheduler_.give(id, {&token, 1});
            }
        }
    }

    void check_plan(const StepPlan& plan) {
        int64_t n_tokens = 0;
        std::set<PageId> written;
        for (const Work& work : plan.work) {
            const int64_t end = work.first_position + std::ssize(work.tokens);
            n_tokens += std::ssize(work.tokens);
            ASSERT_GT(work.tokens.size(), 0u);
            ASSERT_LE(end, max_tokens_[work.request]);
            ASSERT_EQ(std::ssize(work.pages), ceil_div(end, limits_.page_tokens))
                << "pages of request " << work.request;
            for (int64_t p = work.first_position / limits_.page_tokens; p < std::ssize(work.pages);
                 ++p) {
                const PageId page = work.pages[static_cast<size_t>(p)];
                ASSERT_TRUE(written.insert(page).second) << "two write page " << page;
                ASSERT_EQ(scheduler_.pool().holders(page), 1) << "page " << page << " is shared";
            }
            ASSERT_LT(work.seat, limits_.sequences);
            for (const RequestId id : scheduler_.running()) {
                const auto other = seats_.find(id);
                if (other == seats_.end()) continue;
                ASSERT_EQ(other->second == work.seat, id == work.request)
                    << "seat " << work.seat << " of " << work.request << " and " << id;
            }
            seats_[work.request] = work.seat;
            const bool is_new = seen_.insert(work.request).second;
            if (is_new && work.first_position > 0) ++n_shared_;
        }
        ASSERT_LE(n_tokens, limits_.step_tokens) << "over budget";
        ASSERT_LE(std::ssize(plan.work), limits_.sequences);
    }

    // The bound of scheduler.h: the head is admitted once all that ran when it became the head have
    // ended, which takes each at most a step a token.
    void check_wait(std::optional<RequestId> head) {
        if (!head || head != head_of_queue()) return;
        if (head != waiting_) {
            waiting_ = head;
            n_waited_ = bound_ = 0;
            for (const RequestId id : scheduler_.running()) {
                bound_ = std::max(bound_, max_tokens_[id]);
            }
        }
        n_waits_ = std::max(n_waits_, ++n_waited_);
        ASSERT_LE(n_waited_, bound_ + 1) << "request " << *head << " starves";
    }

    // Holders are the requests that list a page and the index; nothing is lost or owned twice.
    void check_pages() {
        std::vector<int64_t> listed(static_cast<size_t>(limits_.n_pages), 0);
        for (const RequestId id : ids_) {
            if (!scheduler_.has(id)) continue;
            const auto pages = scheduler_.pages(id);
            ASSERT_EQ(std::set<PageId>(pages.begin(), pages.end()).size(), pages.size());
            const int64_t seen = limits_.window == 0
                                     ? scheduler_.length(id)
                                     : std::min(scheduler_.length(id), limits_.window - 1);
            ASSERT_LE(seen, std::ssize(pages) * limits_.page_tokens) << "pages that are missed";
            if (limits_.window > 0) {
                ASSERT_LE(std::ssize(pages),
                          ceil_div(limits_.window, limits_.page_tokens) +
                              ceil_div(limits_.step_tokens, limits_.page_tokens) + 1);
            }
            for (const PageId page : pages) ++listed[static_cast<size_t>(page)];
        }
        int64_t n_free = 0, n_of_index = 0;
        for (int64_t page = 0; page < limits_.n_pages; ++page) {
            const int64_t holders = scheduler_.pool().holders(static_cast<PageId>(page));
            const int64_t others = holders - listed[static_cast<size_t>(page)];
            ASSERT_TRUE(others == 0 || others == 1) << "page " << page;
            n_of_index += others;
            n_free += holders == 0 ? 1 : 0;
        }
        ASSERT_EQ(n_of_index, scheduler_.prefixes().n_pages());
        ASSERT_EQ(n_free, scheduler_.pool().free());
    }

    std::mt19937 random_;
    SchedulerLimits limits_;
    Scheduler scheduler_;
    std::vector<RequestId> ids_;
    std::map<RequestId, int64_t> max_tokens_;
    std::set<RequestId> seen_;            // that have been in a plan
    std::map<RequestId, int64_t> seats_;  // of those that have been in a plan
    std::optional<RequestId> waiting_;    // the head of the queue, if a step left it there
    int64_t n_waited_ = 0, bound_ = 0;    // steps it has waited, and may wait
    int64_t n_steps_ = 0, n_waits_ = 0, n_shared_ = 0;
};

TEST(Scheduler, KeepsItsPromisesThroughAMillionRandomEvents) {
    constexpr int kSeeds = 10, kEvents = 100'000;
    int64_t most_waits = 0;
    for (uint32_t seed = 0; seed < kSeeds; ++seed) {
        SCOPED_TRACE(fmt::format("seed {}", seed));
        const SchedulerLimits limits = {.n_pages = 4 + seed,
                                        .page_tokens = 1 + seed % 5,
                                        .sequences = 1 + seed % 4,
                                        .step_tokens = 4 + 3 * seed};
        RandomClients clients(seed, limits);
        for (int i = 0; i < kEvents && !testing::Test::HasFatalFailure(); ++i) clients.event();
        ASSERT_FALSE(testing::Test::HasFatalFailure());
        EXPECT_GT(clients.n_steps(), kEvents / 2);
        EXPECT_GT(clients.n_waits(), 0) << "the cache was never full";
        most_waits = std::max(most_waits, clients.n_waits());
        EXPECT_GT(clients.n_shared(), 0) << "no prefix was ever shared";
    }
    EXPECT_GT(most_waits, 5) << "nobody ever waited long";
}

TEST(Scheduler, KeepsItsPromisesWithWindows) {
    constexpr int kEvents = 50'000;
    for (uint32_t seed = 0; seed < 10; ++seed) {
        SCOPED_TRACE(fmt::format("seed {}", seed));
        const SchedulerLimits limits = {.n_pages = 5 + seed,
                                        .page_tokens = 1 + seed % 5,
                                        .sequences = 1 + seed % 4,
                                        .step_tokens = 4 + seed,
                                        .window = 1 + seed % 7};
        RandomClients clients(seed, limits);
        for (int i = 0; i < kEvents && !testing::Test::HasFatalFailure(); ++i) clients.event();
        ASSERT_FALSE(testing::Test::HasFatalFailure());
    }
}

// A window of 6 with pages of 4: at length 13 the next token sees positions 8 to 13.
TEST(Scheduler, GivesBackPagesBehindAllWindows) {
    Scheduler scheduler(
        {.n_pages = 5, .page_tokens = 4, .sequences = 1, .step_tokens = 4, .window = 6});
    const RequestId id =
        scheduler.add({.tokens = counting(0, 13), .max_tokens = 100, .shares_prefix = false});
    for (int i = 0; i < 4; ++i) run(scheduler);
    ASSERT_EQ(scheduler.length(id), 13);
    EXPECT_EQ(scheduler.pages(id).size(), 2u);
    EXPECT_EQ(scheduler.pool().free(), 3);
    for (int32_t token = 0; token < 87; ++token) {
        scheduler.give(id, {&token, 1});
        ASSERT_EQ(run(scheduler), 1u);
        ASSERT_LE(scheduler.pages(id).size(), 3u);
    }
    scheduler.cancel(id);
    EXPECT_EQ(scheduler.pool().free(), 5);
}

// Pages behind the window stay in the index until they are evicted; what follows one that is gone
// is not published, since nobody could find it.
TEST(PrefixIndex, TakesNothingBehindAPageThatIsGone) {
    PagePool pool(8);
    PrefixIndex index(pool, 1);
    const std::vector<PageId> pages = {pool.take(), pool.take(), pool.take()};
    index.publish(std::vector<int32_t>{1, 2, 3}, pages, 1);
    EXPECT_EQ(index.n_pages(), 0);
    index.publish(std::vector<int32_t>{1}, pages);
    index.publish(std::vector<int32_t>{1, 2, 3}, pages, 1);
    EXPECT_EQ(index.n_pages(), 3);
}

}  // namespace
}  // namespace quarot::runtime

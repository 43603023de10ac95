// How answers end that are not simply finished: a full queue, clients that leave or read nothing,
// time that is up, failures and the end of the server.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "serve/limits.h"
#include "serve/service.h"
#include "serve/service_for_tests.h"

namespace quarot::serve {
namespace {

using io::Json;

// The engine waits in the first step of this stream, until the exchange lets it go.
std::shared_ptr<KeptExchange> hold_engine(TinyService& tiny, const std::string& stream) {
    auto exchange = std::make_shared<KeptExchange>();
    exchange->hold_engine(true);
    tiny.ask("POST", kCompletions, stream, "", exchange);
    exchange->wait_for_bytes(1);
    return exchange;
}

TEST(ServiceEnds, AFullQueueAnswersAtOnceAndEmptiesAgain) {
    TinyService tiny({.max_queue = 2}, {.sequences = 2});
    const auto first = hold_engine(tiny, R"({"prompt":"a","max_tokens":9,"stream":true})");
    const std::string body = R"({"prompt":"a","max_tokens":9})";
    std::vector<std::shared_ptr<KeptExchange>> fitting;
    for (int i = 0; i < 3; ++i) fitting.push_back(tiny.ask("POST", kCompletions, body));
    const HttpResponse refused = tiny.post(kCompletions, body);
    EXPECT_EQ(refused.status, 429);
    EXPECT_TRUE(std::ranges::any_of(
        refused.headers, [](const auto& header) { return header.first == "Retry-After"; }));
    first->hold_engine(false);
    for (const auto& exchange : fitting) EXPECT_EQ(exchange->wait().status, 200);
    tiny.expect_nothing_runs();
    EXPECT_EQ(tiny.post(kCompletions, body).status, 200);
    tiny.expect_nothing_runs();
    // More than the queue holds, but alone.
    EXPECT_EQ(tiny.post(kCompletions, R"({"prompt":"a","max_tokens":1,"n":8})").status, 200);
}

TEST(ServiceEnds, AClientThatLeavesFreesItsPagesAndHarmsNobody) {
    TinyService tiny;
    const std::string body =
        R"("prompt":"Some words","max_tokens":140,"temperature":1,"seed":5,"ignore_eos":true)";
    const HttpResponse expected = tiny.post(kCompletions, "{" + body + "}");
    const std::string stream = R"({"prompt":"a","max_tokens":140,"ignore_eos":true,"stream":true})";
    const auto first = hold_engine(tiny, stream);
    std::vector<std::shared_ptr<KeptExchange>> leaving;
    for (int i = 0; i < 11; ++i) leaving.push_back(tiny.ask("POST", kCompletions, stream));
    const auto stays = tiny.ask("POST", kCompletions, "{" + body + "}");
    for (const auto& client : leaving) client->leave();
    first->hold_engine(false);
    EXPECT_EQ(first_choice(Json::parse(stays->wait().body, "answer")).dump(),
              first_choice(Json::parse(expected.body, "answer")).dump());
    EXPECT_EQ(first->wait().status, 200);
    tiny.expect_nothing_runs();
    const std::string metrics = tiny.get("/metrics").body;
    for (const char* line : {"request_cancelled_total 11\n", "generation_tokens_total 420\n"}) {
        EXPECT_NE(metrics.find(std::string("quarot:") + line), std::string::npos) << metrics;
    }
}

TEST(ServiceEnds, AClientThatReadsNothingIsCut) {
    TinyService tiny;
    auto slow = std::make_shared<KeptExchange>();
    slow->backlog_of_tests = limits::kBacklogBytes + 1;
    tiny.ask("POST", kCompletions,
             R"({"prompt":"a","max_tokens":140,"stream":true,"ignore_eos":true})", "", slow);
    slow->wait();
    EXPECT_TRUE(slow->is_dropped);
    tiny.expect_nothing_runs();
    EXPECT_EQ(tiny.get("/metrics").body.find("quarot:generation_tokens_total 140\n"),
              std::string::npos);
}

TEST(ServiceEnds, ADrainingServerRefusesNewWorkAndEndsWhatRuns) {
    TinyService tiny;
    const auto running =
        tiny.ask("POST", kCompletions, R"({"prompt":"a","max_tokens":20,"ignore_eos":true})");
    tiny.service().drain();
    EXPECT_EQ(tiny.get("/health").status, 503);
    EXPECT_EQ(tiny.post(kCompletions, R"({"prompt":"a"})").status, 503);
    EXPECT_EQ(running->wait().status, 200);
    tiny.expect_nothing_runs();
}

TEST(ServiceEnds, WhatIsAbortedEndsWithAnErrorOnce) {
    TinyService tiny;
    const std::string body = R"({"prompt":"a","max_tokens":150,"ignore_eos":true,"stream":)";
    const auto first = hold_engine(tiny, body + "true}");
    const auto whole = tiny.ask("POST", kCompletions, body + "false}");
    const auto stream = tiny.ask("POST", kCompletions, body + "true}");
    std::thread aborting([&] { tiny.service().abort_all(ApiError(503, "going down")); });
    EXPECT_EQ(whole->wait().status, 503);
    EXPECT_EQ(events_of(stream->wait().body).back().at("error").at("message").as_string(),
              "going down");
    first->hold_engine(false);
    aborting.join();
    tiny.expect_nothing_runs();
    for (const auto& exchange : {first, whole, stream}) EXPECT_EQ(exchange->n_ends, 1);
}

TEST(ServiceEnds, AJobThatIsAbortedBeforeItStartsIsDoneAndRunsNothing) {
    TinyService tiny;
    runtime::BatchEngine engine(tiny.weights(), tiny.backend(),
                                {.context = TinyService::kPositions});
    Metrics metrics;
    const auto exchange = std::make_shared<KeptExchange>();
    const auto job = std::make_shared<Job>(
        JobPlace{tiny.model(), metrics},
        read_completion(R"({"prompt":"a","max_tokens":150,"stream":true})", tiny.model()), "id",
        exchange);
    job->abort(ApiError(503, "going down"));
    job->start(engine);
    EXPECT_TRUE(job->is_done());
    EXPECT_EQ(exchange->wait().status, 503);
    EXPECT_EQ(exchange->n_ends, 1);
    EXPECT_EQ(engine.load().n_running + engine.load().n_waiting, 0);
}

TEST(ServiceEnds, WhatCannotBeginIsAnsweredOnceAndCancelled) {
    class Broken : public KeptExchange {
      public:
        void begin_stream(HttpResponse /*head*/) override { throw std::bad_alloc(); }
    };
    TinyService tiny;
    const auto exchange = std::make_shared<Broken>();
    tiny.ask("POST", kCompletions,
             R"({"prompt":["a","b"],"max_tokens":150,"ignore_eos":true,"stream":true})", "",
             exchange);
    EXPECT_EQ(exchange->wait().status, 507);
    tiny.expect_nothing_runs();
    EXPECT_EQ(exchange->n_ends, 1);
}

TEST(ServiceEnds, AnAnswerThatCannotBeSentEndsItsJob) {
    class Broken : public KeptExchange {
      public:
        void end_stream() override {
            if (++n_tries == 1) throw std::bad_alloc();
            KeptExchange::end_stream();
        }
        std::atomic<int> n_tries = 0;
    };
    TinyService tiny;
    const auto exchange = std::make_shared<Broken>();
    tiny.ask("POST", kCompletions, R"({"prompt":"a","max_tokens":3,"stream":true})", "", exchange);
    tiny.expect_nothing_runs();
    EXPECT_EQ(exchange->n_tries, 1);
    EXPECT_EQ(tiny.post(kCompletions, R"({"prompt":"a","max_tokens":3})").status, 200);
}

TEST(ServiceEnds, TimeIsUpForWhatTakesTooLongOrNeverBegins) {
    const ServiceOptions options = {.queue_time = std::chrono::seconds(50),
                                    .request_time = std::chrono::seconds(100)};
    for (const auto& [seconds, status] : {std::pair(60, 429), std::pair(110, 408)}) {
        TinyService tiny(options);
        const std::string body = R"({"prompt":"a","max_tokens":150,"ignore_eos":true)";
        const auto first = hold_engine(tiny, body + R"(,"stream":true})");
        const auto waits = tiny.ask("POST", kCompletions, body + "}");
        std::thread ticking([&tiny, of = seconds] {
            tiny.service().tick(Clock::now() + std::chrono::seconds(of));
        });
        EXPECT_EQ(waits->wait().status, status);
        first->hold_engine(false);
        ticking.join();
        tiny.expect_nothing_runs();
        EXPECT_EQ(first->n_ends, 1);
        EXPECT_EQ(waits->n_ends, 1);
    }
}

}  // namespace
}  // namespace quarot::serve

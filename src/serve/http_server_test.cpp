// Real sockets: answers, clients that leave, many at once, and the end.
#include "serve/http_server.h"

#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <future>
#include <thread>
#include <utility>

#include "core/error.h"
#include "serve/limits.h"
#include "serve/server_for_tests.h"

namespace quarot::serve {
namespace {

TEST_F(HttpServerTest, AnswersSeveralRequestsOfOneConnection) {
    Client client(port_);
    for (int i = 0; i < 3; ++i) {
        client.get("/health");
        const std::string answer = client.read_to("}");
        EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 OK\r\n")) << answer;
        EXPECT_NE(answer.find("\r\nConnection: keep-alive\r\n"), std::string::npos);
    }
    client.get("/health");
    client.get("/version");  // before the first is answered
    EXPECT_NE(client.read_to("}").find("status"), std::string::npos);
    EXPECT_NE(client.read_to("}").find("version"), std::string::npos);
    client.get("/health", "Connection: close\r\n");
    EXPECT_NE(client.read_all().find("\r\nConnection: close\r\n"), std::string::npos);
}

TEST_F(HttpServerTest, AHeadHasNoBody) {
    Client client(port_);
    client.send("HEAD /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    client.get("/health");
    const std::string first = client.read_to("\r\n\r\n");
    EXPECT_TRUE(first.starts_with("HTTP/1.1 200")) << first;
    const std::string second = client.read_to("}");
    EXPECT_TRUE(second.starts_with("HTTP/1.1 200")) << "a body behind the head: " << second;
    const auto length_of = [](const std::string& answer) {
        const size_t at = answer.find("Content-Length: ");
        return answer.substr(at, answer.find('\r', at) - at);
    };
    EXPECT_EQ(length_of(first), length_of(second));
    client.send("HEAD /tokenize HTTP/1.1\r\nHost: localhost\r\n\r\n");
    EXPECT_TRUE(client.read_to("\r\n\r\n").starts_with("HTTP/1.1 405"));
}

TEST_F(HttpServerTest, StreamsInChunksAndKeepsTheConnection) {
    Client client(port_);
    client.post("/v1/completions", R"({"prompt":"a","max_tokens":5,"stream":true})");
    const std::string head = client.read_to("\r\n\r\n");
    EXPECT_NE(head.find("Transfer-Encoding: chunked\r\n"), std::string::npos) << head;
    EXPECT_NE(head.find("Content-Type: text/event-stream\r\n"), std::string::npos);
    const std::string body = client.read_to("\r\n0\r\n\r\n");
    EXPECT_NE(body.find("data: [DONE]\n\n"), std::string::npos) << body;
    client.get("/health");
    EXPECT_TRUE(client.read_to("}").starts_with("HTTP/1.1 200"));
}

TEST_F(HttpServerTest, AsksForABodyThatWaits) {
    Client client(port_);
    client.send(
        "POST /tokenize HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
        "Content-Length: 14\r\n\r\n");
    EXPECT_EQ(client.read_to("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send(R"({"prompt":"a"})");
    EXPECT_TRUE(client.read_to("}").starts_with("HTTP/1.1 200"));
}

const std::string kKey = "a-key-of-20-letters-";

class HttpServerWithKeyTest : public HttpServerTest {
  protected:
    HttpServerWithKeyTest() : HttpServerTest({.keys = keys()}) {}
    static ApiKeys keys() {
        const test::TempDir dir;
        std::ofstream(dir / "keys") << kKey << "\n";
        return ApiKeys::of_file(dir / "keys");
    }
    static std::string head(const std::string& path, const std::string& key) {
        return "POST " + path + " HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n" +
               "Authorization: Bearer " + key + "\r\nContent-Length: 14\r\n\r\n";
    }
};

TEST_F(HttpServerWithKeyTest, ReadsNoBodyOfAClientThatMayNotSendIt) {
    const std::pair<std::string, int> cases[] = {{head("/tokenize", "wrong"), 401},
                                                 {head("/none", "wrong"), 401},
                                                 {head("/none", kKey), 404},
                                                 {head("/version", kKey), 405}};
    for (const auto& [bytes, status] : cases) {
        Client client(port_);
        client.send(bytes);
        const std::string answer = client.read_to("\r\n\r\n");
        EXPECT_TRUE(answer.starts_with("HTTP/1.1 " + std::to_string(status))) << answer;
        EXPECT_NE(answer.find("\r\nConnection: close\r\n"), std::string::npos) << answer;
    }
    Client client(port_);
    client.send(head("/tokenize", kKey));
    EXPECT_EQ(client.read_to("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send(R"({"prompt":"a"})");
    EXPECT_TRUE(client.read_to("}").starts_with("HTTP/1.1 200"));
}

// More bodies, one behind the other, than may be held at once.
TEST_F(HttpServerTest, CountsABodyNoLongerThanItIsLookedAt) {
    const std::string padding(limits::kBodyBytes - 200, ' ');
    const auto body = [&](const std::string& fields) { return "{" + fields + padding + "}"; };
    std::vector<std::unique_ptr<Client>> clients;
    const size_t n_bodies = static_cast<size_t>(limits::kBytesInFlight) / limits::kBodyBytes + 2;
    for (size_t i = 0; i < n_bodies; ++i) {
        clients.push_back(std::make_unique<Client>(port_));
        clients.back()->post(
            "/v1/completions",
            body(R"("prompt":"a","max_tokens":150,"ignore_eos":true,"stream":true)"));
        const std::string head = clients.back()->read_to("\r\n\r\n");
        EXPECT_TRUE(head.starts_with("HTTP/1.1 200")) << head;
    }
}

TEST_F(HttpServerTest, WhatIsNoRequestIsAnsweredAndEnds) {
    for (const char* bytes : {"nonsense\r\n\r\n", "GET / HTTP/1.0\r\n\r\n",
                              "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999999\r\n\r\n"}) {
        Client client(port_);
        client.send(bytes);
        const std::string answer = client.read_all();
        EXPECT_TRUE(answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.1 5")) << answer;
        EXPECT_NE(answer.find("{\"error\":"), std::string::npos) << answer;
        EXPECT_NE(answer.find("\r\nConnection: close\r\n"), std::string::npos);
    }
}

TEST_F(HttpServerTest, ClientsThatLeaveInAnyStateFreeWhatTheyHeld) {
    const std::string stream = R"({"prompt":"a","max_tokens":150,"stream":true,"ignore_eos":true})";
    for (int i = 0; i < 40; ++i) {
        Client client(port_);
        if (i % 5 == 0) continue;
        if (i % 5 == 1) client.send("POST /v1/comp");
        if (i % 5 == 2)
            client.send("POST /tokenize HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\n");
        if (i % 5 >= 3) client.post("/v1/completions", stream);
        if (i % 5 == 4) client.read_to("data: ");
    }
    tiny_.expect_nothing_runs();
    Client client(port_);
    client.get("/health");
    EXPECT_TRUE(client.read_to("}").starts_with("HTTP/1.1 200"));
}

TEST_F(HttpServerTest, ManyClientsAtOnceEachGetTheirOwnAnswer) {
    const auto body = [](int i) {
        return R"({"prompt":")" + std::string(1, static_cast<char>('a' + i % 26)) +
               R"(","max_tokens":12,"temperature":1,"seed":1,"ignore_eos":true,"echo":true})";
    };
    const auto text_of = [](const std::string& answer) {
        const io::Json json = io::Json::parse(answer.substr(answer.find("\r\n\r\n") + 4), "answer");
        return json.at("choices").as_array().at(0).at("text").as_string();
    };
    std::vector<std::string> expected;
    for (int i = 0; i < 26; ++i) {
        expected.push_back(text_of("\r\n\r\n" + tiny_.post("/v1/completions", body(i)).body));
    }
    std::vector<std::thread> threads;
    std::atomic<int> n_right = 0;
    for (int t = 0; t < 8; ++t) {
        threads.emplace_back([&, t] {
            for (int i = t; i < 104; i += 8) {
                Client client(port_);
                client.send(
                    "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: "
                    "close\r\nContent-Length: " +
                    std::to_string(body(i).size()) + "\r\n\r\n" + body(i));
                const std::string answer = client.read_all();
                if (!answer.starts_with("HTTP/1.1 200")) continue;
                n_right += text_of(answer) == expected[static_cast<size_t>(i % 26)] ? 1 : 0;
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(n_right, 104);
}

TEST_F(HttpServerTest, TheEndWaitsForWhatRunsAndTheLogHasALineAnAnswer) {
    Client idle(port_);
    Client client(port_);
    client.post("/v1/completions",
                R"({"prompt":"a","max_tokens":150,"ignore_eos":true,"stream":true})");
    client.read_to("data: ");
    stops_ = true;
    const std::string rest = client.read_all();
    EXPECT_NE(rest.find("data: [DONE]\n\n"), std::string::npos) << "cut: " << rest;
    EXPECT_EQ(idle.read_all(), "");
    thread_.join();
    const std::lock_guard lock(mutex_);
    const io::Json line = io::Json::parse(log_.substr(0, log_.find('\n')), "log");
    EXPECT_EQ(line.at("path").as_string(), "/v1/completions");
    EXPECT_EQ(line.at("status").as_int(), 200);
    EXPECT_EQ(line.at("new_tokens").as_int(), 150);
}

TEST(HttpServer, TheEndWaitsForNoLongStep) {
    TinyService tiny;
    std::promise<void> begun, lets_go;
    tiny.backend().on_linear = [&, go = lets_go.get_future().share(), is_first = true]() mutable {
        if (std::exchange(is_first, false)) begun.set_value();
        go.wait();
    };
    std::atomic<bool> stops = false;
    ServerOptions options;
    options.port = 0;
    options.drain_time = std::chrono::seconds(0);
    options.stops = [&] { return stops.load(); };
    HttpServer server(tiny.service(), std::move(options));
    bool has_ended = true;
    std::thread thread([&] { has_ended = server.run(); });
    Client client(std::stoi(server.address().substr(server.address().rfind(':') + 1)));
    client.post("/v1/completions", R"({"prompt":"a","max_tokens":9})");
    begun.get_future().wait();
    stops = true;
    EXPECT_TRUE(client.read_all().starts_with("HTTP/1.1 503"));
    thread.join();
    EXPECT_FALSE(has_ended);
    lets_go.set_value();
    tiny.expect_nothing_runs();
}

TEST(HttpServer, SaysWhereItCannotListen) {
    TinyService tiny;
    ServerOptions options;
    options.port = 0;
    const HttpServer first(tiny.service(), options);
    const std::string address = first.address();
    options.port = std::stoi(address.substr(address.rfind(':') + 1));
    try {
        const HttpServer second(tiny.service(), options);
        FAIL() << "two listen at one port";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::Io);
    }
    options.host = "no.such.host.invalid";
    EXPECT_THROW(HttpServer(tiny.service(), options), Error);
}

}  // namespace
}  // namespace quarot::serve

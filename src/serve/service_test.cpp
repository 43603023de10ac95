// What each path answers: good requests, every kind of bad one, keys, limits and ends.
#include "serve/service.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

#include "core/error.h"
#include "serve/limits.h"
#include "serve/service_for_tests.h"

namespace quarot::serve {
namespace {

using io::Json;

const std::string kCompletions = "/v1/completions", kChat = "/v1/chat/completions";

const Json& first_choice(const Json& answer) {
    return answer.at("choices").as_array().at(0);
}

// The objects of a stream; it must end with [DONE] unless it ends with an error.
std::vector<Json> events_of(const std::string& body) {
    std::vector<Json> events;
    for (size_t at = 0; at < body.size();) {
        const size_t end = body.find("\n\n", at);
        EXPECT_NE(end, std::string::npos) << "an event is not complete";
        if (end == std::string::npos) break;
        const std::string event = body.substr(at, end - at);
        at = end + 2;
        if (event.starts_with(": ")) continue;
        EXPECT_TRUE(event.starts_with("data: ")) << event;
        if (event == "data: [DONE]") {
            EXPECT_EQ(at, body.size()) << "[DONE] is not last";
            return events;
        }
        events.push_back(Json::parse(event.substr(6), "event"));
    }
    EXPECT_TRUE(!events.empty() && events.back().contains("error")) << "no [DONE]";
    return events;
}

TEST(Service, ACompletionIsTheSameTextWholeStreamedAndAmongOthers) {
    TinyService tiny;
    const std::string body =
        R"("prompt":"Once upon","max_tokens":30,"temperature":1.0,"seed":7,"ignore_eos":true)";
    const Json whole = tiny.json(kCompletions, "{" + body + "}");
    const std::string text = first_choice(whole).at("text").as_string();
    EXPECT_EQ(first_choice(whole).at("finish_reason").as_string(), "length");
    EXPECT_EQ(whole.at("usage").at("prompt_tokens").as_int(), 9);
    EXPECT_EQ(whole.at("usage").at("completion_tokens").as_int(), 30);
    std::vector<std::shared_ptr<KeptExchange>> others;
    for (int i = 0; i < 6; ++i) {
        others.push_back(tiny.ask("POST", kCompletions,
                                  fmt::format(R"({{"prompt":"No {}","max_tokens":99}})", i)));
    }
    const HttpResponse streamed = tiny.post(
        kCompletions, "{" + body + R"(,"stream":true,"stream_options":{"include_usage":true}})");
    EXPECT_EQ(streamed.content_type, "text/event-stream");
    const std::vector<Json> events = events_of(streamed.body);
    std::string joined;
    for (size_t i = 0; i + 1 < events.size(); ++i) {
        joined += first_choice(events[i]).at("text").as_string();
    }
    EXPECT_EQ(joined, text);
    EXPECT_EQ(first_choice(events[events.size() - 2]).at("finish_reason").as_string(), "length");
    EXPECT_EQ(events.back().at("usage").at("completion_tokens").as_int(), 30);
    for (const auto& other : others) EXPECT_EQ(other->wait().status, 200);
    tiny.expect_nothing_runs();
}

TEST(Service, EchoScoresThePromptAndTheOneTokenBehindIt) {
    TinyService tiny;
    const Json answer = tiny.json(
        kCompletions,
        R"({"prompt":[[72,105,33],[65,66]],"max_tokens":1,"logprobs":1,"echo":true,"temperature":0})");
    ASSERT_EQ(answer.at("choices").as_array().size(), 2u);
    for (const Json& choice : answer.at("choices").as_array()) {
        const Json& logprobs = choice.at("logprobs");
        const Json::Array& numbers = logprobs.at("token_logprobs").as_array();
        const Json::Array& tops = logprobs.at("top_logprobs").as_array();
        const size_t n_prompt = choice.at("index").as_int() == 0 ? 3 : 2;
        ASSERT_EQ(numbers.size(), n_prompt + 1);
        ASSERT_EQ(tops.size(), n_prompt + 1);
        EXPECT_TRUE(numbers[0].is_null());
        for (size_t i = 1; i < numbers.size(); ++i) {
            double best = -1e9;
            for (const auto& [text, value] : tops[i].as_object()) {
                best = std::max(best, value.as_double());
            }
            EXPECT_GE(best, numbers[i].as_double());
            EXPECT_LE(best, 0.0);
        }
        // The new token is the likeliest.
        EXPECT_EQ(tops.back().as_object()[0].second.as_double(), numbers.back().as_double());
        EXPECT_TRUE(choice.at("text").as_string().starts_with(n_prompt == 3 ? "Hi!" : "AB"));
    }
    const Json none =
        tiny.json(kCompletions,
                  R"({"prompt":"Hi!","max_tokens":0,"logprobs":0,"echo":true,"temperature":0})");
    EXPECT_EQ(first_choice(none).at("text").as_string(), "Hi!");
    EXPECT_EQ(first_choice(none).at("logprobs").at("tokens").dump(-1), R"(["H","i","!"])");
    EXPECT_EQ(first_choice(none).at("logprobs").at("text_offset").dump(-1), "[0,1,2]");
}

TEST(Service, ChoicesOfOnePromptDifferAndTheFirstIsTheOneOfItsSeed) {
    TinyService tiny;
    const std::string body =
        R"("prompt":"a","max_tokens":20,"temperature":1,"seed":3,"ignore_eos":true)";
    const Json one = tiny.json(kCompletions, "{" + body + "}");
    const Json three = tiny.json(kCompletions, "{" + body + R"(,"n":3})");
    const Json::Array& choices = three.at("choices").as_array();
    ASSERT_EQ(choices.size(), 3u);
    EXPECT_EQ(choices[0].at("text").as_string(), first_choice(one).at("text").as_string());
    EXPECT_NE(choices[1].at("text").as_string(), choices[0].at("text").as_string());
}

TEST(Service, AStopStringEndsBeforeItself) {
    TinyService tiny;
    const std::string body = R"("prompt":"a","max_tokens":60,"temperature":0,"ignore_eos":true)";
    const std::string text =
        first_choice(tiny.json(kCompletions, "{" + body + "}")).at("text").as_string();
    // A piece of whole characters out of the middle.
    size_t at = text.size() / 2;
    while (at < text.size() && static_cast<unsigned char>(text[at]) >= 0x80) ++at;
    ASSERT_LT(at, text.size());
    const std::string stop = text.substr(at, 1);
    Json request = Json::parse("{" + body + "}", "body");
    request.set("stop", Json::Array{stop});
    const Json cut = tiny.json(kCompletions, request.dump(-1));
    EXPECT_EQ(first_choice(cut).at("text").as_string(), text.substr(0, text.find(stop)));
    EXPECT_EQ(first_choice(cut).at("finish_reason").as_string(), "stop");
}

TEST(Service, AChatIsWrittenByItsTemplateAndStreamsItsRoleFirst) {
    TinyService tiny;
    const std::string messages =
        R"("messages":[{"role":"user","content":[{"type":"text","text":"<s>h"},{"type":"text","text":"i"}]}])";
    const Json rendered =
        tiny.json("/apply-template",
                  "{" + messages + R"(,"tools":[{"type":"function"}],"tool_choice":"auto"})");
    EXPECT_EQ(rendered.at("prompt").as_string(),
              "<s>user: <s>hi\ntools [{\"type\": \"function\"}]\n<s>assistant: ");
    const Json ids = tiny.json("/tokenize", "{" + messages + "}");
    EXPECT_EQ(ids.at("count").as_int(), 1 + 6 + 5 + 1 + 1 + 11)
        << "special tokens of the user stay text: " << ids.dump(-1);
    const std::string body = "{" + messages + R"(,"max_tokens":9,"temperature":0,"stream":true})";
    const std::vector<Json> events = events_of(tiny.post(kChat, body).body);
    EXPECT_EQ(first_choice(events[0]).at("delta").dump(-1), R"({"role":"assistant","content":""})");
    EXPECT_EQ(events[0].at("object").as_string(), "chat.completion.chunk");
    const Json whole = tiny.json(
        kChat,
        "{" + messages + R"(,"max_tokens":9,"temperature":0,"logprobs":true,"top_logprobs":2})");
    EXPECT_EQ(whole.at("object").as_string(), "chat.completion");
    EXPECT_EQ(first_choice(whole).at("message").at("role").as_string(), "assistant");
    const Json& content = first_choice(whole).at("logprobs").at("content");
    EXPECT_EQ(content.as_array().at(0).at("top_logprobs").as_array().size(), 2u);
    std::string joined;
    for (const Json& event : events) {
        const Json* piece = first_choice(event).at("delta").find("content");
        if (piece != nullptr) joined += piece->as_string();
    }
    EXPECT_EQ(joined, first_choice(whole).at("message").at("content").as_string());
}

TEST(Service, TokensGoThereAndBack) {
    TinyService tiny;
    const Json ids = tiny.json("/tokenize", R"({"prompt":"Hé","add_special_tokens":false})");
    EXPECT_EQ(ids.at("tokens").dump(-1), "[72,195,169]");
    EXPECT_EQ(ids.at("max_model_len").as_int(), TinyService::kPositions);
    EXPECT_EQ(tiny.json("/detokenize", R"({"tokens":[72,195,169]})").at("prompt").as_string(),
              "Hé");
    EXPECT_EQ(tiny.json("/detokenize", R"({"tokens":[]})").at("prompt").as_string(), "");
    // Rows of the model that the tokenizer has no word for.
    EXPECT_EQ(tiny.post("/detokenize", R"({"tokens":[271]})").status / 100, 2);
}

struct BadBody {
    const char* fields;  // beside a prompt or messages that are fine
    int status;
};

TEST(Service, RefusesEveryBadFieldByItsName) {
    TinyService tiny;
    const std::vector<BadBody> both = {
        {R"("model":"gpt-4")", 404},
        {R"("model":7)", 400},
        {R"("temperature":-0.1)", 400},
        {R"("temperature":10.1)", 400},
        {R"("temperature":"hot")", 400},
        {R"("temperature":1e999)", 400},
        {R"("top_p":1.01)", 400},
        {R"("top_p":-1)", 400},
        {R"("min_p":2)", 400},
        {R"("top_k":-2)", 400},
        {R"("top_k":1.5)", 400},
        {R"("repetition_penalty":0)", 400},
        {R"("repetition_penalty":11)", 400},
        {R"("presence_penalty":11)", 400},
        {R"("frequency_penalty":-11)", 400},
        {R"("n":0)", 400},
        {R"("n":9)", 400},
        {R"("n":9223372036854775808)", 400},
        {R"("best_of":2)", 400},
        {R"("seed":"x")", 400},
        {R"("seed":1.5)", 400},
        {R"("max_tokens":-1)", 400},
        {R"("max_tokens":0)", 400},
        {R"("max_tokens":100000)", 400},
        {R"("max_tokens":9223372036854775807)", 400},
        {R"("stop":7)", 400},
        {R"("stop":[7])", 400},
        {R"("stop":["a","b","c","d","e","f","g","h","i","j","k","l","m","n","o","p","q"])", 400},
        {R"("stream":"yes")", 400},
        {R"("stream_options":true)", 400},
        {R"("stream_options":{"include_usage":1})", 400},
        {R"("logit_bias":[])", 400},
        {R"("logit_bias":{"x":1})", 400},
        {R"("logit_bias":{"-1":1})", 400},
        {R"("logit_bias":{"272":1})", 400},
        {R"("logit_bias":{"1":101})", 400},
        {R"("logit_bias":{"1":null})", 400},
        {R"("response_format":{"type":"json_object"})", 400},
        {R"("response_format":{"type":"json_schema","json_schema":{}})", 400},
        {R"("response_format":"text")", 400},
        {R"("guided_json":{})", 400},
        {R"("use_beam_search":true)", 400},
        {R"("priority":-9)", 400},
        {R"("priority":1)", 400},
        {R"("ignore_eos":0)", 400},
        {R"("n":1,"n":1)", 400},
    };
    const std::vector<BadBody> completions = {
        {R"("logprobs":21)", 400},
        {R"("logprobs":true)", 400},
        {R"("echo":1)", 400},
        {R"("suffix":"x")", 400},
    };
    const std::vector<BadBody> chats = {
        {R"("logprobs":1)", 400},
        {R"("top_logprobs":2)", 400},
        {R"("logprobs":true,"top_logprobs":21)", 400},
        {R"("tool_choice":"required")", 400},
        {R"("tools":{})", 400},
        {R"("functions":[{}])", 400},
        {R"("modalities":["audio"])", 400},
        {R"("chat_template":"{{ 1 }}")", 400},
        {R"("chat_template_kwargs":{"messages":1})", 400},
        {R"("chat_template_kwargs":{"x":[]})", 400},
        {R"("continue_final_message":true)", 400},
        {R"("max_completion_tokens":0)", 400},
    };
    const auto expect_refusals = [&](const std::string& path, const std::string& good,
                                     const std::vector<BadBody>& list) {
        for (const BadBody& bad : list) {
            const std::string body = "{" + good + "," + bad.fields + "}";
            const HttpResponse response = tiny.post(path, body);
            EXPECT_EQ(response.status, bad.status) << path << body << response.body;
            const Json error = Json::parse(response.body, "error").at("error");
            EXPECT_FALSE(error.at("message").as_string().empty());
            const std::string field(bad.fields, std::string_view(bad.fields).find(':'));
            const bool names_it = error.at("param").dump(-1) == field;
            const bool is_more = std::string_view(bad.fields).find(',') != std::string::npos ||
                                 std::string_view(bad.fields).starts_with("\"chat_template_k");
            EXPECT_TRUE(names_it || is_more || response.body.find("1e999") != std::string::npos ||
                        response.body.find("finite") != std::string::npos)
                << body << response.body;
        }
    };
    const std::string prompt = R"("prompt":"a")",
                      messages = R"("messages":[{"role":"user","content":"a"}])";
    expect_refusals(kCompletions, prompt, both);
    expect_refusals(kChat, messages, both);
    expect_refusals(kCompletions, prompt, completions);
    expect_refusals(kChat, messages, chats);
    tiny.expect_nothing_runs();
}

TEST(Service, RefusesBodiesThatAreNoRequests) {
    TinyService tiny;
    std::string deep = "{\"prompt\":" + std::string(3000, '[') + std::string(3000, ']') + "}";
    std::string many = "{\"prompt\":[" + std::string(128 * 4, ' ');
    for (int i = 0; i < 129; ++i) many += std::string(i > 0 ? "," : "") + "\"a\"";
    many += "]}";
    const std::string long_text(200'000, 'a');
    const std::vector<std::string> bad = {
        "",
        "x",
        "null",
        "[]",
        "7",
        "\"a\"",
        "{",
        "{}",
        "{\"prompt\":\"a\"} x",
        "\xff",
        "{\"prompt\":\"\xff\"}",
        deep,
        many,
        R"({"prompt":null})",
        R"({"prompt":7})",
        R"({"prompt":{}})",
        R"({"prompt":[]})",
        R"({"prompt":[[]]})",
        R"({"prompt":[1,"a"]})",
        R"({"prompt":[-1]})",
        R"({"prompt":[272]})",
        R"({"prompt":[1.5]})",
        R"({"prompt":[4294967296]})",
        R"({"prompt":["a",[]]})",
        R"({"prompt":[null]})",
        R"({"prompt":["a"],"n":8,"best_of":1})",
        "{\"prompt\":\"" + std::string(161, 'a') + "\"}",
        "{\"prompt\":\"" + long_text + "\"}",
        "{\"prompt\":\"" + std::string(160, 'a') + "\"}",
    };
    for (const std::string& body : bad) {
        EXPECT_EQ(tiny.post(kCompletions, body).status, 400) << body.substr(0, 100);
    }
    const std::vector<std::string> bad_chats = {
        R"({"messages":null})",
        R"({"messages":[]})",
        R"({"messages":{}})",
        R"({"messages":[7]})",
        R"({"messages":[{}]})",
        R"({"messages":[{"role":7,"content":"a"}]})",
        R"({"messages":[{"role":"a b","content":"a"}]})",
        R"({"messages":[{"role":"user","content":7}]})",
        R"({"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"file:///etc/passwd"}}]}]})",
        R"({"messages":[{"role":"user","content":[7]}]})",
        "{\"messages\":[{\"role\":\"user\",\"content\":\"" + std::string(161, 'a') + "\"}]}",
    };
    for (const std::string& body : bad_chats) {
        EXPECT_EQ(tiny.post(kChat, body).status, 400) << body.substr(0, 100);
    }
    for (const char* body :
         {R"({"tokens":7})", R"({"tokens":[-1]})", R"({"tokens":["a"]})", R"({})", R"([1])"}) {
        EXPECT_EQ(tiny.post("/detokenize", body).status, 400) << body;
    }
    for (const char* body : {R"({"prompt":7})", R"({})", R"({"messages":[]})"}) {
        EXPECT_EQ(tiny.post("/tokenize", body).status, 400) << body;
    }
    EXPECT_EQ(tiny.post("/apply-template", "{}").status, 400);
    EXPECT_EQ(tiny.json(kCompletions, R"({"prompt":"a","max_tokens":1})")
                  .at("usage")
                  .at("completion_tokens")
                  .as_int(),
              1)
        << "still alive";
}

TEST(Service, NamesFieldsThatItIgnores) {
    TinyService tiny;
    const HttpResponse response = tiny.post(
        kCompletions, R"({"prompt":"a","max_tokens":1,"store":true,"x\r\nSet-Cookie: a":1})");
    EXPECT_EQ(response.status, 200);
    std::string ignored;
    for (const auto& [name, value] : response.headers) {
        if (name == "X-Quarot-Ignored") ignored = value;
    }
    EXPECT_EQ(ignored, "store");
}

TEST(Service, WithKeysOnlyHealthAndThePageArePublic) {
    test::TempDir dir;
    const std::string key = "a-key-of-20-letters-", path = dir / "keys";
    std::ofstream(path) << "# two\n" << key << "\nanother-key-of-many\r\n";
    TinyService tiny({.keys = ApiKeys::of_file(path)});
    for (const Route& route : Service::routes()) {
        std::string of = route.path;
        if (of.ends_with("*")) of.back() = 'x';
        const auto status = [&](const std::string& authorization) {
            return tiny.ask(route.method, of, "{}", authorization)->wait().status;
        };
        const bool is_open = route.access != Access::Key;  // metrics: from this machine
        const std::vector<std::string> wrong_keys = {"",
                                                     "Bearer ",
                                                     "Bearer a",
                                                     "Bearer " + key.substr(1),
                                                     "Bearer " + key + "x",
                                                     key,
                                                     "Basic " + key,
                                                     "Bearer  " + key,
                                                     "Bearer # two"};
        for (const std::string& wrong : wrong_keys) {
            EXPECT_EQ(status(wrong) == 401, !is_open) << of << " " << wrong;
        }
        EXPECT_NE(status("Bearer " + key), 401) << of;
        EXPECT_NE(status("Bearer another-key-of-many"), 401) << of;
    }
    EXPECT_EQ(tiny.get("/nope").status, 401) << "tells nothing without a key";
    auto remote = std::make_shared<KeptExchange>();
    tiny.service().handle({.method = "GET", .path = "/metrics", .from_loopback = false}, remote);
    EXPECT_EQ(remote->wait().status, 401);
}

TEST(Service, KeysAreRefusedThatAnyoneGuesses) {
    test::TempDir dir;
    for (const std::string& text :
         {std::string(), std::string("# none\n"), std::string("short\n"),
          std::string("with a space in it\n"), std::string("with-a-tab\tin-the-middle\n")}) {
        std::ofstream(dir / "keys") << text;
        EXPECT_THROW(ApiKeys::of_file(dir / "keys"), Error) << text;
    }
    EXPECT_THROW(ApiKeys::of_file(dir / "none"), Error);
}

TEST(Service, OtherHostsAndMethodsAreRefused) {
    TinyService tiny({.allowed_hosts = {"127.0.0.1", "localhost", "[::1]"}});
    const auto status_of = [&](const std::string& host) {
        auto exchange = std::make_shared<KeptExchange>();
        tiny.service().handle({.method = "GET", .path = "/health", .headers = {{"host", host}}},
                              exchange);
        return exchange->wait().status;
    };
    for (const char* host : {"localhost", "localhost:8080", "127.0.0.1:1", "[::1]:8080", "[::1]"}) {
        EXPECT_EQ(status_of(host), 200) << host;
    }
    for (const char* host : {"evil.example", "evil.example:8080", "", "localhost.evil.example",
                             "127.0.0.1.evil.example", "[::1", "[::2]:1"}) {
        EXPECT_EQ(status_of(host), 403) << host;
    }
    EXPECT_EQ(tiny.ask("POST", "/health")->wait().status, 405);
    EXPECT_EQ(tiny.ask("GET", kCompletions)->wait().status, 405);
    EXPECT_EQ(tiny.ask("DELETE", "/v1/models/tiny")->wait().status, 405);
    EXPECT_EQ(tiny.get("/../etc/passwd").status, 404);
    EXPECT_EQ(tiny.get("/v1/models/tiny").status, 200);
    EXPECT_EQ(tiny.get("/v1/models/other").status, 404);
    EXPECT_EQ(tiny.get("/v1/models/").status, 404);
}

// The engine waits in the first step of this stream, until the exchange lets it go.
std::shared_ptr<KeptExchange> hold_engine(TinyService& tiny, const std::string& stream) {
    auto exchange = std::make_shared<KeptExchange>();
    exchange->hold_engine(true);
    tiny.ask("POST", kCompletions, stream, "", exchange);
    exchange->wait_for_bytes(1);
    return exchange;
}

TEST(Service, AFullQueueAnswersAtOnceAndEmptiesAgain) {
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

TEST(Service, AClientThatLeavesFreesItsPagesAndHarmsNobody) {
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

TEST(Service, AClientThatReadsNothingIsCut) {
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

TEST(Service, ADrainingServerRefusesNewWorkAndEndsWhatRuns) {
    TinyService tiny;
    const auto running =
        tiny.ask("POST", kCompletions, R"({"prompt":"a","max_tokens":20,"ignore_eos":true})");
    tiny.service().drain();
    EXPECT_EQ(tiny.get("/health").status, 503);
    EXPECT_EQ(tiny.post(kCompletions, R"({"prompt":"a"})").status, 503);
    EXPECT_EQ(running->wait().status, 200);
    tiny.expect_nothing_runs();
}

TEST(Service, WhatIsAbortedEndsWithAnErrorOnce) {
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

TEST(Service, AJobThatIsAbortedBeforeItStartsIsDoneAndRunsNothing) {
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

TEST(Service, WhatCannotBeginIsAnsweredOnceAndCancelled) {
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

TEST(Service, AnAnswerThatCannotBeSentEndsItsJob) {
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

TEST(Service, TimeIsUpForWhatTakesTooLongOrNeverBegins) {
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

// Every route is described, and nothing else is.
TEST(Service, TheOpenApiDocumentHasTheRoutesAndOnlyThese) {
    TinyService tiny;
    const Json document = Json::parse(tiny.get("/openapi.json").body, "openapi.json");
    size_t n_described = 0;
    for (const auto& [path, item] : document.at("paths").as_object()) {
        n_described += (item.contains("get") ? 1 : 0) + (item.contains("post") ? 1 : 0);
    }
    EXPECT_EQ(n_described, Service::routes().size());
    for (const Route& route : Service::routes()) {
        std::string path = route.path;
        if (path.ends_with("*")) path.replace(path.size() - 1, 1, "{id}");
        const std::string method = std::string(route.method) == "GET" ? "get" : "post";
        EXPECT_TRUE(document.at("paths").at(path).contains(method)) << path;
    }
}

TEST(Service, ThePageMayRunItsOwnScriptAlone) {
    TinyService tiny;
    const HttpResponse page = tiny.get("/");
    EXPECT_TRUE(page.content_type.starts_with("text/html"));
    std::string policy;
    for (const auto& [name, value] : page.headers) {
        if (name == "Content-Security-Policy") policy = value;
    }
    EXPECT_TRUE(policy.starts_with("default-src 'none'; script-src 'sha256-")) << policy;
    EXPECT_EQ(policy.find("unsafe"), std::string::npos);
    for (const char* word : {"http://", "https://", "onclick", "style=\"", "innerHTML"}) {
        EXPECT_EQ(page.body.find(word), std::string::npos) << word;
    }
}

}  // namespace
}  // namespace quarot::serve

// What good requests are answered: whole and streamed, with scores, choices and stops.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "serve/service.h"
#include "serve/service_for_tests.h"

namespace quarot::serve {
namespace {

using io::Json;

TEST(ServiceAnswers, ACompletionIsTheSameTextWholeStreamedAndAmongOthers) {
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

TEST(ServiceAnswers, EchoScoresThePromptAndTheOneTokenBehindIt) {
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

TEST(ServiceAnswers, ChoicesOfOnePromptDifferAndTheFirstIsTheOneOfItsSeed) {
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

TEST(ServiceAnswers, AStopStringEndsBeforeItself) {
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

TEST(ServiceAnswers, AChatIsWrittenByItsTemplateAndStreamsItsRoleFirst) {
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

TEST(ServiceAnswers, PropsHaveNumbersAsPeopleWroteThem) {
    TinyService tiny;
    ModelFacts facts = tiny.model().facts();
    facts.sampling = {.temperature = 0.7f,
                      .top_k = 40,
                      .top_p = 0.95f,
                      .min_p = 0.1f,
                      .repetition_penalty = 1.1f};
    const ServedModel model(std::move(facts));
    Service service(model, runtime::one_rank(tiny.weights(), tiny.backend()),
                    {.context = TinyService::kPositions}, {});
    const auto exchange = std::make_shared<KeptExchange>();
    service.handle({.method = "GET", .path = "/props"}, exchange);
    const Json props = Json::parse(exchange->wait().body, "props");
    EXPECT_EQ(
        props.at("default_sampling").dump(-1),
        R"({"temperature":0.7,"top_k":40,"top_p":0.95,"min_p":0.1,"repetition_penalty":1.1})");
}

TEST(ServiceAnswers, TokensGoThereAndBack) {
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

}  // namespace
}  // namespace quarot::serve

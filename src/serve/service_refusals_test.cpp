// Requests that are refused: every kind of bad field by its name, and bodies that are no requests.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "serve/service.h"
#include "serve/service_for_tests.h"

namespace quarot::serve {
namespace {

using io::Json;

// Values that a field refuses by its name.
struct BadField {
    std::string name;
    std::vector<std::string> values;  // JSON
    int status = 400;
    std::string beside = {};  // fields without which the values were fine
};

const std::vector<BadField> kBadAnywhere = {
    {.name = "model", .values = {R"("gpt-4")"}, .status = 404},
    {.name = "model", .values = {"7"}},
    {.name = "temperature", .values = {"-0.1", "10.1", R"("hot")"}},
    {.name = "top_p", .values = {"1.01", "-1"}},
    {.name = "min_p", .values = {"2"}},
    {.name = "top_k", .values = {"-2", "1.5"}},
    {.name = "repetition_penalty", .values = {"0", "11"}},
    {.name = "presence_penalty", .values = {"11"}},
    {.name = "frequency_penalty", .values = {"-11"}},
    {.name = "n", .values = {"0", "9", "9223372036854775808"}},
    {.name = "best_of", .values = {"2"}},
    {.name = "best_of", .values = {"1"}, .beside = R"("n":8)"},
    {.name = "seed", .values = {R"("x")", "1.5"}},
    {.name = "max_tokens", .values = {"-1", "0", "100000", "9223372036854775807"}},
    {.name = "stop",
     .values = {"7", "[7]",
                R"(["a","b","c","d","e","f","g","h","i","j","k","l","m","n","o","p","q"])"}},
    {.name = "stream", .values = {R"("yes")"}},
    {.name = "stream_options", .values = {"true", R"({"include_usage":1})"}},
    {.name = "logit_bias",
     .values = {"[]", R"({"x":1})", R"({"-1":1})", R"({"272":1})", R"({"1":101})",
                R"({"1":null})"}},
    {.name = "response_format",
     .values = {R"({"type":"json_object"})", R"({"type":"json_schema","json_schema":{}})",
                R"("text")"}},
    {.name = "guided_json", .values = {"{}"}},
    {.name = "use_beam_search", .values = {"true"}},
    {.name = "priority", .values = {"-9", "1"}},
    {.name = "ignore_eos", .values = {"0"}},
};

const std::vector<BadField> kBadInCompletions = {
    {.name = "logprobs", .values = {"21", "true"}},
    {.name = "echo", .values = {"1"}},
    {.name = "suffix", .values = {R"("x")"}},
};

const std::vector<BadField> kBadInChats = {
    {.name = "logprobs", .values = {"1"}},
    {.name = "top_logprobs", .values = {"2"}},
    {.name = "top_logprobs", .values = {"21"}, .beside = R"("logprobs":true)"},
    {.name = "tool_choice", .values = {R"("required")"}},
    {.name = "tools", .values = {"{}"}},
    {.name = "functions", .values = {"[{}]"}},
    {.name = "modalities", .values = {R"(["audio"])"}},
    {.name = "chat_template", .values = {R"("{{ 1 }}")"}},
    {.name = "chat_template_kwargs", .values = {"[]", R"({"messages":1})", R"({"x":[]})"}},
    {.name = "continue_final_message", .values = {"true"}},
    {.name = "max_completion_tokens", .values = {"0", "100000"}},
    {.name = "max_completion_tokens", .values = {"3"}, .beside = R"("max_tokens":4)"},
};

// good: the fields of a request that has nothing else wrong.
void expect_refused(TinyService& tiny, const std::string& path, const std::string& good,
                    const std::vector<BadField>& list) {
    for (const BadField& field : list) {
        const std::string rest = good + (field.beside.empty() ? "" : "," + field.beside);
        for (const std::string& value : field.values) {
            const std::string body = "{" + rest + ",\"" + field.name + "\":" + value + "}";
            const HttpResponse response = tiny.post(path, body);
            EXPECT_EQ(response.status, field.status) << path << body << response.body;
            const Json error = Json::parse(response.body, "error").at("error");
            EXPECT_FALSE(error.at("message").as_string().empty()) << body;
            EXPECT_EQ(error.at("param").dump(-1), "\"" + field.name + "\"")
                << body << response.body;
        }
    }
}

const std::string kPrompt = R"("prompt":"a")";
const std::string kMessages = R"("messages":[{"role":"user","content":"a"}])";

TEST(ServiceRefusals, NameTheBadFieldOfACompletion) {
    TinyService tiny;
    expect_refused(tiny, kCompletions, kPrompt, kBadAnywhere);
    expect_refused(tiny, kCompletions, kPrompt, kBadInCompletions);
    tiny.expect_nothing_runs();
    EXPECT_EQ(tiny.post(kCompletions, "{" + kPrompt + "}").status, 200) << "the rest is good";
}

TEST(ServiceRefusals, NameTheBadFieldOfAChat) {
    TinyService tiny;
    expect_refused(tiny, kChat, kMessages, kBadAnywhere);
    expect_refused(tiny, kChat, kMessages, kBadInChats);
    tiny.expect_nothing_runs();
    EXPECT_EQ(tiny.post(kChat, "{" + kMessages + "}").status, 200) << "the rest is good";
}

void expect_no_requests(const std::string& path, const std::vector<std::string>& bodies) {
    TinyService tiny;
    for (const std::string& body : bodies) {
        EXPECT_EQ(tiny.post(path, body).status, 400) << path << " " << body.substr(0, 100);
    }
    EXPECT_EQ(tiny.post(kCompletions, R"({"prompt":"a","max_tokens":1})").status, 200)
        << "still alive";
}

// good: the fields of a request that has nothing else wrong.
std::vector<std::string> texts_that_are_no_object(const std::string& good) {
    const std::string deep = std::string(3000, '[') + std::string(3000, ']');
    return {"",
            "x",
            "null",
            "[]",
            "7",
            "\"a\"",
            "{",
            "\xff",
            "{" + good,
            "{" + good + "} x",
            "{" + good + ",\"user\":\"\xff\"}",
            "{" + good + ",\"store\":" + deep + "}",
            "{" + good + ",\"temperature\":1e999}",
            "{" + good + ",\"n\":1,\"n\":1}"};
}

TEST(ServiceRefusals, OfTextsThatAreNoJsonObject) {
    expect_no_requests(kCompletions, texts_that_are_no_object(kPrompt));
    expect_no_requests(kChat, texts_that_are_no_object(kMessages));
}

TEST(ServiceRefusals, OfPromptsThatAreNone) {
    std::string many = "{\"prompt\":[\"a\"";
    for (int i = 0; i < 128; ++i) many += ",\"a\"";
    many += "]}";
    const auto letters = [](size_t n) { return "{\"prompt\":\"" + std::string(n, 'a') + "\"}"; };
    expect_no_requests(
        kCompletions,
        {"{}", "{\"prompt\":\"\xff\"}", R"({"prompt":null})", R"({"prompt":7})", R"({"prompt":{}})",
         R"({"prompt":[]})", R"({"prompt":[[]]})", R"({"prompt":[1,"a"]})", R"({"prompt":[-1]})",
         R"({"prompt":[272]})", R"({"prompt":[1.5]})", R"({"prompt":[4294967296]})",
         R"({"prompt":["a",[]]})", R"({"prompt":[null]})", many, letters(TinyService::kPositions),
         letters(TinyService::kPositions + 1), letters(200'000)});
}

TEST(ServiceRefusals, OfConversationsThatAreNone) {
    const std::string image = R"([{"type":"image_url","image_url":{"url":"file:///etc/passwd"}}])";
    expect_no_requests(kChat, {"{}", R"({"messages":null})", R"({"messages":[]})",
                               R"({"messages":{}})", R"({"messages":[7]})", R"({"messages":[{}]})",
                               R"({"messages":[{"role":7,"content":"a"}]})",
                               R"({"messages":[{"role":"a b","content":"a"}]})",
                               R"({"messages":[{"role":"user","content":7}]})",
                               R"({"messages":[{"role":"user","content":)" + image + "}]}",
                               R"({"messages":[{"role":"user","content":[7]}]})",
                               R"({"messages":[{"role":"user","content":")" +
                                   std::string(TinyService::kPositions + 1, 'a') + "\"}]}"});
}

TEST(ServiceRefusals, OfWhatIsNoTextAndNoTokens) {
    expect_no_requests("/detokenize", {R"({"tokens":7})", R"({"tokens":[-1]})",
                                       R"({"tokens":["a"]})", "{}", "[1]"});
    expect_no_requests("/tokenize",
                       {R"({"prompt":7})", R"({"content":7})", "{}", R"({"messages":[]})",
                        R"({"prompt":"a","messages":[{"role":"user","content":"a"}]})",
                        R"({"content":7,"messages":[{"role":"user","content":"a"}]})"});
    expect_no_requests("/apply-template", {"{}"});
}

TEST(ServiceRefusals, AreNotForFieldsThatAreIgnoredByName) {
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

}  // namespace
}  // namespace quarot::serve

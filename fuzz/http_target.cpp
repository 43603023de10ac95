// Bytes of a connection: however they are cut, they are the same requests or the same refusal, and
// what a body asks for is refused or within the limits. A byte of cuts, then the connection.
#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "chat/chat_template.h"
#include "fuzz/target.h"
#include "io/json.h"
#include "serve/api_error.h"
#include "serve/generation_request.h"
#include "serve/http_reader.h"
#include "serve/limits.h"

namespace quarot::fuzz {
namespace {

using serve::ApiError;

// Letters are tokens, all other text is none.
const serve::ServedModel& model() {
    static const serve::ServedModel instance = [] {
        io::Json vocab = io::Json::Object{};
        for (char c = 'a'; c <= 'z'; ++c) vocab.set(std::string(1, c), int{c - 'a'});
        io::Json tokenizer = io::Json::Object{
            {"added_tokens",
             io::Json::Array{io::Json::Object{{"id", 26}, {"content", "<s>"}, {"special", true}}}},
            {"model",
             io::Json::Object{{"type", "BPE"}, {"vocab", vocab}, {"merges", io::Json::Array{}}}}};
        serve::ModelFacts facts = {
            .folder = "folder", .name = "tiny", .context = 64, .vocabulary = 27};
        return serve::ServedModel(
            std::move(facts), tokenizer::Tokenizer::from_json(tokenizer),
            std::make_unique<chat::ChatTemplate>(chat::ChatTemplate::parse(
                "{% for m in messages %}{{ m.role }} {{ m.content }}{% endfor %}", {})),
            "");
    }();
    return instance;
}

void check_refusal(const ApiError& error) {
    const int status = error.status();
    expect((status >= 400 && status < 500) || status == 505, "a request is the server's fault");
    const io::Json body = io::Json::parse(error.body(), "body");
    expect(!body.at("error").at("message").as_string().empty(), "a refusal without a message");
}

// What a connection says: its requests, then how it was refused.
struct Transcript {
    std::string text;
    std::vector<serve::HttpRequest> requests;
    std::optional<ApiError> refusal;
};

Transcript transcript(std::string_view bytes, size_t step) {
    Transcript result;
    std::string& text = result.text;
    serve::HttpReader reader;
    try {
        for (size_t at = 0; at < bytes.size(); at += step) {
            auto request = reader.put(bytes.substr(at, step));
            for (; request; request = reader.put("")) {
                text += request->method + " " + request->path + "?" + request->query + "\n";
                for (const auto& [name, value] : request->headers)
                    text += name + "=" + value + "\n";
                text += request->body + (request->keep_alive ? "\n+" : "\n-");
                result.requests.push_back(std::move(*request));
            }
        }
    } catch (const ApiError& error) {
        text += std::to_string(error.status());
        result.refusal = error;
    }
    return result;
}

void check_request(const serve::GenerationRequest& request) {
    const int64_t n_new = request.order.options.max_new_tokens;
    expect(request.n >= 1 && request.n <= limits::kChoices, "n is out of its range");
    expect(!request.prompts.empty(), "no prompt");
    for (const serve::Prompt& prompt : request.prompts) {
        expect(!prompt.ids.empty(), "an empty prompt");
        expect(n_new >= 0 && std::ssize(prompt.ids) + n_new <= 64, "longer than the context");
        for (const int32_t id : prompt.ids) expect(id >= 0 && id < 27, "an id of no token");
    }
    for (const auto& [id, bias] : request.order.changes.bias) {
        expect(id >= 0 && id < 27, "a bias of no token");
    }
    runtime::check_sampling(request.order.options.sampling);
}

void check_body(const std::string& body) {
    for (const auto read : {serve::read_completion, serve::read_chat}) {
        try {
            check_request(read(body, model()));
        } catch (const ApiError& error) {
            check_refusal(error);
        }
    }
}

void run(std::string_view input) {
    if (input.empty()) return;
    const size_t step = 1 + static_cast<unsigned char>(input.front()) % 64;
    input.remove_prefix(1);
    const Transcript whole = transcript(input, input.size() + 1);
    const Transcript cut = transcript(input, step);
    expect(whole.text == cut.text, "cuts change what a connection says");
    if (whole.refusal) check_refusal(*whole.refusal);
    // Writing and reading an answer takes longer than all else: not twice the same one.
    const auto message_of = [](const Transcript& of) {
        return of.refusal ? std::string_view(of.refusal->what()) : "";
    };
    if (message_of(cut) != message_of(whole)) check_refusal(*cut.refusal);
    for (const serve::HttpRequest& request : whole.requests) check_body(request.body);
}

std::string post(const std::string& body) {
    return "\aPOST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: " +
           std::to_string(body.size()) + "\r\n\r\n" + body;
}

std::vector<std::string> seeds() {
    return {
        "\x01GET /health HTTP/1.1\r\nHost: a\r\n\r\n",
        "\x03GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /b?c HTTP/1.1\r\nHost: b\r\nConnection: "
        "close\r\n\r\n",
        "\x05POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        "\x05POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
        "chunked\r\n\r\n1;x=y\r\n{\r\n1\r\n}\r\n0\r\nX: y\r\n\r\n",
        "\x01POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
        "chunked\r\n\r\n1ddddd;x=\"a\r\n2;bbbbbbbbbbbbbbbbbbbb\r",
        "\x01POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "\x01POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n",
        "\x01GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n",
        "\x01GET / HTTP/1.0\r\nHost: a\r\n\r\n",
        "\x01GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        post(R"({"prompt":"abc","max_tokens":3})"),
        post(R"({"prompt":[1,2],"max_tokens":0,"echo":true,"logprobs":2})"),
        post(R"({"prompt":["a",[3]],"n":2,"seed":-1,"stop":["x"],"logit_bias":{"3":-1.5}})"),
        post(
            R"({"prompt":"a","temperature":0.5,"top_p":0.9,"top_k":-1,"stream":true,"stream_options":{"include_usage":true}})"),
        post(R"({"messages":[{"role":"user","content":"hi"}],"max_completion_tokens":5})"),
        post(
            R"({"messages":[{"role":"user","content":[{"type":"text","text":"a"}]}],"tools":[{}],"tool_choice":"auto","logprobs":true,"top_logprobs":2})"),
        post(R"({"messages":[{"role":"user","content":"a"}],"chat_template_kwargs":{"x":1}})"),
        post(R"({"prompt":"a","max_tokens":9223372036854775807})"),
        post(R"({"prompt":[[]]})"),
        post("[[[[[[[["),
    };
}

std::vector<std::string> words() {
    return {"\r\n",        "\r\n\r\n",    "Content-Length: ",
            "Host: a\r\n", " HTTP/1.1",   "Transfer-Encoding: chunked\r\n",
            "0\r\n\r\n",   "\"prompt\":", "\"messages\":[{\"role\":\"user\",\"content\":",
            "\"n\":",      "\"stop\":",   "\"max_tokens\":",
            "null",        "true",        "[1,2]"};
}

}  // namespace

constinit const Target kHttpTarget = {.name = "http", .run = run, .seeds = seeds, .words = words};

}  // namespace quarot::fuzz

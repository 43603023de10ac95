#include "serve/answer.h"

#include <algorithm>

#include "io/utf8.h"

namespace quarot::serve {

namespace {

using io::Json;

// The likeliest and the token itself, by their texts.
Json top_of_completion(const runtime::TokenScore& score, const TokenTexts& texts) {
    Json::Object top;
    const auto add = [&](const runtime::ScoredToken& token) {
        const std::string text = texts.of(token.id);
        const bool is_known =
            std::ranges::any_of(top, [&](const auto& entry) { return entry.first == text; });
        // They come best first.
        if (!is_known) top.emplace_back(text, token.log_probability);
    };
    for (const runtime::ScoredToken& token : score.top) add(token);
    add(score.token);
    return top;
}

Json completion_logprobs(const std::vector<SpokenToken>& tokens, const TokenTexts& texts) {
    Json::Array names, numbers, tops, offsets;
    for (const SpokenToken& token : tokens) {
        names.emplace_back(texts.of(token.id));
        offsets.emplace_back(token.offset);
        numbers.push_back(token.score ? Json(token.score->token.log_probability) : Json());
        tops.push_back(token.score ? top_of_completion(*token.score, texts) : Json());
    }
    return Json::Object{{"tokens", std::move(names)},
                        {"token_logprobs", std::move(numbers)},
                        {"top_logprobs", std::move(tops)},
                        {"text_offset", std::move(offsets)}};
}

Json chat_token(const runtime::ScoredToken& token, const TokenTexts& texts) {
    const std::string text = texts.of(token.id);
    Json::Array bytes;
    for (size_t i = 0; i < text.size(); ++i) bytes.emplace_back(int{io::byte_at(text, i)});
    return Json::Object{
        {"token", text}, {"logprob", token.log_probability}, {"bytes", std::move(bytes)}};
}

Json chat_logprobs(const std::vector<SpokenToken>& tokens, const TokenTexts& texts) {
    Json::Array content;
    for (const SpokenToken& token : tokens) {
        if (!token.score) continue;
        Json entry = chat_token(token.score->token, texts);
        Json::Array top;
        for (const auto& other : token.score->top) top.push_back(chat_token(other, texts));
        entry.set("top_logprobs", std::move(top));
        content.push_back(std::move(entry));
    }
    return Json::Object{{"content", std::move(content)}};
}

Json choice_of(const AnswerFrame& frame, const Piece& piece, bool whole, const TokenTexts& texts) {
    Json choice = Json::Object{{"index", piece.index}};
    if (!frame.is_chat) {
        choice.set("text", piece.text);
    } else {
        Json message;
        if (whole || piece.begins) message.set("role", "assistant");
        if (whole || piece.begins || !piece.text.empty()) message.set("content", piece.text);
        choice.set(whole ? "message" : "delta", message.is_null() ? Json(Json::Object{}) : message);
    }
    Json logprobs;
    if (piece.tokens != nullptr) {
        logprobs = frame.is_chat ? chat_logprobs(*piece.tokens, texts)
                                 : completion_logprobs(*piece.tokens, texts);
    }
    choice.set("logprobs", std::move(logprobs));
    choice.set("finish_reason",
               piece.finish_reason != nullptr ? Json(piece.finish_reason) : Json());
    return choice;
}

Json begun(const AnswerFrame& frame, bool whole) {
    const char* object = !frame.is_chat ? "text_completion"
                         : whole        ? "chat.completion"
                                        : "chat.completion.chunk";
    return Json::Object{
        {"id", frame.id}, {"object", object}, {"created", frame.created}, {"model", frame.model}};
}

Json usage_of(const Usage& usage) {
    return Json::Object{{"prompt_tokens", usage.prompt_tokens},
                        {"completion_tokens", usage.new_tokens},
                        {"total_tokens", usage.prompt_tokens + usage.new_tokens}};
}

std::string event_of(const Json& json) {
    return "data: " + json.dump(-1) + "\n\n";
}

}  // namespace

std::string whole_answer(const AnswerFrame& frame, const std::vector<Piece>& choices,
                         const Usage& usage, const TokenTexts& texts) {
    Json answer = begun(frame, true);
    Json::Array list;
    for (const Piece& choice : choices) list.push_back(choice_of(frame, choice, true, texts));
    answer.set("choices", std::move(list));
    answer.set("usage", usage_of(usage));
    return answer.dump(-1);
}

std::string piece_event(const AnswerFrame& frame, const Piece& piece, const TokenTexts& texts) {
    Json event = begun(frame, false);
    event.set("choices", Json::Array{choice_of(frame, piece, false, texts)});
    return event_of(event);
}

std::string usage_event(const AnswerFrame& frame, const Usage& usage) {
    Json event = begun(frame, false);
    event.set("choices", Json::Array{});
    event.set("usage", usage_of(usage));
    return event_of(event);
}

std::string error_event(const std::string& error_body) {
    return "data: " + error_body + "\n\n";
}

}  // namespace quarot::serve

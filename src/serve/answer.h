// What a client reads: choices of a generation as OpenAI's objects, whole or in pieces.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "io/json.h"
#include "runtime/token_score.h"
#include "serve/token_texts.h"

namespace quarot::serve {

struct SpokenToken {
    int32_t id = 0;
    std::optional<runtime::TokenScore> score;  // of a prompt's first token there is none
    int64_t offset = 0;                        // of its text, in characters
};

// A choice, or the next piece of one.
struct Piece {
    int64_t index = 0;
    std::string text;
    const char* finish_reason = nullptr;               // null: more follows
    const std::vector<SpokenToken>* tokens = nullptr;  // null: no log-probabilities are wanted
    bool begins = false;                               // of a chat's stream: the role, no text
};

struct Usage {
    int64_t prompt_tokens = 0;
    int64_t new_tokens = 0;
};

struct AnswerFrame {
    bool is_chat = false;
    std::string id;
    std::string model;
    int64_t created = 0;  // seconds since 1970
};

// {"id", "object", "created", "model", "choices", "usage"}. In log-probabilities a token's own
// number is the same double where it stands alone and among the likeliest; of several tokens that
// read alike the likeliest counts.
std::string whole_answer(const AnswerFrame& frame, const std::vector<Piece>& choices,
                         const Usage& usage, const TokenTexts& texts);
// One event of a stream, framed: "data: {...}\n\n".
std::string piece_event(const AnswerFrame& frame, const Piece& piece, const TokenTexts& texts);
std::string usage_event(const AnswerFrame& frame, const Usage& usage);
std::string error_event(const std::string& error_body);
inline constexpr const char* kDoneEvent = "data: [DONE]\n\n";
inline constexpr const char* kPingEvent = ": ping\n\n";

}  // namespace quarot::serve

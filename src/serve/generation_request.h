// What a client asks to be generated: the bodies of completions and of chats, checked.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/batch_engine.h"
#include "serve/body_fields.h"
#include "serve/served_model.h"

namespace quarot::serve {

struct Prompt {
    std::vector<int32_t> ids;  // at least one, all in the vocabulary
    std::string text;
};

struct GenerationRequest {
    bool is_chat = false;
    std::vector<Prompt> prompts;
    int64_t n = 1;                 // choices of each prompt
    runtime::Order order;          // of each, but for prompt and seed
    std::optional<uint64_t> seed;  // of the first choice; those after it count on
    std::vector<std::string> stops;
    std::optional<int64_t> n_top;  // log-probabilities, with so many likeliest
    bool echo = false;
    bool stream = false;
    bool include_usage = false;  // as a last chunk of a stream
    std::string ignored;         // fields of the body, with commas

    int64_t n_prompt_tokens() const;
};

// ApiError.
GenerationRequest read_completion(std::string_view body, const ServedModel& model);
GenerationRequest read_chat(std::string_view body, const ServedModel& model);

// Shared with other endpoints. "messages" and what belongs to them, written by the model's
// template. ApiError 400 if it has none.
chat::RenderedChat render_messages(BodyFields& fields, const ServedModel& model);
// A list of ids of the vocabulary, at least one.
std::vector<int32_t> as_ids(const std::string& name, const io::Json& list,
                            const ServedModel& model);
// ApiError 400 for a text that has too many tokens for the context, whatever they are.
void require_length(const std::string& name, const std::string& text, const ServedModel& model);

}  // namespace quarot::serve

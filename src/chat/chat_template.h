// How does a conversation become the prompt that a model was trained on? By the template of its
// folder.
#pragma once

#include <cstddef>
#include <cstdint>
#include <ctime>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "io/json.h"
#include "tokenizer/tokenizer.h"

namespace quarot::limits {
inline constexpr size_t kConversationBytes = size_t{2} << 20;  // of messages and tools
}

namespace quarot::chat {

struct Message {
    std::string role;     // "system", "user", "assistant"
    std::string content;  // any bytes; invalid UTF-8 becomes U+FFFD
};

struct RenderOptions {
    bool add_generation_prompt = true;  // end where the model is to answer
    io::Json tools;                     // null: none; else an array of function descriptions
    io::Json extra;                     // null, or an object of <= 16 scalars ("enable_thinking")
    std::optional<std::tm> now;         // for strftime_now; absent: the template sees no clock
    std::function<int64_t()> clock_ms;  // if given, rendering ends with an error after 200 ms of it
};

struct RenderedChat {
    std::string text;
    std::vector<tokenizer::TextRange>
        user;  // sorted: what came from messages, tools and extra, not from the template
};

// RenderOptions::extra as it must be. Error{Usage}: more than 16, no scalar, or a name that
// templates rely on.
void check_extra(const io::Json& extra);

class ChatTemplate {
  public:
    // chat_template.jinja wins over chat_template of tokenizer_config.json; `name` picks one of
    // several ("tool_use"), empty: the default one. Error{Unsupported} if the folder has no
    // template or it uses what we lack, Error{Corrupt} if it is not a template, Error{Usage} if
    // there is none of that name.
    static ChatTemplate load(const std::string& folder, const std::string& name = {});
    // The same from texts: a template and the object of tokenizer_config.json (may be null).
    static ChatTemplate parse(const std::string& source, const io::Json& tokenizer_config);
    static bool folder_has_template(const std::string& folder);

    ChatTemplate(ChatTemplate&&) noexcept;
    ChatTemplate& operator=(ChatTemplate&&) noexcept;
    ~ChatTemplate();

    // Error{Usage} if the template refuses the conversation (raise_exception) or an option is bad,
    // Error{OutOfMemory} if the messages and tools are longer than limits::kConversationBytes,
    // Error{Corrupt} if the template fails or exceeds its limits.
    RenderedChat render(std::span<const Message> messages, const RenderOptions& options = {}) const;
    // Messages as objects with more members (tool_calls, reasoning_content).
    RenderedChat render(const io::Json& messages, const RenderOptions& options = {}) const;

  private:
    struct Impl;
    explicit ChatTemplate(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

// Ids of a rendered conversation. The template writes the special tokens, so none is added; those
// that stand in user text stay text.
std::vector<int32_t> encode(const tokenizer::Tokenizer& tokenizer, const RenderedChat& chat);

}  // namespace quarot::chat

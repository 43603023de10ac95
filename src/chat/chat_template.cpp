// How is a conversation checked, handed to its template and made into ids?
#include "chat/chat_template.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "chat/template_source.h"
#include "chat/word.h"
#include "core/error.h"
#include "io/text.h"
#include "io/utf8.h"
#include "jinja/limits.h"
#include "jinja/template.h"

namespace quarot::chat {
namespace {

constexpr size_t kExtras = 16;  // variables that a request may add

using jinja::UserText;
using jinja::Variable;

constexpr std::array<const char*, 7> kTokenNames = {
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"};
constexpr std::array<const char*, 5> kReservedNames = {"messages", "tools", "documents",
                                                       "add_generation_prompt", "tokenize"};
constexpr std::array<const char*, 6> kFunctionNames = {
    "raise_exception", "strftime_now", "range", "dict", "namespace", "loop"};

template <size_t N>
bool is_one_of(const std::array<const char*, N>& names, std::string_view name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

// bos_token and its kin, where tokenizer_config.json names them: a text, or an object with one.
std::vector<Variable> token_variables(const io::Json& config) {
    std::vector<Variable> variables;
    if (!config.is_object()) return variables;
    for (const char* name : kTokenNames) {
        const io::Json* token = config.find(name);
        if (!token) continue;
        variables.push_back({name, token->is_object() ? token->at("content") : *token});
        variables.back().value.as_string();  // fails for anything else
    }
    return variables;
}

std::string shown(const io::Json& json) {
    return io::printable(json.dump(-1), 40);
}

// Templates build control tokens from roles, so roles are words.
void check_role(size_t index, const io::Json& role) {
    if (role.is_string() && is_word(role.as_string())) return;
    fail(ErrorCode::Usage, "the role of message {} is {}, expected a word such as user", index,
         shown(role));
}

void check_messages(const io::Json& messages) {
    if (!messages.is_array()) {
        fail(ErrorCode::Usage, "the messages are {}, expected a list of objects", shown(messages));
    }
    for (size_t i = 0; i < messages.as_array().size(); ++i) {
        const io::Json& message = messages.as_array()[i];
        if (!message.is_object()) {
            fail(ErrorCode::Usage, "message {} is {}, expected an object with role and content", i,
                 shown(message));
        }
        if (!message.contains("role")) {
            fail(ErrorCode::Usage, "message {} is {}, expected a member role such as user", i,
                 shown(message));
        }
        check_role(i, message.at("role"));
    }
}

// Bytes that do not belong to UTF-8 become characters of three bytes.
size_t bytes_as_text(const std::string& text) {
    constexpr size_t kReplacementBytes = 3;
    if (io::first_non_utf8(text) == text.size()) return text.size();
    size_t total = 0;
    for (size_t at = 0; at < text.size();) {
        const size_t bytes = io::utf8_length_at(text, at);
        total += bytes > 0 ? bytes : kReplacementBytes;
        at += bytes > 0 ? bytes : 1;
    }
    return total;
}

size_t text_bytes(const io::Json& json) {
    size_t total = 0;
    if (json.is_string()) total = bytes_as_text(json.as_string());
    if (json.is_array()) {
        for (const io::Json& item : json.as_array()) total += text_bytes(item);
    }
    if (json.is_object()) {
        for (const auto& [name, member] : json.as_object()) {
            total += bytes_as_text(name) + text_bytes(member);
        }
    }
    return total;
}

// Below what a template may print, so that a long text is not blamed on the template.
void check_size(const io::Json& messages, const io::Json& tools) {
    static_assert(limits::kConversationBytes < limits::kTemplateOutputBytes);
    const size_t bytes = text_bytes(messages) + text_bytes(tools);
    if (bytes > limits::kConversationBytes) {
        fail(ErrorCode::OutOfMemory,
             "the messages and tools of a chat are {} bytes long, {} are allowed; shorten them",
             bytes, limits::kConversationBytes);
    }
}

void check_tools(const io::Json& tools) {
    if (tools.is_null() || tools.is_array()) return;
    fail(ErrorCode::Usage, "the tools are {}, expected a list of function descriptions",
         shown(tools));
}

void check_variable(const std::string& name, const io::Json& value) {
    if (is_one_of(kTokenNames, name) || is_one_of(kReservedNames, name) ||
        is_one_of(kFunctionNames, name)) {
        fail(ErrorCode::Usage,
             "the template variable {} cannot be set, because templates rely on it; take another "
             "name",
             name);
    }
    if (value.is_array() || value.is_object()) {
        fail(ErrorCode::Usage,
             "the template variable {} is {}, expected a text, a number, true or false",
             io::printable(name, 40), shown(value));
    }
}

void add_extras(std::vector<Variable>& variables, const io::Json& extra) {
    check_extra(extra);
    if (extra.is_null()) return;
    for (const auto& [name, value] : extra.as_object()) {
        variables.push_back({name, value, UserText::Yes});
    }
}

}  // namespace

void check_extra(const io::Json& extra) {
    if (extra.is_null()) return;
    if (!extra.is_object()) {
        fail(ErrorCode::Usage, "the template variables are {}, expected an object", shown(extra));
    }
    if (extra.as_object().size() > kExtras) {
        fail(ErrorCode::Usage, "{} template variables are given, {} are allowed",
             extra.as_object().size(), kExtras);
    }
    for (const auto& [name, value] : extra.as_object()) check_variable(name, value);
}

struct ChatTemplate::Impl {
    jinja::Template source;
    std::vector<Variable> tokens;
};

ChatTemplate::ChatTemplate(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;
ChatTemplate::~ChatTemplate() = default;

ChatTemplate ChatTemplate::load(const std::string& folder, const std::string& name) {
    const TemplateSource source = find_template(folder, name);
    return ChatTemplate(
        std::make_unique<Impl>(Impl{jinja::Template::parse(source.text, source.place),
                                    token_variables(source.tokenizer_config)}));
}

ChatTemplate ChatTemplate::parse(const std::string& source, const io::Json& tokenizer_config) {
    return ChatTemplate(std::make_unique<Impl>(
        Impl{jinja::Template::parse(source, "chat template"), token_variables(tokenizer_config)}));
}

bool ChatTemplate::folder_has_template(const std::string& folder) {
    return has_template(folder);
}

RenderedChat ChatTemplate::render(std::span<const Message> messages,
                                  const RenderOptions& options) const {
    io::Json::Array list;
    for (const Message& message : messages) {
        list.emplace_back(io::Json::Object{{"role", message.role}, {"content", message.content}});
    }
    return render(io::Json(std::move(list)), options);
}

RenderedChat ChatTemplate::render(const io::Json& messages, const RenderOptions& options) const {
    check_messages(messages);
    check_tools(options.tools);
    check_size(messages, options.tools);
    std::vector<Variable> variables = impl_->tokens;
    add_extras(variables, options.extra);
    variables.push_back({"messages", messages, UserText::ExceptRoles});
    variables.push_back({"tools", options.tools, UserText::Yes});
    variables.push_back({"documents", io::Json()});
    variables.push_back({"add_generation_prompt", options.add_generation_prompt});
    const jinja::Text text =
        impl_->source.render(variables, {.now = options.now, .clock_ms = options.clock_ms});
    RenderedChat chat{.text = text.bytes()};
    for (const jinja::Span& span : text.user()) chat.user.push_back({span.begin, span.end});
    return chat;
}

std::vector<int32_t> encode(const tokenizer::Tokenizer& tokenizer, const RenderedChat& chat) {
    return tokenizer.encode(chat.text, tokenizer::AddBos::None, chat.user);
}

}  // namespace quarot::chat

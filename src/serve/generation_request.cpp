#include "serve/generation_request.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <utility>

#include "core/process.h"
#include "generation/limits.h"
#include "generation/prompt.h"
#include "generation/stop_filter.h"
#include "model/limits.h"
#include "serve/api_error.h"
#include "serve/limits.h"

namespace quarot::serve {

namespace {

constexpr int64_t kAnyCount = std::numeric_limits<int64_t>::max();

void read_sampling(BodyFields& fields, const ServedModel& model, GenerationRequest& to) {
    runtime::SamplingOptions& sampling = to.order.options.sampling;
    sampling = model.facts().sampling;
    const auto set = [&](float& value, const char* name, double min, double max) {
        value = static_cast<float>(fields.number(name, static_cast<double>(value), min, max));
    };
    set(sampling.temperature, "temperature", 0.0, static_cast<double>(limits::kMaxTemperature));
    set(sampling.top_p, "top_p", 0.0, 1.0);
    set(sampling.min_p, "min_p", 0.0, 1.0);
    set(sampling.repetition_penalty, "repetition_penalty", 1e-3,
        static_cast<double>(limits::kMaxRepetitionPenalty));
    // -1 is what other servers call off.
    sampling.top_k = std::max(fields.integer("top_k", sampling.top_k, -1, kAnyCount), int64_t{0});
    runtime::LogitChanges& changes = to.order.changes;
    set(changes.presence_penalty, "presence_penalty", -limits::kMostPenalty, limits::kMostPenalty);
    set(changes.frequency_penalty, "frequency_penalty", -limits::kMostPenalty,
        limits::kMostPenalty);
    if (fields.find("seed") != nullptr) {
        to.seed = static_cast<uint64_t>(
            fields.integer("seed", 0, std::numeric_limits<int64_t>::min(), kAnyCount));
    }
}

void read_bias(BodyFields& fields, const ServedModel& model, GenerationRequest& to) {
    const io::Json* bias = fields.find("logit_bias");
    if (bias == nullptr) return;
    if (!bias->is_object() || bias->as_object().size() > limits::kLogitBiases) {
        refuse_field("logit_bias", *bias,
                     fmt::format("an object of at most {} token ids", limits::kLogitBiases));
    }
    for (const auto& [key, value] : bias->as_object()) {
        int32_t id = -1;
        const char* end = key.data() + key.size();
        const auto [stop, error] = std::from_chars(key.data(), end, id);
        const bool is_id =
            error == std::errc() && stop == end && id >= 0 && id < model.facts().vocabulary;
        const double most = limits::kMostBias;
        const bool fits =
            value.is_number() && value.as_double() >= -most && value.as_double() <= most;
        if (!is_id || !fits) {
            refuse_field("logit_bias", *bias,
                         fmt::format("ids below {} with numbers from {} to {}",
                                     model.facts().vocabulary, -most, most));
        }
        to.order.changes.bias.emplace_back(id, static_cast<float>(value.as_double()));
    }
}

void read_stops(BodyFields& fields, GenerationRequest& to) {
    const io::Json* stop = fields.find("stop");
    if (stop == nullptr) return;
    if (stop->is_string()) {
        to.stops = {stop->as_string()};
    } else {
        const bool is_list =
            stop->is_array() && std::ranges::all_of(stop->as_array(), [](const io::Json& text) {
                return text.is_string();
            });
        if (!is_list) refuse_field("stop", *stop, "a text or a list of texts");
        for (const io::Json& text : stop->as_array()) to.stops.push_back(text.as_string());
    }
    try {
        generation::check_stops(to.stops);
    } catch (const Error& error) {
        throw ApiError(400, error.what(), "stop");
    }
}

void read_stream(BodyFields& fields, GenerationRequest& to) {
    to.stream = fields.boolean("stream", false);
    const io::Json* options = fields.find("stream_options");
    if (options == nullptr) return;
    const io::Json* usage = options->is_object() ? options->find("include_usage") : nullptr;
    if (!options->is_object() || (usage != nullptr && !usage->is_bool())) {
        refuse_field("stream_options", *options, "an object with include_usage");
    }
    to.include_usage = to.stream && usage != nullptr && usage->as_bool();
}

// What other servers have and this one has not, refused instead of ignored.
void refuse_unsupported(BodyFields& fields) {
    for (const char* name :
         {"use_beam_search", "guided_json", "guided_regex", "guided_choice", "guided_grammar",
          "structured_outputs", "json_schema", "grammar", "min_tokens", "stop_token_ids",
          "bad_words", "allowed_token_ids", "prompt_logprobs", "prompt_embeds",
          "truncate_prompt_tokens", "logits_processors", "mirostat"}) {
        fields.refuse(name, io::Json(0));
    }
    const io::Json* format = fields.find("response_format");
    if (format == nullptr) return;
    const io::Json* type = format->is_object() ? format->find("type") : nullptr;
    if (type == nullptr || !type->is_string() || type->as_string() != "text") {
        refuse_field("response_format", *format, R"({"type": "text"}, which is all there is yet)");
    }
}

void read_common(BodyFields& fields, const ServedModel& model, GenerationRequest& to) {
    model.require_name(fields.text("model", ""));
    to.n = fields.integer("n", 1, 1, limits::kChoices);
    fields.refuse("best_of", io::Json(to.n));
    read_sampling(fields, model, to);
    read_bias(fields, model, to);
    read_stops(fields, to);
    read_stream(fields, to);
    refuse_unsupported(fields);
    // As elsewhere, lower goes first.
    to.order.priority = static_cast<int>(-fields.integer("priority", 0, -runtime::kMaxPriority, 0));
    if (!fields.boolean("ignore_eos", false)) {
        to.order.options.end_tokens = model.end_tokens(to.is_chat);
    }
    fields.text("user", "");
}

// The name under which new tokens are bounded, and by how many.
struct TokenBound {
    std::string name = "max_tokens";
    std::optional<int64_t> most;
};

TokenBound read_token_bound(BodyFields& fields, const std::string& name, int64_t fewest) {
    TokenBound bound = {.name = name, .most = {}};
    if (fields.find(name) != nullptr) bound.most = fields.integer(name, 0, fewest, kAnyCount);
    return bound;
}

// Of a chat, which has an old and a new name for it.
TokenBound read_token_bound_of_chat(BodyFields& fields) {
    TokenBound old = read_token_bound(fields, "max_tokens", 1);
    TokenBound bound = read_token_bound(fields, "max_completion_tokens", 1);
    if (!bound.most) return old;
    if (!old.most || *old.most == *bound.most) return bound;
    throw ApiError(400,
                   fmt::format("max_tokens is {} and max_completion_tokens is {}, expected one of "
                               "them",
                               *old.most, *bound.most),
                   bound.name);
}

// otherwise: where the request does not say, or what there is room for.
void bound_tokens(GenerationRequest& to, const ServedModel& model, const TokenBound& bound,
                  int64_t otherwise) {
    const std::optional<int64_t>& asked = bound.most;
    int64_t longest = 0;
    for (const Prompt& prompt : to.prompts) longest = std::max(longest, std::ssize(prompt.ids));
    const int64_t context = model.facts().context;
    if (longest + (asked.value_or(1) > 0 ? 1 : 0) > context) {
        throw ApiError(400,
                       fmt::format("the prompt has {} tokens, which leaves no room in the context "
                                   "of {}",
                                   longest, context),
                       to.is_chat ? "messages" : "prompt", "context_length_exceeded");
    }
    if (asked && *asked > context - longest) {
        throw ApiError(400,
                       fmt::format("the prompt has {} tokens and {} is {}, but the context ends at "
                                   "{}",
                                   longest, bound.name, *asked, context),
                       bound.name, "context_length_exceeded");
    }
    to.order.options.max_new_tokens = asked.value_or(std::min(otherwise, context - longest));
    const int64_t n_sequences = std::ssize(to.prompts) * to.n;
    if (n_sequences > limits::kSequences) {
        throw ApiError(400,
                       fmt::format("{} prompts times n {} are {} sequences, expected at most {}",
                                   to.prompts.size(), to.n, n_sequences, limits::kSequences),
                       "n");
    }
}

Prompt text_prompt(const std::string& text, const ServedModel& model) {
    require_length("prompt", text, model);
    try {
        Prompt prompt = {
            .ids = generation::encode_prompt(model.tokenizer(), text, tokenizer::AddBos::Auto),
            .text = text};
        return prompt;
    } catch (const Error& error) {
        throw ApiError(400, error.what(), "prompt");
    }
}

Prompt id_prompt(const io::Json& list, const ServedModel& model) {
    Prompt prompt = {.ids = as_ids("prompt", list, model), .text = {}};
    prompt.text = model.tokenizer().decode(prompt.ids);
    return prompt;
}

std::vector<Prompt> read_prompts(BodyFields& fields, const ServedModel& model) {
    const io::Json* prompt = fields.find("prompt");
    if (prompt == nullptr) throw ApiError(400, "prompt is missing", "prompt");
    if (prompt->is_string()) return {text_prompt(prompt->as_string(), model)};
    if (!prompt->is_array() || prompt->as_array().empty()) {
        refuse_field("prompt", *prompt, "a text, a list of texts, token ids or a list of those");
    }
    const io::Json::Array& list = prompt->as_array();
    if (list.front().is_int()) return {id_prompt(*prompt, model)};
    if (list.size() > limits::kPrompts) {
        throw ApiError(
            400,
            fmt::format("{} prompts are given, expected at most {}", list.size(), limits::kPrompts),
            "prompt");
    }
    std::vector<Prompt> prompts;
    for (const io::Json& item : list) {
        if (item.is_string()) {
            prompts.push_back(text_prompt(item.as_string(), model));
        } else {
            prompts.push_back(id_prompt(item, model));
        }
    }
    return prompts;
}

// The text of a message: it may come in parts.
io::Json plain_content(const io::Json& content) {
    if (!content.is_array()) return content;
    std::string text;
    for (const io::Json& part : content.as_array()) {
        const io::Json* type = part.is_object() ? part.find("type") : nullptr;
        const io::Json* of = part.is_object() ? part.find("text") : nullptr;
        const bool is_text = type != nullptr && type->is_string() && type->as_string() == "text";
        if (!is_text || of == nullptr || !of->is_string()) {
            refuse_field("messages", part, R"(parts as {"type": "text", "text": "..."} alone)");
        }
        text += of->as_string();
    }
    return text;
}

io::Json read_messages(BodyFields& fields) {
    const io::Json* messages = fields.find("messages");
    if (messages == nullptr) throw ApiError(400, "messages is missing", "messages");
    if (!messages->is_array() || messages->as_array().empty()) {
        refuse_field("messages", *messages, "a list of messages");
    }
    io::Json plain = *messages;
    for (io::Json& message : plain.as_array()) {
        if (!message.is_object()) refuse_field("messages", message, "an object");
        const io::Json* content = message.find("content");
        if (content == nullptr) {
            message.set("content", "");
        } else if (!content->is_string() && !content->is_array()) {
            refuse_field("messages", message, "a content of text");
        } else {
            message.set("content", plain_content(*content));
        }
    }
    return plain;
}

io::Json read_tools(BodyFields& fields) {
    const io::Json* tools = fields.find("tools");
    const io::Json* choice = fields.find("tool_choice");
    if (choice != nullptr) {
        const bool known =
            choice->is_string() && (choice->as_string() == "none" || choice->as_string() == "auto");
        if (!known) refuse_field("tool_choice", *choice, "none or auto");
    }
    if (tools == nullptr) return {};
    if (!tools->is_array() || tools->as_array().size() > limits::kTools) {
        refuse_field("tools", *tools, fmt::format("a list of at most {} tools", limits::kTools));
    }
    const bool none = choice != nullptr && choice->as_string() == "none";
    return none || tools->as_array().empty() ? io::Json() : *tools;
}

io::Json read_template_variables(BodyFields& fields) {
    const io::Json* variables = fields.find("chat_template_kwargs");
    if (variables == nullptr) return {};
    try {
        chat::check_extra(*variables);
    } catch (const Error& error) {
        throw ApiError(400, error.what(), "chat_template_kwargs");
    }
    return *variables;
}

}  // namespace

int64_t GenerationRequest::n_prompt_tokens() const {
    int64_t n_tokens = 0;
    for (const Prompt& prompt : prompts) n_tokens += std::ssize(prompt.ids);
    return n_tokens;
}

std::vector<int32_t> as_ids(const std::string& name, const io::Json& list,
                            const ServedModel& model) {
    const std::string expected =
        fmt::format("token ids from 0 to {}", model.facts().vocabulary - 1);
    if (!list.is_array() || list.as_array().empty()) refuse_field(name, list, expected);
    std::vector<int32_t> ids;
    for (const io::Json& id : list.as_array()) {
        if (!id.is_int() || id.as_int() < 0 || id.as_int() >= model.facts().vocabulary) {
            refuse_field(name, id, expected);
        }
        ids.push_back(static_cast<int32_t>(id.as_int()));
    }
    return ids;
}

void require_length(const std::string& name, const std::string& text, const ServedModel& model) {
    const int64_t most =
        std::max(limits::kPromptBytes, model.facts().context * limits::kPromptBytesOfToken);
    if (std::ssize(text) <= most) return;
    throw ApiError(400,
                   fmt::format("{} has {} bytes, but the context of {} tokens never holds more "
                               "than {}",
                               name, text.size(), model.facts().context, most),
                   name, "context_length_exceeded");
}

chat::RenderedChat render_messages(BodyFields& fields, const ServedModel& model) {
    if (model.chat_template() == nullptr) {
        throw ApiError(
            400, fmt::format("{} has no chat template; use /v1/completions", model.facts().name),
            "messages");
    }
    const io::Json messages = read_messages(fields);
    chat::RenderOptions options;
    options.tools = read_tools(fields);
    options.add_generation_prompt = fields.boolean("add_generation_prompt", true);
    options.extra = read_template_variables(fields);
    for (const char* name : {"chat_template", "documents", "continue_final_message"}) {
        fields.refuse(name);
    }
    options.now = local_time();
    options.clock_ms = thread_cpu_milliseconds;
    try {
        chat::RenderedChat rendered = model.chat_template()->render(messages, options);
        require_length("messages", rendered.text, model);
        return rendered;
    } catch (const Error& error) {
        const bool too_long = error.code() == ErrorCode::OutOfMemory;
        throw ApiError(too_long ? 413 : 400, error.what(), "messages");
    }
}

GenerationRequest read_completion(std::string_view body, const ServedModel& model) {
    BodyFields fields(body);
    GenerationRequest request;
    read_common(fields, model, request);
    fields.refuse("suffix");
    request.echo = fields.boolean("echo", false);
    if (fields.find("logprobs") != nullptr) {
        request.n_top = fields.integer("logprobs", 0, 0, limits::kTopLogprobs);
    }
    request.prompts = read_prompts(fields, model);
    const TokenBound bound = read_token_bound(fields, "max_tokens", request.echo ? 0 : 1);
    bound_tokens(request, model, bound, limits::kMaxTokensOfCompletion);
    request.order.n_top = request.n_top;
    request.order.scores_prompt = request.echo && request.n_top;
    request.ignored = fields.unknown();
    return request;
}

GenerationRequest read_chat(std::string_view body, const ServedModel& model) {
    BodyFields fields(body);
    GenerationRequest request;
    request.is_chat = true;
    read_common(fields, model, request);
    for (const char* name :
         {"functions", "function_call", "audio", "prediction", "echo", "web_search_options"}) {
        fields.refuse(name);
    }
    fields.refuse("modalities", io::Json(io::Json::Array{"text"}));
    const int64_t n_top = fields.integer("top_logprobs", 0, 0, limits::kTopLogprobs);
    if (fields.boolean("logprobs", false)) request.n_top = n_top;
    if (n_top > 0 && !request.n_top) {
        throw ApiError(400, "top_logprobs is given without logprobs", "top_logprobs");
    }
    const chat::RenderedChat rendered = render_messages(fields, model);
    request.prompts = {{.ids = chat::encode(model.tokenizer(), rendered), .text = rendered.text}};
    if (request.prompts.front().ids.empty()) {
        throw ApiError(400, "the chat template gives an empty prompt", "messages");
    }
    bound_tokens(request, model, read_token_bound_of_chat(fields), kAnyCount);
    request.order.n_top = request.n_top;
    request.ignored = fields.unknown();
    return request;
}

}  // namespace quarot::serve

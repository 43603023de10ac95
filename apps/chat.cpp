// quarot chat: a conversation in the terminal, or one answer to a conversation of a file.
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <limits>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "apps/arg_values.h"
#include "apps/chat_prompt.h"
#include "apps/commands.h"
#include "apps/common_flags.h"
#include "apps/report.h"
#include "apps/running_model.h"
#include "apps/sampling_flags.h"
#include "apps/shown_text.h"
#include "chat/turn_end.h"
#include "core/error.h"
#include "core/log.h"
#include "core/process.h"
#include "folder/generation_config.h"
#include "io/input_text.h"
#include "runtime/generate.h"

namespace quarot::apps {

namespace {

constexpr int64_t kAnyCount = std::numeric_limits<int64_t>::max();
constexpr size_t kLineBytes = size_t{1} << 20;

struct ChatFlags {
    std::string model;
    std::optional<std::string> system;
    std::string messages_file;
    std::optional<int64_t> n_tokens;
    std::optional<int64_t> context;
    SamplingFlags sampling;
    ActivationFlags activations;
    RopeFlag rope;
    MachineFlags machine;
    OutputFlags output;
};

void declare(Args& args, ChatFlags& flags) {
    add_model_flag(args, flags.model);
    args.add({"--system", "TEXT", "the message before the conversation: how to answer",
              [&flags](const Given& g) { flags.system = g.value; }, Shown::First});
    args.add({"--messages", "FILE",
              "answer this conversation and end: a JSON list of role and content; - is standard "
              "input",
              [&flags](const Given& g) { flags.messages_file = g.value; }, Shown::First});
    args.add({"-n,--max-tokens", "N", "at most N tokens an answer [to its end or the context's]",
              [&flags](const Given& g) { flags.n_tokens = as_integer(g, 1, kAnyCount); },
              Shown::First});
    args.add({"--ctx", "N", "longest conversation, in tokens [what the model has]",
              [&flags](const Given& g) { flags.context = as_integer(g, 1, kAnyCount); }});
    flags.sampling.declare(args);
    flags.activations.declare(args);
    flags.rope.declare(args);
    flags.machine.declare(args);
    flags.machine.declare_ranks(args);
    flags.output.declare(args);
    args.example("quarot chat build/models/smollm2-135m --system \"Be brief.\"",
                 "a conversation; /reset begins anew, /system TEXT changes how it answers");
    args.example("quarot chat MODEL --messages talk.json", "one answer to a conversation");
    args.note(
        "Ctrl-C ends an answer and keeps the conversation; at the prompt it ends the program.");
}

std::vector<chat::Message> read_messages(const std::string& path) {
    constexpr int64_t kMost = int64_t{4} << 20;
    const io::Json json = io::Json::parse(io::read_input_text(path, kMost), path);
    std::vector<chat::Message> messages;
    for (const io::Json& message : json.as_array()) {
        messages.push_back({message.at("role").as_string(), message.at("content").as_string()});
    }
    if (messages.empty()) fail(ErrorCode::Usage, "{} holds no messages, expected one", path);
    return messages;
}

// A line of standard input without its end; nothing at its end. A signal ends the waiting.
std::optional<std::string> read_line() {
    std::string line;
    while (line.size() < kLineBytes) {
        throw_if_interrupted();
        char byte = 0;
        const ssize_t n = read(STDIN_FILENO, &byte, 1);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) fail(ErrorCode::Io, "standard input cannot be read");
        if (n == 0) return line.empty() ? std::nullopt : std::optional(line);
        if (byte == '\n') return line;
        line += byte;
    }
    fail(ErrorCode::OutOfMemory, "a line has more than {} bytes", kLineBytes);
}

// A model that answers conversations. Whole pages of what it has read stay in the cache, so that a
// turn costs its own tokens.
class Talker {
  public:
    Talker(const ChatFlags& flags, const folder::SourceModel& source, const Sampling& sampling)
        : flags_(flags), tokenizer_(tokenizer::Tokenizer::load(flags.model)) {
        std::vector<kernels::Rank> group = flags.machine.make_group();
        const SettingChanges& changes = flags.activations.changes;
        const int64_t context = context_that_fits(source, flags.context, changes, group);
        const std::string& proposed = sampling.from_folder;
        log_run(group, with_changes(source.recipe(), changes),
                proposed.empty() ? "" : proposed + " from generation_config.json");
        model_.emplace(load_group(std::move(group), source, changes, context));
        engine_.emplace(model_->ranks(), runtime::EngineLimits{.context = context});
        options_.sampling = sampling.options;
        options_.seed = flags.sampling.seed;
        options_.max_new_tokens = flags.n_tokens.value_or(context);
        options_.end_tokens = chat::turn_ends(source.config().eos, tokenizer_);
    }

    struct Answer {
        std::string text;
        runtime::GenerateResult result;
        int64_t n_prompt = 0;
    };
    // Shows it as it comes. Error{Usage} if there is no room for one.
    Answer answer(std::span<const chat::Message> messages, bool show) {
        const std::vector<int32_t> prompt = encode_chat(flags_.model, tokenizer_, messages);
        const int64_t context = engine_->limits().context;
        if (std::ssize(prompt) >= context) {
            fail(ErrorCode::Usage,
                 "the conversation has {} tokens, which leaves no room in the context of {}",
                 prompt.size(), context);
        }
        ShownText shown(tokenizer_, prompt, {}, show);
        Answer answer = {.text = {}, .result = {}, .n_prompt = std::ssize(prompt)};
        answer.result = runtime::generate(*engine_, prompt, options_,
                                          [&](int32_t id) { return shown.take(id); });
        shown.finish();
        answer.text = shown.text();
        return answer;
    }

  private:
    const ChatFlags& flags_;
    tokenizer::Tokenizer tokenizer_;
    std::optional<runtime::ModelGroup> model_;
    std::optional<runtime::Engine> engine_;
    runtime::GenerateOptions options_;
};

// The messages so far, and what is typed between them.
class Conversation {
  public:
    explicit Conversation(const std::optional<std::string>& system) : system_(system) { reset(); }

    void reset() {
        messages_.clear();
        if (system_) messages_.push_back({"system", *system_});
    }
    // Changes the first message and keeps the others.
    void set_system(const std::string& text) {
        if (system_) messages_.erase(messages_.begin());
        system_ = text;
        messages_.insert(messages_.begin(), {"system", text});
    }
    void add(const char* role, std::string text) { messages_.push_back({role, std::move(text)}); }
    void take_back() { messages_.pop_back(); }
    const std::vector<chat::Message>& messages() const { return messages_; }

  private:
    std::optional<std::string> system_;
    std::vector<chat::Message> messages_;
};

// True: the line was for the program, not for the model.
bool obey(const std::string& line, Conversation& conversation) {
    if (!line.starts_with("/")) return false;
    const std::string word = line.substr(0, line.find(' '));
    if (word == "/reset") {
        conversation.reset();
    } else if (word == "/system" && line.size() > word.size() + 1) {
        conversation.set_system(line.substr(word.size() + 1));
    } else {
        log_info("{} is not known here; there are /system TEXT, /reset and, to end, Ctrl-D", word);
    }
    return true;
}

void converse(Talker& talker, Conversation& conversation) {
    const bool in_terminal = isatty(STDIN_FILENO) != 0;
    while (true) {
        if (in_terminal) print_result("> ");
        const std::optional<std::string> line = read_line();
        if (!line) return;
        if (line->empty() || obey(*line, conversation)) continue;
        conversation.add("user", *line);
        try {
            Talker::Answer answer = talker.answer(conversation.messages(), true);
            conversation.add("assistant", std::move(answer.text));
            forget_interruption();
            throw_if_interrupted();
        } catch (const Error& error) {
            if (error.code() != ErrorCode::Usage) throw;
            log_info("{}; /reset begins a new one", error.what());
            conversation.take_back();
        }
    }
}

void answer_file(Talker& talker, const ChatFlags& flags, std::span<const chat::Message> messages) {
    const Talker::Answer answer = talker.answer(messages, !flags.output.json);
    if (flags.output.json) {
        io::Json json = json_document("chat");
        json.set("text", answer.text);
        json.set("prompt_tokens", answer.n_prompt);
        json.set("new_tokens", std::ssize(answer.result.ids));
        print_document(json);
    }
    if (answer.result.finish_reason == runtime::FinishReason::Interrupted) {
        throw Interrupted{static_cast<int>(answer.result.interrupted_by)};
    }
}

void work(const ChatFlags& flags) {
    flags.output.apply();
    require_model(flags.model);
    const bool has_file = !flags.messages_file.empty();
    if (flags.output.json && !has_file) {
        fail(ErrorCode::Usage, "--json is given without --messages, expected both or neither");
    }
    if (flags.system && has_file) {
        fail(ErrorCode::Usage, "--system and --messages are given, expected one of them");
    }
    std::vector<chat::Message> messages;
    if (has_file) messages = read_messages(flags.messages_file);
    const Sampling sampling = flags.sampling.resolve(folder::generation_defaults_of(flags.model));
    const folder::SourceModel source = flags.rope.open(flags.model);
    // Before the weights are read, so that what is missing is said at once.
    chat::ChatTemplate::load(flags.model);
    Talker talker(flags, source, sampling);
    if (has_file) return answer_file(talker, flags, messages);
    Conversation conversation(flags.system);
    converse(talker, conversation);
}

}  // namespace

Work chat_command(Args& args) {
    auto flags = std::make_shared<ChatFlags>();
    declare(args, *flags);
    return [flags] { work(*flags); };
}

}  // namespace quarot::apps

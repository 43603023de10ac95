// quarot generate: continue a prompt, shown as it comes.
#include "runtime/generate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <memory>
#include <optional>

#include "apps/arg_values.h"
#include "apps/chat_prompt.h"
#include "apps/commands.h"
#include "apps/common_flags.h"
#include "apps/report.h"
#include "apps/running_model.h"
#include "apps/sampling_flags.h"
#include "apps/shown_text.h"
#include "chat/turn_end.h"
#include "core/decimal.h"
#include "core/error.h"
#include "core/log.h"
#include "folder/generation_config.h"
#include "folder/load_weights.h"
#include "generation/prompt.h"
#include "generation/stop_filter.h"

namespace quarot::apps {

namespace {

constexpr int64_t kAnyCount = std::numeric_limits<int64_t>::max();

struct GenerateFlags {
    std::string model;
    TextFlags prompt;
    bool chat = false;
    std::optional<std::string> system;
    std::optional<int64_t> n_tokens;
    std::optional<int64_t> context;
    bool ignore_eos = false;
    std::vector<std::string> stops;
    SamplingFlags sampling;
    tokenizer::AddBos bos = tokenizer::AddBos::Auto;
    ActivationFlags activations;
    RopeFlag rope;
    MachineFlags machine;
    OutputFlags output;
};

void declare(Args& args, GenerateFlags& flags) {
    add_model_flag(args, flags.model);
    flags.prompt.declare(args, "-f,--file");
    args.add({"--chat", "", "the text is a user's message; sampled as the model's maker says",
              [&](const Given& g) { flags.chat = as_switch(g); }, Shown::First});
    args.add({"--system", "TEXT", "with --chat: the message before it, how to answer",
              [&](const Given& g) { flags.system = g.value; }});
    args.add({"-n,--max-tokens", "N", "at most N new tokens [to an end token or the context's end]",
              [&](const Given& g) { flags.n_tokens = as_integer(g, 1, kAnyCount); }, Shown::First});
    flags.sampling.declare(args);
    args.add({"--stop", "TEXT", "end before this text; may be given several times",
              [&](const Given& g) { flags.stops.push_back(g.value); }, Shown::Full,
              Repeated::AllCount});
    args.add({"--ignore-eos", "", "go on after an end token",
              [&](const Given& g) { flags.ignore_eos = as_switch(g); }});
    args.add({"--ctx", "N", "longest context [what the model has]",
              [&](const Given& g) { flags.context = as_integer(g, 1, kAnyCount); }});
    add_bos_flag(args, flags.bos);
    flags.activations.declare(args);
    flags.rope.declare(args);
    flags.machine.declare(args);
    flags.machine.declare_ranks(args);
    flags.output.declare(args);
    args.example("quarot generate -m tiny-w4 -p \"It was a dark\" -n 50", "the likeliest words");
    args.example("quarot generate -m tiny-w4 -f story.txt --temp 0.8 --top-p 0.95 --seed 7",
                 "a random continuation, the same for the same seed");
    args.example("quarot generate -m tiny-w4 -f - < story.txt", "from standard input");
    args.example("quarot generate model-q8_0.gguf --chat -p Hello", "a GGUF file, unquantized");
    args.example("quarot generate -m CHAT_MODEL --chat --system \"Be brief.\" -p \"Who are you?\"",
                 "an answer, by the model's chat template and generation_config.json");
}

void check(const GenerateFlags& flags) {
    require_model(flags.model);
    generation::check_stops(flags.stops);
    if (flags.system && !flags.chat) {
        fail(ErrorCode::Usage, "--system is given without --chat, expected both or neither");
    }
    if (flags.chat && flags.bos != tokenizer::AddBos::Auto) {
        fail(ErrorCode::Usage,
             "--tokenizer-bos is given with --chat, expected one of them: the chat template writes "
             "the special tokens");
    }
}

std::vector<int32_t> prompt_ids(const GenerateFlags& flags, const tokenizer::Tokenizer& tokenizer,
                                const std::string& text) {
    if (flags.chat) {
        std::vector<chat::Message> messages;
        if (flags.system) messages.push_back({"system", *flags.system});
        messages.push_back({"user", text});
        return encode_chat(flags.model, tokenizer, messages);
    }
    return generation::encode_prompt(tokenizer, text, flags.bos);
}

// Positions the run may use: what the model has, --ctx, and no more than prompt and -n need.
int64_t context_length(const folder::SourceModel& source, const GenerateFlags& flags,
                       int64_t n_prompt) {
    int64_t context = source.config().max_positions;
    if (flags.context && *flags.context > context) {
        log_warning("--ctx is {}, but {} has {} positions; using these", *flags.context,
                    source.folder(), context);
    }
    const bool is_cut = flags.context && *flags.context < context;
    if (is_cut) context = *flags.context;
    return generation::positions_needed(n_prompt, flags.n_tokens, context,
                                        is_cut ? "; use a larger --ctx or a shorter prompt" : "");
}

// Where nobody says how long the text becomes, what memory has room for, and a token at least.
int64_t fitting_context(const folder::SourceModel& source, const GenerateFlags& flags,
                        int64_t n_prompt, int64_t context, const kernels::Backend& backend) {
    if (flags.n_tokens || flags.context) return context;
    const int64_t fitting =
        folder::fitting_positions(source, flags.activations.changes, context, backend,
                                  {.rank = 0, .size = flags.machine.n_ranks});
    if (fitting >= context || n_prompt >= context) return context;
    const int64_t taken = std::max(fitting, n_prompt + 1);
    log_info("a context of {} tokens of {}, which is what memory has room for", taken, context);
    return taken;
}

// As the documents of --json name it; the server has OpenAI's fewer words instead (serve/job.cpp).
const char* name_of(runtime::FinishReason reason) {
    switch (reason) {
        case runtime::FinishReason::Length:
            return "length";
        case runtime::FinishReason::Eos:
            return "eos";
        case runtime::FinishReason::Stop:
            return "stop";
        case runtime::FinishReason::Context:
            return "context";
        case runtime::FinishReason::Interrupted:
            return "interrupt";
    }
    return "length";
}

struct Speeds {
    double prompt = 0.0;  // tokens per second; NaN, null in JSON, where nothing was measured
    double decode = 0.0;
};

// The first new token comes out of the prompt's pass, so it is not counted as decoded.
Speeds speeds(const runtime::GenerateResult& result, size_t n_prompt) {
    constexpr double kNotMeasured = std::numeric_limits<double>::quiet_NaN();
    const bool one_more = result.finish_reason == runtime::FinishReason::Eos;
    const auto n_steps = static_cast<double>(result.ids.size()) - (one_more ? 0.0 : 1.0);
    Speeds speeds;
    speeds.prompt = result.prompt_seconds > 0.0
                        ? static_cast<double>(n_prompt) / result.prompt_seconds
                        : kNotMeasured;
    speeds.decode = n_steps > 0.0 ? n_steps / result.decode_seconds : kNotMeasured;
    return speeds;
}

// " at 12.3/s"; nothing where nothing was measured.
std::string at_speed(double tokens_per_second) {
    return std::isfinite(tokens_per_second) ? fmt::format(" at {:.1f}/s", tokens_per_second) : "";
}

io::Json to_json(const runtime::GenerateOptions& options) {
    const runtime::SamplingOptions& sampling = options.sampling;
    return io::Json::Object{{"temperature", as_written(sampling.temperature)},
                            {"top_k", sampling.top_k},
                            {"top_p", as_written(sampling.top_p)},
                            {"min_p", as_written(sampling.min_p)},
                            {"repetition_penalty", as_written(sampling.repetition_penalty)},
                            {"seed", static_cast<int64_t>(options.seed)}};
}

void print_json(const std::vector<int32_t>& prompt, const runtime::GenerateResult& result,
                const std::string& text, const runtime::GenerateOptions& options) {
    const Speeds speed = speeds(result, prompt.size());
    io::Json json = json_document("generate");
    json.set("prompt_ids", io::Json::Array(prompt.begin(), prompt.end()));
    json.set("ids", io::Json::Array(result.ids.begin(), result.ids.end()));
    json.set("text", text);
    json.set("finish_reason", name_of(result.finish_reason));
    json.set("sampling", to_json(options));
    json.set("prompt_tokens_per_second", speed.prompt);
    json.set("tokens_per_second", speed.decode);
    print_document(json);
}

void tell_speeds(const std::vector<int32_t>& prompt, const runtime::GenerateResult& result) {
    const Speeds speed = speeds(result, prompt.size());
    log_info("{} prompt tokens{}, {} new tokens{}, ended by {}", prompt.size(),
             at_speed(speed.prompt), result.ids.size(), at_speed(speed.decode),
             name_of(result.finish_reason));
}

void work(const GenerateFlags& flags) {
    flags.output.apply();
    check(flags);
    const Sampling sampling = flags.sampling.resolve(
        flags.chat ? folder::generation_defaults_of(flags.model) : folder::GenerationDefaults());
    const std::string text = flags.prompt.read();
    const folder::SourceModel source = flags.rope.open(flags.model);
    const tokenizer::Tokenizer tokenizer = tokenizer::Tokenizer::load(flags.model);
    const std::vector<int32_t> prompt = prompt_ids(flags, tokenizer, text);
    require_vocabulary(source, prompt);
    const int64_t n_prompt = std::ssize(prompt);
    const int64_t longest = context_length(source, flags, n_prompt);

    std::vector<kernels::Rank> group = flags.machine.make_group();
    const kernels::Backend& backend = *group.front().backend;
    const int64_t context = fitting_context(source, flags, n_prompt, longest, backend);
    const SettingChanges& changes = flags.activations.changes;
    const std::string& proposed = sampling.from_folder;
    log_run(group, with_changes(source.recipe(), changes),
            proposed.empty() ? "" : proposed + " from generation_config.json");
    const runtime::ModelGroup model = load_group(std::move(group), source, changes, context);
    runtime::Engine engine(model.ranks(), {.context = context});

    runtime::GenerateOptions options;
    options.max_new_tokens = flags.n_tokens.value_or(context);
    options.sampling = sampling.options;
    options.seed = flags.sampling.seed;
    if (!flags.ignore_eos) {
        const std::vector<int32_t>& ends = source.config().eos;
        options.end_tokens = flags.chat ? chat::turn_ends(ends, tokenizer) : ends;
    }
    ShownText listener(tokenizer, prompt, flags.stops, !flags.output.json);
    runtime::GenerateResult result =
        runtime::generate(engine, prompt, options, [&](int32_t id) { return listener.take(id); });
    listener.finish();
    if (listener.stopped()) result.finish_reason = runtime::FinishReason::Stop;

    if (flags.output.json) {
        print_json(prompt, result, listener.text(), options);
    } else {
        tell_speeds(prompt, result);
    }
    if (result.finish_reason == runtime::FinishReason::Interrupted) {
        throw Interrupted{static_cast<int>(result.interrupted_by)};
    }
}

}  // namespace

Work generate_command(Args& args) {
    auto flags = std::make_shared<GenerateFlags>();
    declare(args, *flags);
    return [flags] { work(*flags); };
}

}  // namespace quarot::apps

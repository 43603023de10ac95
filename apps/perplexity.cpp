// quarot perplexity: how well a model predicts a text, and how far from another model.
#include "eval/perplexity.h"

#include <fmt/format.h>

#include <chrono>
#include <limits>
#include <memory>

#include "apps/arg_values.h"
#include "apps/commands.h"
#include "apps/common_flags.h"
#include "apps/report.h"
#include "apps/running_model.h"
#include "core/error.h"
#include "folder/load_weights.h"
#include "io/hash.h"
#include "runtime/engine.h"

namespace quarot::apps {

namespace {

struct PerplexityFlags {
    std::string model, text, base;
    std::string text_format = "raw";
    eval::PerplexityOptions options;
    tokenizer::AddBos bos = tokenizer::AddBos::Auto;
    ActivationFlags activations;
    MachineFlags machine;
    OutputFlags output;
};

void declare(Args& args, PerplexityFlags& flags) {
    add_model_flag(args, flags.model);
    args.add({"--text", "FILE", "the text to predict; - is standard input",
              [&flags](const Given& g) { flags.text = g.value; }, Shown::First});
    args.add({"--seqlen", "N", "tokens in a window [2048]",
              [&flags](const Given& g) { flags.options.seqlen = as_integer(g, 2, 1 << 24); },
              Shown::First});
    args.add({"--windows", "N", "the first N windows only",
              [&flags](const Given& g) {
                  flags.options.max_windows = as_integer(g, 1, std::numeric_limits<int64_t>::max());
              },
              Shown::First});
    args.add({"--kl-base", "FOLDER", "also compare with this model's predictions",
              [&flags](const Given& g) { flags.base = g.value; }, Shown::First});
    args.add({"--text-format", "FORMAT", "raw, or wikitext-rows (blank line after each row) [raw]",
              [&flags](const Given& g) { flags.text_format = g.value; }})
        .choices = {"raw", "wikitext-rows"};
    add_bos_flag(args, flags.bos);
    flags.activations.declare(args);
    flags.machine.declare(args);
    flags.output.declare(args);
    args.example("quarot perplexity tiny-w4 --text models/tiny-novels/eval.txt --seqlen 1024",
                 "the perplexity of a whole text");
    args.example("quarot perplexity tiny-w4 --text t.txt --kl-base models/tiny-novels --json",
                 "with the divergence from full precision, for scripts");
    args.example("quarot perplexity tiny-w4 --text t.txt --a-bits 16 --kv-bits 16",
                 "weights quantized alone");
}

void check(const PerplexityFlags& flags) {
    require_model(flags.model);
    if (flags.text.empty()) fail(ErrorCode::Usage, "no text is given; name its file with --text");
}

struct Run {
    eval::PerplexityResult result;
    Recipe recipe;  // as it ran
    double bits_per_weight = 16.0;
    kernels::BackendInfo backend;
    std::string text_digest;
    int64_t n_tokens = 0;  // of the whole text
    double seconds = 0.0;  // of everything
};

void check_vocabularies(const folder::SourceModel& source, const folder::SourceModel& base) {
    if (source.config().vocab == base.config().vocab) return;
    fail(ErrorCode::Usage,
         "--kl-base {} has a vocabulary of {}, but {} has one of {}; expected the same",
         base.folder(), base.config().vocab, source.folder(), source.config().vocab);
}

Run measure(const PerplexityFlags& flags) {
    const auto start = std::chrono::steady_clock::now();
    const int64_t seqlen = flags.options.seqlen;
    const std::string text = eval::read_evaluation_text(flags.text, flags.text_format);
    const folder::SourceModel source = folder::SourceModel::open(flags.model);
    require_positions(source, "--seqlen", seqlen);
    std::unique_ptr<folder::SourceModel> base_source;
    if (!flags.base.empty()) {
        base_source = std::make_unique<folder::SourceModel>(folder::SourceModel::open(flags.base));
        check_vocabularies(source, *base_source);
        require_positions(*base_source, "--seqlen", seqlen);
    }
    const std::vector<int32_t> ids =
        tokenizer::Tokenizer::load(flags.model).encode(text, flags.bos);
    if (static_cast<int64_t>(ids.size()) < seqlen) {
        fail(
            ErrorCode::Usage,
            "--text {} has {} tokens, one window needs {}; use a longer text or a smaller --seqlen",
            flags.text, ids.size(), seqlen);
    }
    require_vocabulary(source, ids);

    const auto backend = flags.machine.make_backend();
    const SettingChanges& changes = flags.activations.changes;
    Run run{.recipe = with_changes(source.recipe(), changes),
            .bits_per_weight = source.bits_per_weight(),
            .backend = backend->info(),
            .text_digest = io::sha256_of_text(text)};
    log_run(*backend, run.recipe);
    const model::Weights weights = folder::load_weights(source, changes, seqlen, *backend);
    runtime::Engine engine(weights, *backend, {.context = seqlen});
    std::unique_ptr<model::Weights> base_weights;
    std::unique_ptr<runtime::Engine> base_engine;
    if (base_source) {
        base_weights = std::make_unique<model::Weights>(
            folder::load_weights(*base_source, {}, seqlen, *backend));
        base_engine = std::make_unique<runtime::Engine>(*base_weights, *backend,
                                                        runtime::EngineLimits{.context = seqlen});
    }
    run.result = eval::perplexity(engine, base_engine.get(), ids, flags.options);
    run.n_tokens = static_cast<int64_t>(ids.size());
    run.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return run;
}

double tokens_per_second(const PerplexityFlags& flags, const Run& run) {
    const auto windows = static_cast<double>(run.result.window_nll.size());
    return windows * static_cast<double>(flags.options.seqlen) / run.result.forward_seconds;
}

void print_json(const PerplexityFlags& flags, const Run& run) {
    const eval::PerplexityResult& result = run.result;
    io::Json json = json_document("perplexity");
    json.set("model", flags.model);
    json.set("recipe", run.recipe.name);
    json.set("bits", bits_to_json(run.recipe, run.bits_per_weight));
    json.set("text",
             io::Json::Object{
                 {"file", flags.text}, {"format", flags.text_format}, {"sha256", run.text_digest}});
    json.set("backend", backend_to_json(run.backend));
    json.set("perplexity", result.perplexity);
    json.set("standard_error",
             result.standard_error ? io::Json(*result.standard_error) : io::Json());
    json.set("window_nll", io::Json::Array(result.window_nll.begin(), result.window_nll.end()));
    json.set("seqlen", flags.options.seqlen);
    json.set("windows", static_cast<int64_t>(result.window_nll.size()));
    json.set("tokens", run.n_tokens);
    json.set("seconds", run.seconds);
    json.set("tokens_per_second", tokens_per_second(flags, run));
    if (result.divergence) {
        json.set("kl_base", flags.base);
        json.set("base_perplexity", result.divergence->base_perplexity);
        json.set("kl_mean", result.divergence->mean);
        json.set("kl_p99", result.divergence->p99);
        json.set("same_top1", result.divergence->same_top1);
    }
    print_document(json);
}

// "44.7912 +- 0.6712"
std::string with_error(const eval::PerplexityResult& result) {
    const std::string value = fmt::format("{:.4f}", result.perplexity);
    return result.standard_error ? fmt::format("{} +- {:.4f}", value, *result.standard_error)
                                 : value;
}

void print_text(const PerplexityFlags& flags, const Run& run) {
    const eval::PerplexityResult& result = run.result;
    std::vector<std::pair<std::string, std::string>> pairs = {
        {"perplexity", with_error(result)},
        {"windows", fmt::format("{} of {} tokens", result.window_nll.size(), flags.options.seqlen)},
        {"tokens", fmt::format("{} in the text", run.n_tokens)},
        {"seconds", fmt::format("{:.2f}", run.seconds)},
        {"tokens/s", fmt::format("{:.0f}", tokens_per_second(flags, run))}};
    if (result.divergence) {
        pairs.push_back(
            {"base perplexity", fmt::format("{:.4f}", result.divergence->base_perplexity)});
        pairs.push_back({"KL mean", fmt::format("{:.5f} nats", result.divergence->mean)});
        pairs.push_back({"KL 99 %", fmt::format("{:.5f} nats", result.divergence->p99)});
        pairs.push_back(
            {"same top 1", fmt::format("{:.2f} %", 100 * result.divergence->same_top1)});
    }
    print_result(format_pairs(pairs));
}

void work(PerplexityFlags& flags) {
    flags.output.apply();
    check(flags);
    const Run run = measure(flags);
    flags.output.json ? print_json(flags, run) : print_text(flags, run);
}

}  // namespace

Work perplexity_command(Args& args) {
    auto flags = std::make_shared<PerplexityFlags>();
    declare(args, *flags);
    return [flags] { work(*flags); };
}

}  // namespace quarot::apps

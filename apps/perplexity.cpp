// quarot perplexity: how well a model predicts a text, and how far from another model.
#include "eval/perplexity.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <iterator>
#include <limits>
#include <memory>
#include <optional>
#include <system_error>
#include <vector>

#include "apps/arg_values.h"
#include "apps/commands.h"
#include "apps/common_flags.h"
#include "apps/perplexity_report.h"
#include "apps/report.h"
#include "apps/running_model.h"
#include "core/error.h"
#include "eval/evaluation_text.h"
#include "eval/live_base.h"
#include "eval/llama_base.h"
#include "eval/stored_base.h"
#include "folder/load_weights.h"
#include "io/gguf_metadata.h"
#include "io/output_file.h"
#include "runtime/engine.h"

namespace quarot::apps {

namespace {

struct PerplexityFlags {
    std::string model, text, base, saved_base;
    eval::BaseForm form = eval::BaseForm::Compact;
    bool overwrite = false;
    std::vector<std::string> of_saved_base;  // where what is said of it alone was given
    std::string text_format = "raw";
    eval::Protocol protocol = eval::Protocol::Quarot;
    std::optional<int64_t> seqlen;
    int64_t max_windows = 0;
    tokenizer::AddBos bos = tokenizer::AddBos::Auto;
    ActivationFlags activations;
    RopeFlag rope;
    MachineFlags machine;
    OutputFlags output;
};

std::vector<std::string> protocol_names() {
    std::vector<std::string> names;
    for (const eval::Protocol protocol : eval::kProtocols) names.emplace_back(name_of(protocol));
    return names;
}

eval::Protocol as_protocol(const Given& given) {
    const auto found =
        std::find_if(std::begin(eval::kProtocols), std::end(eval::kProtocols),
                     [&](eval::Protocol protocol) { return name_of(protocol) == given.value; });
    return *found;  // one of the flag's choices
}

eval::BaseForm as_form(const Given& given) {
    return given.value == name_of(eval::BaseForm::Exact) ? eval::BaseForm::Exact
                                                         : eval::BaseForm::Compact;
}

void declare_text(Args& args, PerplexityFlags& flags) {
    args.add({"--text", "FILE", "the text to predict; - is standard input",
              [&flags](const Given& g) { flags.text = g.value; }, Shown::First});
    args.add({"--protocol", "NAME",
              "quarot (the paper's), llamacpp (llama-perplexity's), or lmeval "
              "(lm-evaluation-harness's rolling windows) [quarot]",
              [&flags](const Given& g) { flags.protocol = as_protocol(g); }, Shown::First})
        .choices = protocol_names();
    args.add(
        {"--seqlen", "N", "tokens in a window [2048; llamacpp 512; lmeval the model's context]",
         [&flags](const Given& g) { flags.seqlen = as_integer(g, 1, 1 << 24); }, Shown::First});
    args.add({"--windows", "N", "the first N windows only; of lmeval, the first N documents",
              [&flags](const Given& g) {
                  flags.max_windows = as_integer(g, 1, std::numeric_limits<int64_t>::max());
              },
              Shown::First});
    args.add({"--text-format", "FORMAT",
              "raw; wikitext-rows (blank line after each row); wikitext-pages (articles, cut at "
              "their titles) or wikitext-jsonl (a \"page\" a line), for lmeval [raw]",
              [&flags](const Given& g) { flags.text_format = g.value; }})
        .choices = {"raw", "wikitext-rows", "wikitext-pages", "wikitext-jsonl"};
    add_bos_flag(args, flags.bos);
}

std::vector<std::string> form_names() {
    std::vector<std::string> names;
    for (const eval::BaseForm form : eval::kBaseForms) names.emplace_back(name_of(form));
    return names;
}

void declare_base(Args& args, PerplexityFlags& flags) {
    args.add({"--kl-base", "MODEL",
              "also compare with this model's predictions: its folder, or a file of --save-kl-base "
              "or llama-perplexity",
              [&flags](const Given& g) { flags.base = g.value; }, Shown::First});
    args.add({"--save-kl-base", "FILE",
              "write this model's predictions, for --kl-base of other runs on the same text",
              [&flags](const Given& g) { flags.saved_base = g.value; }, Shown::First});
    args.add({"--kl-base-form", "FORM",
              "compact (the 256 likeliest tokens and a sample, 1.8 KB a token of text) or exact "
              "(all logits) [compact]",
              [&flags](const Given& g) {
                  flags.form = as_form(g);
                  flags.of_saved_base.push_back(g.source);
              }})
        .choices = form_names();
    args.add({"--overwrite", "", "replace the file of --save-kl-base if it exists",
              [&flags](const Given& g) {
                  flags.overwrite = as_switch(g);
                  if (flags.overwrite) flags.of_saved_base.push_back(g.source);
              }});
}

void declare(Args& args, PerplexityFlags& flags) {
    add_model_flag(args, flags.model);
    declare_text(args, flags);
    declare_base(args, flags);
    flags.activations.declare(args);
    flags.rope.declare(args);
    flags.machine.declare(args);
    flags.machine.declare_ranks(args);
    flags.output.declare(args);
    args.example("quarot perplexity tiny-w4 --text models/tiny-novels/eval.txt --seqlen 1024",
                 "the perplexity of a whole text");
    args.example("quarot perplexity tiny-w4 --text t.txt --kl-base models/tiny-novels --json",
                 "with the divergence from full precision, for scripts");
    args.example("quarot perplexity models/tiny-novels --text t.txt --save-kl-base full.klbase",
                 "store these predictions once; compare many models by --kl-base full.klbase");
    args.example("quarot perplexity tiny-w4 --text t.txt --a-bits 16 --kv-bits 16",
                 "weights quantized alone");
    args.example(
        "quarot perplexity smol-w4 --text wiki.test.raw --protocol lmeval --text-format "
        "wikitext-pages",
        "word and byte perplexity of task wikitext");
}

void check(const PerplexityFlags& flags) {
    require_model(flags.model);
    if (flags.text.empty()) fail(ErrorCode::Usage, "no text is given; name its file with --text");
    if (flags.saved_base.empty()) {
        return require_none_on_command_line(
            flags.of_saved_base, "needs --save-kl-base: it is about the file that this writes");
    }
    if (!flags.base.empty()) {
        fail(ErrorCode::Usage, "--kl-base and --save-kl-base are given, expected one of them");
    }
    std::error_code ignored;
    if (!flags.overwrite && std::filesystem::exists(flags.saved_base, ignored)) {
        fail(ErrorCode::Usage, "--save-kl-base {} exists; give --overwrite to replace it",
             flags.saved_base);
    }
}

int64_t seqlen_of(const PerplexityFlags& flags, const folder::SourceModel& source) {
    if (flags.seqlen) return *flags.seqlen;
    switch (flags.protocol) {
        case eval::Protocol::Quarot:
            return 2048;
        case eval::Protocol::LlamaCpp:
            return 512;
        case eval::Protocol::LmEval:
            break;
    }
    return source.config().max_positions;
}

struct Run {
    eval::PerplexityResult result;
    Recipe recipe;  // as it ran
    double bits_per_weight = 16.0;
    kernels::BackendInfo backend;
    std::string text_digest;
    int64_t seqlen = 0;
    int64_t n_tokens = 0;  // of the whole text
    int64_t n_documents = 0;
    std::optional<eval::BaseIdentity> base;  // of what was stored here
    std::string base_form;                   // of every file
    double seconds = 0.0;                    // of everything
};

void check_vocabularies(const folder::SourceModel& source, const folder::SourceModel& base) {
    if (source.config().vocab == base.config().vocab) return;
    fail(ErrorCode::Usage,
         "--kl-base {} has a vocabulary of {}, but {} has one of {}; expected the same",
         base.folder(), base.config().vocab, source.folder(), source.config().vocab);
}

int64_t longest_inputs(const eval::ScoredText& text) {
    int64_t longest = 1;
    for (const eval::Window& window : text.windows) {
        longest = std::max(longest, std::ssize(window.inputs));
    }
    return longest;
}

// What the predictions are compared with: nothing, a model's folder or what one stored, here or in
// llama.cpp.
struct Base {
    std::unique_ptr<folder::SourceModel> source;
    std::unique_ptr<eval::BaseFile> file;
    std::unique_ptr<eval::LlamaBaseFile> llama_file;
};

Base open_base(const PerplexityFlags& flags, const folder::SourceModel& source, int64_t seqlen) {
    Base base;
    if (flags.base.empty()) return base;
    std::error_code ignored;
    if (std::filesystem::is_regular_file(flags.base, ignored) && !io::is_gguf_file(flags.base)) {
        if (eval::LlamaBaseFile::is_one(flags.base)) {
            base.llama_file = std::make_unique<eval::LlamaBaseFile>(flags.base);
        } else {
            base.file = std::make_unique<eval::BaseFile>(flags.base);
        }
        return base;
    }
    base.source = std::make_unique<folder::SourceModel>(folder::SourceModel::open(flags.base));
    check_vocabularies(source, *base.source);
    require_positions(*base.source, "--seqlen", seqlen);
    return base;
}

eval::PerplexityResult run_beside_model(runtime::Engine& engine, const eval::ScoredText& text,
                                        const folder::SourceModel& source,
                                        kernels::Backend& backend) {
    const int64_t context = engine.limits().context;
    const model::Weights weights = folder::load_weights(source, {}, context, backend);
    runtime::Engine base_engine(weights, backend, {.context = context});
    eval::LiveBase base(base_engine);
    eval::PerplexityResult result = eval::measure_perplexity(engine, text, base);
    result.divergence = eval::divergence_of(base.pairs());
    return result;
}

// `stored` has the pairs of what it saw.
template <typename StoredScorer>
eval::PerplexityResult run_beside_file(runtime::Engine& engine, const eval::ScoredText& text,
                                       StoredScorer stored) {
    eval::PerplexityResult result = eval::measure_perplexity(engine, text, stored);
    result.divergence = eval::divergence_of(stored.pairs());
    return result;
}

// The file appears under its name when it is complete.
eval::PerplexityResult run_and_save(runtime::Engine& engine, const eval::ScoredText& text,
                                    const PerplexityFlags& flags,
                                    const eval::BaseIdentity& identity) {
    const std::string temporary = io::temporary_sibling(flags.saved_base, io::kUnfinishedFile);
    eval::BaseWriter writer(temporary, flags.form, identity);
    eval::BaseRecorder recorder(writer, identity.vocab);
    eval::PerplexityResult result = eval::measure_perplexity(engine, text, recorder);
    writer.finish();
    io::move_into_place(temporary, flags.saved_base);
    return result;
}

eval::PerplexityResult run_windows(runtime::Engine& engine, const eval::ScoredText& text,
                                   const PerplexityFlags& flags, const Base& base,
                                   const eval::BaseIdentity& identity, kernels::Backend& backend) {
    if (base.source) return run_beside_model(engine, text, *base.source, backend);
    if (!flags.saved_base.empty()) return run_and_save(engine, text, flags, identity);
    if (base.file) return run_beside_file(engine, text, eval::StoredBase(*base.file));
    if (base.llama_file) return run_beside_file(engine, text, eval::LlamaBase(*base.llama_file));
    eval::RowScorer scorer;
    return eval::measure_perplexity(engine, text, scorer);
}

eval::ScoredText cut_text(const PerplexityFlags& flags, const eval::EvaluationText& read,
                          int64_t seqlen, const folder::SourceModel& source) {
    eval::ScoredText text = eval::cut_text(read, tokenizer::Tokenizer::load(flags.model),
                                           {.protocol = flags.protocol,
                                            .seqlen = seqlen,
                                            .max_windows = flags.max_windows,
                                            .bos = flags.bos});
    for (const eval::Window& window : text.windows) {
        require_vocabulary(source, window.inputs);
        require_vocabulary(source, window.targets);
    }
    return text;
}

Run measure(const PerplexityFlags& flags) {
    const auto start = std::chrono::steady_clock::now();
    const eval::EvaluationText read = eval::read_documents(flags.text, flags.text_format);
    const folder::SourceModel source = flags.rope.open(flags.model);
    const int64_t seqlen = seqlen_of(flags, source);
    require_positions(source, "--seqlen", seqlen);
    const Base base = open_base(flags, source, seqlen);
    const eval::ScoredText text = cut_text(flags, read, seqlen, source);
    eval::BaseIdentity identity =
        eval::identity_of(text, read.sha256, seqlen, source.config().vocab);
    if (base.file) base.file->require_made_for(identity);
    if (base.llama_file) {
        base.llama_file->require_made_for(text, seqlen, source.config().vocab);
    }

    std::vector<kernels::Rank> group = flags.machine.make_group();
    const SettingChanges& changes = flags.activations.changes;
    Run run{.recipe = with_changes(source.recipe(), changes),
            .bits_per_weight = source.bits_per_weight(),
            .backend = group.front().backend->info(),
            .text_digest = read.sha256,
            .seqlen = seqlen,
            .n_tokens = text.n_tokens,
            .n_documents = std::ssize(text.documents)};
    if (base.file) run.base = base.file->identity();
    if (base.file) run.base_form = std::string(name_of(base.file->form()));
    if (base.llama_file) run.base_form = name_of(eval::Protocol::LlamaCpp);
    identity.model = flags.model;
    identity.recipe = run.recipe.name;
    log_run(group, run.recipe);
    const int64_t context = longest_inputs(text);
    const runtime::ModelGroup model = load_group(std::move(group), source, changes, context);
    runtime::Engine engine(model.ranks(), {.context = context});
    run.result = run_windows(engine, text, flags, base, identity, model.backend());
    run.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return run;
}

double tokens_per_second(const Run& run) {
    return static_cast<double>(run.result.n_run) / run.result.forward_seconds;
}

eval::Mean perplexity_of(const Run& run) {
    return {.value = run.result.perplexity, .standard_error = run.result.standard_error};
}

void set_rolling(io::Json& json, int64_t n_documents, const eval::RollingResult& rolling) {
    json.set("documents", n_documents);
    set_mean(json, "word_perplexity", rolling.word_perplexity);
    set_mean(json, "byte_perplexity", rolling.byte_perplexity);
    set_mean(json, "bits_per_byte", rolling.bits_per_byte);
}

// The keys of earlier versions, and all statistics.
void set_divergence(io::Json& json, const PerplexityFlags& flags, const Run& run,
                    const eval::Divergence& divergence) {
    json.set("kl_base", flags.base);
    if (!run.base_form.empty()) json.set("kl_base_form", run.base_form);
    if (run.base) {
        json.set("kl_base_model", run.base->model);
        json.set("kl_base_recipe", run.base->recipe);
    }
    json.set("base_perplexity", divergence.base_perplexity.value);
    json.set("kl_mean", divergence.kl.value);
    json.set("kl_p99", divergence.kl_quantile("p99"));
    json.set("same_top1", divergence.same_top1.value);
    json.set("divergence", divergence_to_json(divergence));
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
    json.set("protocol", std::string(name_of(flags.protocol)));
    json.set("perplexity", result.perplexity);
    json.set("standard_error",
             result.standard_error ? io::Json(*result.standard_error) : io::Json());
    json.set("window_nll", io::Json::Array(result.window_nll.begin(), result.window_nll.end()));
    json.set("seqlen", run.seqlen);
    json.set("windows", std::ssize(result.window_nll));
    json.set("tokens", run.n_tokens);
    json.set("scored_tokens", result.n_scored);
    if (result.rolling) set_rolling(json, run.n_documents, *result.rolling);
    json.set("seconds", run.seconds);
    json.set("tokens_per_second", tokens_per_second(run));
    if (result.divergence) set_divergence(json, flags, run, *result.divergence);
    if (!flags.saved_base.empty()) json.set("saved_kl_base", flags.saved_base);
    print_document(json);
}

void print_text(const PerplexityFlags& flags, const Run& run) {
    const eval::PerplexityResult& result = run.result;
    Pairs pairs = {
        {"protocol", std::string(name_of(flags.protocol))},
        {"perplexity", with_error(perplexity_of(run)) + (result.rolling ? " a token" : "")}};
    if (result.rolling) {
        pairs.push_back({"word perplexity", with_error(result.rolling->word_perplexity)});
        pairs.push_back({"byte perplexity", with_error(result.rolling->byte_perplexity)});
        pairs.push_back({"bits per byte", with_error(result.rolling->bits_per_byte)});
        pairs.push_back({"documents", fmt::format("{}", run.n_documents)});
    }
    pairs.push_back({"windows", fmt::format("{} of {}{} tokens", result.window_nll.size(),
                                            result.rolling ? "up to " : "", run.seqlen)});
    pairs.push_back(
        {"tokens", fmt::format("{} in the text, {} scored", run.n_tokens, result.n_scored)});
    pairs.push_back({"seconds", fmt::format("{:.2f}", run.seconds)});
    pairs.push_back({"tokens/s", fmt::format("{:.0f}", tokens_per_second(run))});
    if (run.base) {
        pairs.push_back(
            {"base", fmt::format("{} {}, {}", run.base->model, run.base->recipe, run.base_form)});
    } else if (!run.base_form.empty()) {
        pairs.push_back({"base", fmt::format("{}, {}", flags.base, run.base_form)});
    }
    if (!flags.saved_base.empty()) pairs.push_back({"saved", flags.saved_base});
    std::string text = format_pairs(pairs);
    if (result.divergence) text.append("\n").append(divergence_table(*result.divergence));
    print_result(text);
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

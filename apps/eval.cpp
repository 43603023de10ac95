// quarot eval: zero-shot tasks, and two runs of them compared item by item.
#include <fmt/format.h>

#include <chrono>
#include <exception>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <system_error>

#include "apps/arg_values.h"
#include "apps/commands.h"
#include "apps/common_flags.h"
#include "apps/eval_report.h"
#include "apps/report.h"
#include "apps/running_model.h"
#include "build_info.h"
#include "core/error.h"
#include "core/log.h"
#include "eval/item_log.h"
#include "eval/partial_scores.h"
#include "eval/task_run.h"
#include "folder/recipe_json.h"
#include "io/hash.h"
#include "runtime/engine.h"

namespace quarot::apps {

namespace {

struct EvalFlags {
    std::string model, data, log;
    std::vector<const eval::Task*> tasks;
    std::vector<std::string> compared;
    int64_t limit = 0;
    bool overwrite = false;
    std::vector<std::string> of_log;  // where what is said of it alone was given
    bool resume = false;
    tokenizer::AddBos bos = tokenizer::AddBos::Auto;
    ActivationFlags activations;
    RopeFlag rope;
    MachineFlags machine;
    OutputFlags output;
};

std::vector<std::string> task_names() {
    std::vector<std::string> names;
    for (const eval::Task& task : eval::tasks()) names.emplace_back(task.name);
    return names;
}

std::vector<const eval::Task*> as_tasks(const Given& given) {
    std::vector<const eval::Task*> list;
    for (const std::string& word : as_words(given)) {
        const eval::Task& task = eval::task_of(word);
        if (std::find(list.begin(), list.end(), &task) != list.end()) {
            fail(ErrorCode::Usage, "{} has {} twice, expected each task once", given.source,
                 task.name);
        }
        list.push_back(&task);
    }
    return list;
}

void declare(Args& args, EvalFlags& flags) {
    add_model_flag(args, flags.model);
    args.add({"--tasks", "LIST", "the tasks, with commas: " + joined(task_names(), ", "),
              [&flags](const Given& g) { flags.tasks = as_tasks(g); }, Shown::First})
        .likely = task_names();
    args.add({"--data", "FOLDER", "where the tasks' files are",
              [&flags](const Given& g) { flags.data = g.value; }, Shown::First});
    args.add({"--limit", "N", "the first N items of each task only",
              [&flags](const Given& g) {
                  flags.limit = as_integer(g, 1, std::numeric_limits<int64_t>::max());
              },
              Shown::First});
    args.add({"--log-items", "FILE", "also write each item's result, a JSON object a line",
              [&flags](const Given& g) { flags.log = g.value; }, Shown::First});
    args.add({"--overwrite", "", "replace that file if it exists", [&flags](const Given& g) {
                  flags.overwrite = as_switch(g);
                  if (flags.overwrite) flags.of_log.push_back(g.source);
              }});
    args.add({"--resume", "",
              "go on where an interrupted run with the same --log-items was, from FILE.partial",
              [&flags](const Given& g) { flags.resume = as_switch(g); }, Shown::First});
    args.add({"--compare", "FILE", "compare two files of --log-items: which items changed?",
              [&flags](const Given& g) { flags.compared.push_back(g.value); }, Shown::First,
              Repeated::AllCount})
        .n_values = 2;
    add_bos_flag(args, flags.bos);
    flags.activations.declare(args);
    flags.rope.declare(args);
    flags.machine.declare(args);
    flags.machine.declare_ranks(args);
    flags.output.declare(args);
    args.example("quarot eval tiny-w4 --tasks piqa,arc_easy --data DIR --limit 200",
                 "accuracy on the first 200 items of two tasks");
    args.example("quarot eval tiny-w4 --tasks piqa --data DIR --log-items w4.jsonl --json",
                 "for scripts, with a line for each item");
    args.example("quarot eval tiny-w4 --tasks piqa --data DIR --log-items w4.jsonl --resume",
                 "the same, where a run was interrupted");
    args.example("quarot eval tiny-w4 --tasks piqa --data DIR --a-bits 16 --kv-bits 16",
                 "weights quantized alone");
    args.example("quarot eval --compare full.jsonl w4.jsonl",
                 "which items changed, and is it more than chance (McNemar's test)");
}

void check(const EvalFlags& flags) {
    require_model(flags.model);
    if (flags.tasks.empty()) {
        fail(ErrorCode::Usage, "no tasks are given; name them with --tasks, out of {}",
             joined(task_names(), ", "));
    }
    if (flags.data.empty()) {
        fail(ErrorCode::Usage, "no data is given; name the folder of the tasks' files with --data");
    }
    if (flags.resume && flags.log.empty()) {
        fail(ErrorCode::Usage,
             "--resume needs --log-items: an interrupted run leaves its scores beside that file");
    }
    if (flags.log.empty()) {
        require_none_on_command_line(flags.of_log,
                                     "needs --log-items: it is about the file that this writes");
    }
    std::error_code ignored;
    if (!flags.log.empty() && !flags.overwrite && std::filesystem::exists(flags.log, ignored)) {
        fail(ErrorCode::Usage, "--log-items {} exists; give --overwrite to replace it", flags.log);
    }
}

// Data and requests of all tasks.
struct Questions {
    std::vector<eval::TaskData> data;
    std::vector<eval::TokenPair> pairs;  // of the tasks in order
    std::vector<size_t> n_pairs;         // of each task
    bool begin_with_bos = false;
};

Questions read_questions(const EvalFlags& flags, const folder::SourceModel& source) {
    const auto tokenizer = tokenizer::Tokenizer::load(flags.model);
    Questions questions;
    for (const eval::Task* task : flags.tasks) {
        questions.data.push_back(eval::read_task(*task, flags.data, flags.limit));
        std::vector<eval::TokenPair> pairs =
            eval::encode_task(questions.data.back(), tokenizer, flags.bos);
        for (const eval::TokenPair& pair : pairs) {
            require_vocabulary(source, pair.context);
            require_vocabulary(source, pair.continuation);
        }
        questions.n_pairs.push_back(pairs.size());
        std::move(pairs.begin(), pairs.end(), std::back_inserter(questions.pairs));
    }
    const std::vector<int32_t> one = tokenizer.encode("a", flags.bos);
    const std::optional<int32_t> bos = tokenizer.bos();
    if (bos && !one.empty() && one.front() == *bos) {
        questions.begin_with_bos = true;
        log_info("every request begins with {}", tokenizer.token(*bos));
    } else {
        log_info("no token that begins texts is put in front of requests");
    }
    return questions;
}

// What tells that a file is another than before, without reading all of it. Error{Io}.
std::string state_of(const std::string& file) {
    std::error_code error;
    const auto size = std::filesystem::file_size(file, error);
    if (error) fail(ErrorCode::Io, "cannot tell the size of {}: {}", file, error.message());
    const auto time = std::filesystem::last_write_time(file, error);
    if (error) fail(ErrorCode::Io, "cannot tell the time of {}: {}", file, error.message());
    return fmt::format("{} {} {}", std::filesystem::path(file).filename().string(), size,
                       time.time_since_epoch().count());
}

// All that decides scores: what is asked, of which weights by which recipe, on which backend of
// which version of the program.
std::string job_of(const Questions& questions, const folder::SourceModel& source,
                   const Recipe& recipe, const std::string& backend) {
    io::Xxh3 hash;
    const auto add = [&](const auto& values) {
        const auto n = std::ssize(values);  // so that borders count
        hash.add(std::as_bytes(std::span(&n, 1)));
        hash.add(std::as_bytes(std::span(values)));
    };
    for (const eval::TokenPair& pair : questions.pairs) {
        add(pair.context);
        add(pair.continuation);
    }
    for (const eval::TaskData& data : questions.data) add(data.task->name);
    add(folder::to_json(recipe).dump(-1));
    add(backend);
    add(std::string_view(QUAROT_VERSION));
    if (!source.is_gguf()) add(io::sha256_of_file(source.folder() + "/config.json"));
    for (const std::string& file : source.checkpoint().files()) add(state_of(file));
    return hash.hex();
}

// Scores are kept beside the log while they come; nothing without a log.
std::unique_ptr<eval::PartialScores> partial_scores(const EvalFlags& flags, const std::string& job,
                                                    size_t n_pairs) {
    if (flags.log.empty()) return nullptr;
    const std::string path = flags.log + ".partial";
    auto partial = std::make_unique<eval::PartialScores>(path, job, n_pairs);
    std::error_code ignored;
    if (!flags.resume) {
        if (std::filesystem::exists(path, ignored)) {
            log_info("{} of an interrupted run is replaced; --resume goes on with it", path);
        }
        return partial;
    }
    partial->load();
    log_info("{} of {} requests were scored before", partial->n_known(), n_pairs);
    return partial;
}

// What was scored is not lost with an error or a signal.
template <typename Work>
void keep_scores(const EvalFlags& flags, eval::PartialScores* partial, const Work& work) {
    if (partial == nullptr) return work();
    try {
        work();
    } catch (...) {
        try {
            partial->save();
            log_info("{} requests are scored; the same command with --resume goes on with them",
                     partial->n_known());
        } catch (const std::exception& error) {
            log_info("scores behind those in {}.partial are lost: {}", flags.log, error.what());
        }
        throw;
    }
}

struct Run {
    std::vector<eval::TaskResult> results;
    Recipe recipe;  // as it ran
    double bits_per_weight = 16.0;
    kernels::BackendInfo backend;
    bool begin_with_bos = false;
    int64_t n_requests = 0;
    int64_t n_tokens_run = 0;
    double seconds = 0.0;  // of scoring
};

Run answer(const EvalFlags& flags) {
    const folder::SourceModel source = flags.rope.open(flags.model);
    const Questions questions = read_questions(flags, source);
    const int64_t n_positions =
        eval::longest_inputs(questions.pairs, source.config().max_positions);
    std::vector<kernels::Rank> group = flags.machine.make_group();
    const kernels::Backend& backend = *group.front().backend;
    const SettingChanges& changes = flags.activations.changes;
    Run run{.results = {},
            .recipe = with_changes(source.recipe(), changes),
            .bits_per_weight = source.bits_per_weight(),
            .backend = backend.info(),
            .begin_with_bos = questions.begin_with_bos,
            .n_requests = std::ssize(questions.pairs)};
    log_run(group, run.recipe);
    const runtime::ModelGroup model = load_group(std::move(group), source, changes, n_positions);
    runtime::Engine engine(model.ranks(),
                           eval::scoring_limits(questions.pairs, model.weights(), model.backend()));
    const auto start = std::chrono::steady_clock::now();
    const auto partial = partial_scores(
        flags, job_of(questions, source, run.recipe, run.backend.name), questions.pairs.size());
    keep_scores(flags, partial.get(), [&] {
        size_t first = 0;
        for (size_t i = 0; i < questions.data.size(); ++i) {
            const size_t n = questions.n_pairs[i];
            run.results.push_back(eval::run_task(engine, questions.data[i],
                                                 std::span(questions.pairs).subspan(first, n),
                                                 partial.get(), first));
            first += n;
        }
        if (partial) eval::write_item_log(flags.log, run.results);
    });
    if (partial) partial->remove();
    run.n_tokens_run = engine.n_tokens_run();
    run.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return run;
}

int64_t n_items(const Run& run) {
    int64_t n = 0;
    for (const eval::TaskResult& result : run.results) n += std::ssize(result.items);
    return n;
}

void print_json(const EvalFlags& flags, const Run& run) {
    io::Json json = json_document("eval");
    json.set("model", flags.model);
    json.set("recipe", run.recipe.name);
    json.set("bits", bits_to_json(run.recipe, run.bits_per_weight));
    json.set("backend", backend_to_json(run.backend));
    json.set("data", flags.data);
    json.set("begin_with_bos", run.begin_with_bos);
    json.set("results", results_to_json(run.results));
    if (!flags.log.empty()) json.set("items", flags.log);
    json.set("requests", run.n_requests);
    json.set("tokens_run", run.n_tokens_run);
    json.set("seconds", run.seconds);
    json.set("items_per_second", static_cast<double>(n_items(run)) / run.seconds);
    print_document(json);
}

void print_text(const Run& run) {
    print_result(results_table(run.results) +
                 fmt::format("{} items, {} requests in {:.2f} s, {:.1f} items/s\n", n_items(run),
                             run.n_requests, run.seconds,
                             static_cast<double>(n_items(run)) / run.seconds));
}

void compare(const EvalFlags& flags) {
    if (flags.compared.size() != 2) {
        fail(ErrorCode::Usage, "--compare has {} files, expected two: --compare A.jsonl B.jsonl",
             flags.compared.size());
    }
    if (!flags.model.empty() || !flags.tasks.empty()) {
        fail(ErrorCode::Usage, "--compare reads two files and runs no model; leave out {}",
             flags.model.empty() ? "--tasks" : flags.model);
    }
    const auto comparison = eval::compare(flags.compared[0], flags.compared[1]);
    if (!flags.output.json) return print_result(comparison_table(comparison));
    io::Json json = json_document("eval");
    json.set("a", flags.compared[0]);
    json.set("b", flags.compared[1]);
    json.set("comparison", comparison_to_json(comparison));
    print_document(json);
}

void work(const EvalFlags& flags) {
    flags.output.apply();
    if (!flags.compared.empty()) return compare(flags);
    check(flags);
    const Run run = answer(flags);
    flags.output.json ? print_json(flags, run) : print_text(run);
}

}  // namespace

Work eval_command(Args& args) {
    auto flags = std::make_shared<EvalFlags>();
    declare(args, *flags);
    return [flags] { work(*flags); };
}

}  // namespace quarot::apps

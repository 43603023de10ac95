// quarot reproduce: every row of the paper's tables of perplexity and accuracy on one model, in
// one report.
#include "reproduce/reproduce.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <sstream>
#include <system_error>
#include <utility>

#include "apps/arg_values.h"
#include "apps/commands.h"
#include "apps/common_flags.h"
#include "apps/recipe_flags.h"
#include "apps/report.h"
#include "apps/reproduction_text.h"
#include "apps/running_model.h"
#include "build_info.h"
#include "core/error.h"
#include "core/log.h"
#include "eval/evaluation_text.h"
#include "io/input_text.h"
#include "quantize/calibration/calibration_windows.h"
#include "quantize/quantize_model.h"
#include "quantize/residual_matrix.h"
#include "reproduce/report.h"
#include "reproduce/run_keys.h"
#include "reproduce/weight_grid.h"
#include "reproduce/zero_shot.h"

namespace quarot::apps {

namespace {

constexpr int64_t kMostWindows = int64_t{1} << 20;
constexpr int64_t kMostSeeds = 1000;
constexpr int64_t kLadderSeeds = 3;  // steps are small beside what a seed changes
constexpr int64_t kLastSeed = std::numeric_limits<uint32_t>::max();

struct ReproduceFlags {
    std::string model, text, calibration, data, r1, out, note;
    std::string text_format = "raw";
    int64_t seqlen = 2048;
    int64_t max_windows = 0;  // 0: all
    int64_t task_limit = 0;   // likewise
    std::optional<int64_t> n_seeds;
    bool overwrite = false;
    reproduce::PlanOptions plan;
    tokenizer::AddBos bos = tokenizer::AddBos::Auto;
    MachineFlags machine;
    OutputFlags output;
};

std::vector<int> as_tables(const Given& given) {
    std::vector<int> tables;
    std::istringstream list(given.value);
    for (std::string item; std::getline(list, item, ',');) {
        tables.push_back(static_cast<int>(as_integer({given.source, item}, 1, 1000)));
    }
    return tables;
}

std::string known_tables() {
    std::string list;
    for (const reproduce::PaperTable& table : reproduce::paper_tables()) {
        list += fmt::format("{}{}", list.empty() ? "" : ",", table.number);
    }
    return list;
}

void declare_texts(Args& args, ReproduceFlags& flags) {
    args.add({"--text", "FILE", "the text to predict; - is standard input",
              [&flags](const Given& g) { flags.text = g.value; }, Shown::First});
    args.add({"--calib", "FILE", "the text that GPTQ and other rows calibrate on",
              [&flags](const Given& g) { flags.calibration = g.value; }, Shown::First});
    args.add({"--nsamples", "N", "windows of it [32]",
              [&flags](const Given& g) {
                  flags.plan.calibration.n_samples = as_integer(g, 1, kMostWindows);
              },
              Shown::First});
    args.add({"--seqlen", "N", "tokens in a window of either text [2048]",
              [&flags](const Given& g) { flags.seqlen = as_integer(g, 2, 1 << 20); },
              Shown::First});
    args.add({"--windows", "N", "predict the first N windows only",
              [&flags](const Given& g) { flags.max_windows = as_integer(g, 1, kMostWindows); },
              Shown::First});
    args.add({"--calib-windows", "WHICH", "first, or random: drawn from --seed [random]",
              [&flags](const Given& g) {
                  const bool first = g.value == "first";
                  flags.plan.calibration.windows =
                      first ? CalibrationWindows::First : CalibrationWindows::Random;
              }})
        .choices = {"first", "random"};
    args.add({"--text-format", "FORMAT", "raw, or wikitext-rows (blank line after each row) [raw]",
              [&flags](const Given& g) { flags.text_format = g.value; }})
        .choices = {"raw", "wikitext-rows"};
}

void declare_tasks(Args& args, ReproduceFlags& flags) {
    args.add({"--data", "FOLDER", "where the zero-shot tasks' files are, as for eval",
              [&flags](const Given& g) { flags.data = g.value; }, Shown::First});
    args.add({"--limit", "N", "the first N items of each task only",
              [&flags](const Given& g) {
                  flags.task_limit = as_integer(g, 1, std::numeric_limits<int64_t>::max());
              },
              Shown::First});
}

void declare_ablations(Args& args, ReproduceFlags& flags) {
    args.add({"--rotate", "HOW",
              "of rows that rotate: hadamard, random, none, or some of r1,r2,r3,r4,heads; given "
              "several times, each",
              [&flags](const Given& g) { flags.plan.rotations.push_back(as_rotation(g)); },
              Shown::First, Repeated::AllCount})
        .likely = {"hadamard", "random", "none"};
    args.add({"--r1", "FILE", "an orthogonal R1 from a safetensors file, where it is a Hadamard",
              [&flags](const Given& g) { flags.r1 = g.value; }});
    args.add({"--seed", "N", "of rotations and calibration windows [0]", [&flags](const Given& g) {
                  flags.plan.seed = static_cast<uint32_t>(as_integer(g, 0, kLastSeed));
              }});
    args.add({"--seeds", "N", "means and spreads of N seeds [1, --beyond 3]",
              [&flags](const Given& g) { flags.n_seeds = as_integer(g, 1, kMostSeeds); },
              Shown::First});
}

void declare(Args& args, ReproduceFlags& flags) {
    add_model_flag(args, flags.model);
    declare_texts(args, flags);
    declare_tasks(args, flags);
    args.add({"--tables", "LIST", "tables of the paper [" + known_tables() + "]",
              [&flags](const Given& g) { flags.plan.tables = as_tables(g); }, Shown::First});
    args.add({"--beyond", "", "what each setting of the best recipes gives",
              [&flags](const Given& g) { flags.plan.beyond = as_switch(g); }, Shown::First});
    args.add({"--out", "FOLDER", "where the report appears; a stopped run goes on there",
              [&flags](const Given& g) { flags.out = g.value; }, Shown::First});
    args.add({"--overwrite", "", "forget what an earlier run left in that folder",
              [&flags](const Given& g) { flags.overwrite = as_switch(g); }, Shown::First});
    args.add({"--note", "TEXT", "a remark for the top of the report",
              [&flags](const Given& g) { flags.note = g.value; }});
    declare_ablations(args, flags);
    add_bos_flag(args, flags.bos);
    flags.machine.declare(args);
    flags.output.declare(args);
    args.example(
        "quarot reproduce models/tiny-novels --text models/tiny-novels/eval.txt "
        "--calib models/tiny-novels/calib.txt --seqlen 1024 --nsamples 12 --out tables",
        "all tables on the sample model");
    args.example("quarot reproduce MODEL --text t.txt --tables 3,6 --out tables",
                 "tables that need no calibration");
    args.example("quarot reproduce MODEL --text t.txt --tables 3 --data DIR --out tables",
                 "with zero-shot accuracies beside");
    args.example("quarot reproduce MODEL --text t.txt --calib c.txt --beyond --out ladder",
                 "what each setting of best4.5, best4 and quarot+ gives beside the paper's recipe");
    args.example(
        "quarot reproduce MODEL --text t.txt --tables 3 --rotate r1 --rotate r1,r2,heads "
        "--rotate hadamard --seeds 3 --out ablation",
        "what single rotations give, each with three seeds");
}

void check(const ReproduceFlags& flags) {
    require_model(flags.model);
    if (flags.text.empty()) fail(ErrorCode::Usage, "no text is given; name its file with --text");
    if (flags.text == io::kStandardInput && flags.calibration == io::kStandardInput) {
        fail(ErrorCode::Usage,
             "--text and --calib are both standard input, expected a file for one of them");
    }
    if (flags.out.empty()) fail(ErrorCode::Usage, "no folder for the report is given; use --out");
    if (flags.task_limit > 0 && flags.data.empty()) {
        fail(ErrorCode::Usage,
             "--limit counts items of zero-shot tasks; name their folder with --data");
    }
    if (flags.plan.beyond && !flags.plan.tables.empty()) {
        fail(ErrorCode::Usage, "--beyond measures other rows than the paper's; leave out --tables");
    }
    if (flags.plan.beyond && !flags.plan.rotations.empty()) {
        fail(ErrorCode::Usage, "--beyond has rotations of its own; leave out --rotate");
    }
    if (flags.plan.seed + flags.plan.n_seeds - 1 > kLastSeed) {
        fail(ErrorCode::Usage, "--seeds {} from --seed {} on go beyond the last seed, {}",
             flags.plan.n_seeds, flags.plan.seed, kLastSeed);
    }
}

// Error{Usage} naming a row that needs the calibration text nobody gave.
bool wants_calibration(const ReproduceFlags& flags,
                       const std::vector<reproduce::PlannedRow>& rows) {
    for (const reproduce::PlannedRow& row : rows) {
        if (!row.recipe || !quantize::needs_calibration(*row.recipe)) continue;
        if (!flags.calibration.empty()) return true;
        if (flags.plan.beyond) {
            fail(ErrorCode::Usage, "--beyond needs a calibration text; name its file with --calib");
        }
        fail(ErrorCode::Usage,
             "row {} of {} needs a calibration text; name its file with --calib, or choose "
             "others with --tables",
             row.paper.row, row.place());
    }
    return false;
}

bool wants_tasks(const ReproduceFlags& flags, const std::vector<reproduce::PlannedRow>& rows) {
    if (flags.data.empty()) return false;
    const bool belong =
        std::any_of(rows.begin(), rows.end(), [](const auto& row) { return row.has_zero_shot(); });
    if (!belong) log_info("--data {} is not used: these tables have no accuracies", flags.data);
    return belong;
}

std::vector<int32_t> read_tokens(const ReproduceFlags& flags, const std::string& file,
                                 const tokenizer::Tokenizer& tokenizer) {
    return tokenizer.encode(eval::read_evaluation_text(file, flags.text_format), flags.bos);
}

std::string describe_model(const folder::SourceModel& source) {
    const model::ModelConfig& config = source.config();
    return fmt::format("{}, {} layers of {}, {} parameters", config.architecture, config.n_layers,
                       config.hidden, human_count(source.parameter_count()));
}

void refuse_quantized(const folder::SourceModel& source) {
    if (!source.is_quantized()) return;
    fail(ErrorCode::Unsupported,
         "{} is already the work of this program (recipe {}), expected an unquantized model folder",
         source.folder(), source.recipe().name);
}

// Another run's report is replaced only if the user says so.
void check_report(const ReproduceFlags& flags, const reproduce::ReportHeader& header,
                  const std::vector<reproduce::PlannedRow>& rows) {
    const std::string report = flags.out + "/report.json";
    std::error_code ignored;
    if (flags.overwrite || !std::filesystem::exists(report, ignored)) return;
    try {
        reproduce::check_report_grows(io::Json::parse_file(report), header, rows);
    } catch (const Error& error) {
        if (error.code() != ErrorCode::Usage) return;  // no whole report
        fail(error.code(), "{}: {} (--out, --overwrite)", flags.out, error.what());
    }
}

// What is read before anything is measured.
struct Inputs {
    std::vector<reproduce::PlannedRow> rows;
    quantize::ResidualMatrix r1;
    std::vector<int32_t> ids;  // of the text
    std::map<uint32_t, quantize::TokenWindows> calibration;
    std::optional<reproduce::ZeroShotQuestions> questions;
};

std::vector<reproduce::PlannedRow> plan_rows(const ReproduceFlags& flags,
                                             const folder::SourceModel& source,
                                             const std::string& r1_sha256) {
    reproduce::PlanOptions plan = flags.plan;
    plan.residual_sha256 = r1_sha256;
    std::vector<reproduce::PlannedRow> rows = reproduce::plan_rows(plan, source.config());
    const bool uses_r1 = std::any_of(rows.begin(), rows.end(), [](const auto& row) {
        return row.recipe && row.recipe->rotation.residual == ResidualRotation::File;
    });
    if (!r1_sha256.empty() && !uses_r1) {
        fail(ErrorCode::Usage, "--r1 {} takes the place of a Hadamard R1, and no row has one",
             flags.r1);
    }
    return rows;
}

std::map<uint32_t, quantize::TokenWindows> calibration_of(
    const ReproduceFlags& flags, const std::vector<reproduce::PlannedRow>& rows,
    const tokenizer::Tokenizer& tokenizer) {
    std::map<uint32_t, quantize::TokenWindows> windows;
    if (!wants_calibration(flags, rows)) return windows;
    const std::vector<int32_t> ids = read_tokens(flags, flags.calibration, tokenizer);
    for (int64_t i = 0; i < flags.plan.n_seeds; ++i) {
        const auto seed = static_cast<uint32_t>(flags.plan.seed + i);
        windows[seed] = quantize::calibration_windows(ids, flags.plan.calibration, seed);
    }
    return windows;
}

reproduce::ZeroShotQuestions read_questions(const ReproduceFlags& flags,
                                            const folder::SourceModel& source,
                                            const tokenizer::Tokenizer& tokenizer) {
    reproduce::ZeroShotQuestions questions =
        reproduce::read_zero_shot(flags.data, flags.task_limit, tokenizer, flags.bos);
    for (const reproduce::ZeroShotTask& task : questions.tasks) {
        for (const eval::TokenPair& pair : task.pairs) {
            require_vocabulary(source, pair.context);
            require_vocabulary(source, pair.continuation);
        }
    }
    for (const std::string& reason : questions.missing) log_info("left out: {}", reason);
    return questions;
}

Inputs read_inputs(const ReproduceFlags& flags, const folder::SourceModel& source) {
    Inputs inputs;
    if (!flags.r1.empty()) {
        ThreadPool pool(flags.machine.n_threads);
        inputs.r1 = quantize::read_residual_matrix(flags.r1, source.config().hidden, pool);
    }
    inputs.rows = plan_rows(flags, source, inputs.r1.sha256);
    wants_calibration(flags, inputs.rows);  // or says so before texts are read
    const tokenizer::Tokenizer tokenizer = tokenizer::Tokenizer::load(flags.model);
    inputs.ids = read_tokens(flags, flags.text, tokenizer);
    if (std::ssize(inputs.ids) < flags.seqlen) {
        fail(
            ErrorCode::Usage,
            "--text {} has {} tokens, one window needs {}; use a longer text or a smaller --seqlen",
            flags.text, inputs.ids.size(), flags.seqlen);
    }
    inputs.calibration = calibration_of(flags, inputs.rows, tokenizer);
    if (wants_tasks(flags, inputs.rows)) {
        inputs.questions = read_questions(flags, source, tokenizer);
    }
    return inputs;
}

reproduce::ReportHeader header_of(const ReproduceFlags& flags, const folder::SourceModel& source,
                                  const Inputs& inputs, const kernels::BackendInfo& info) {
    reproduce::ReportHeader header{
        .version = QUAROT_VERSION,
        .model = flags.model,
        .architecture = describe_model(source),
        .on_4_bit_grids = reproduce::weights_lie_on_4_bit_grids(source),
        .note = flags.note,
        .text = flags.text,
        .text_tokens = std::ssize(inputs.ids),
        .seqlen = flags.seqlen,
        .calibration = inputs.calibration.empty() ? "" : flags.calibration,
        .calibration_spec = flags.plan.calibration,
        .seed = flags.plan.seed,
        .n_seeds = flags.plan.n_seeds,
        .r1 = flags.r1,
        .r1_sha256 = inputs.r1.sha256,
        .backend = fmt::format("{}, tier {}", info.name, info.tier)};
    if (inputs.questions) {
        header.data = flags.data;
        header.task_limit = flags.task_limit;
        header.missing_tasks = inputs.questions->missing;
    }
    return header;
}

struct Reproduction {
    reproduce::ReportHeader header;
    reproduce::Results results;
    io::Json document;
};

Reproduction reproduce_all(const ReproduceFlags& flags) {
    const folder::SourceModel source = folder::SourceModel::open(flags.model);
    refuse_quantized(source);
    require_positions(source, "--seqlen", flags.seqlen);
    Inputs inputs = read_inputs(flags, source);
    const auto backend = flags.machine.make_backend();
    const kernels::BackendInfo info = backend->info();
    log_info("backend {}, tier {}, {}, {} rows", info.name, info.tier,
             describe_threads(info.n_threads), inputs.rows.size());
    Reproduction run;
    run.header = header_of(flags, source, inputs, info);
    check_report(flags, run.header, inputs.rows);
    const io::Json identity = reproduce::run_identity(source, {.ids = inputs.ids,
                                                               .seqlen = flags.seqlen,
                                                               .max_windows = flags.max_windows,
                                                               .backend = info.name});
    const reproduce::RunFolder folder(flags.out, identity, flags.overwrite);
    reproduce::RunnerSettings settings{.model = flags.model,
                                       .ids = inputs.ids,
                                       .seqlen = flags.seqlen,
                                       .max_windows = flags.max_windows,
                                       .n_threads = flags.machine.n_threads,
                                       .device = info.name == "cuda" ? flags.machine.device : "cpu",
                                       .calibration = std::move(inputs.calibration),
                                       .residual = std::move(inputs.r1.q),
                                       .tasks = {},
                                       .beside_full_precision = flags.plan.beyond};
    if (inputs.questions) settings.tasks = inputs.questions->tasks;

    run.results = reproduce::measure_rows(inputs.rows, identity, settings, folder, *backend);
    run.header.windows = run.results.full_precision.windows();
    run.document = json_document("reproduce");
    reproduce::add_report(run.document, run.header, run.results);
    folder.write("report.json", run.document.dump() + "\n");
    folder.write("report.csv", reproduce::csv_report(run.results));
    folder.write("report.md", reproduce::markdown_report(run.header, run.results));
    return run;
}

void work(ReproduceFlags& flags) {
    flags.output.apply();
    flags.plan.n_seeds = flags.n_seeds.value_or(flags.plan.beyond ? kLadderSeeds : 1);
    check(flags);
    flags.plan.calibration.seqlen = flags.seqlen;
    const Reproduction run = reproduce_all(flags);
    flags.output.json ? print_document(run.document)
                      : print_result(reproduction_text(run.header, run.results, flags.out));
}

}  // namespace

Work reproduce_command(Args& args) {
    auto flags = std::make_shared<ReproduceFlags>();
    declare(args, *flags);
    return [flags] { work(*flags); };
}

}  // namespace quarot::apps

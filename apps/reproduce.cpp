// quarot reproduce: every row of the paper's perplexity tables on one model and text, in one
// report.
#include "reproduce/reproduce.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <memory>
#include <sstream>
#include <system_error>

#include "apps/arg_values.h"
#include "apps/commands.h"
#include "apps/common_flags.h"
#include "apps/report.h"
#include "apps/running_model.h"
#include "build_info.h"
#include "core/error.h"
#include "core/log.h"
#include "eval/perplexity.h"
#include "io/input_text.h"
#include "quantize/calibration/calibration_windows.h"
#include "quantize/quantize_model.h"
#include "reproduce/report.h"
#include "reproduce/run_keys.h"
#include "reproduce/weight_grid.h"

namespace quarot::apps {

namespace {

constexpr int64_t kMostWindows = int64_t{1} << 20;

struct ReproduceFlags {
    std::string model, text, calibration, out, note;
    std::string text_format = "raw";
    int64_t seqlen = 2048;
    int64_t max_windows = 0;  // 0: all
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

void declare(Args& args, ReproduceFlags& flags) {
    add_model_flag(args, flags.model);
    declare_texts(args, flags);
    args.add({"--tables", "LIST", "tables of the paper [" + known_tables() + "]",
              [&flags](const Given& g) { flags.plan.tables = as_tables(g); }, Shown::First});
    args.add({"--out", "FOLDER", "where the report appears; a run that was stopped goes on there",
              [&flags](const Given& g) { flags.out = g.value; }, Shown::First});
    args.add({"--overwrite", "", "forget what an earlier run left in that folder",
              [&flags](const Given& g) { flags.overwrite = as_switch(g); }, Shown::First});
    args.add({"--note", "TEXT", "a remark for the top of the report",
              [&flags](const Given& g) { flags.note = g.value; }});
    args.add({"--seed", "N", "of rotations and calibration windows [0]", [&flags](const Given& g) {
                  flags.plan.seed =
                      static_cast<uint32_t>(as_integer(g, 0, std::numeric_limits<uint32_t>::max()));
              }});
    add_bos_flag(args, flags.bos);
    flags.machine.declare(args);
    flags.output.declare(args);
    args.example(
        "quarot reproduce models/tiny-novels --text models/tiny-novels/eval.txt "
        "--calib models/tiny-novels/calib.txt --seqlen 1024 --nsamples 12 --out tables",
        "all tables on the sample model");
    args.example("quarot reproduce MODEL --text t.txt --tables 3,6 --out tables",
                 "tables that need no calibration");
}

void check(const ReproduceFlags& flags) {
    require_model(flags.model);
    if (flags.text.empty()) fail(ErrorCode::Usage, "no text is given; name its file with --text");
    if (flags.text == io::kStandardInput && flags.calibration == io::kStandardInput) {
        fail(ErrorCode::Usage,
             "--text and --calib are both standard input, expected a file for one of them");
    }
    if (flags.out.empty()) fail(ErrorCode::Usage, "no folder for the report is given; use --out");
}

// Error{Usage} naming a row that needs the calibration text nobody gave.
bool wants_calibration(const ReproduceFlags& flags,
                       const std::vector<reproduce::PlannedRow>& rows) {
    for (const reproduce::PlannedRow& row : rows) {
        if (!row.recipe || !quantize::needs_calibration(*row.recipe)) continue;
        if (!flags.calibration.empty()) return true;
        fail(ErrorCode::Usage,
             "row {} of table {} needs a calibration text; name its file with --calib, or choose "
             "others with --tables",
             row.paper.row, row.paper.table);
    }
    return false;
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

struct Reproduction {
    reproduce::ReportHeader header;
    reproduce::Results results;
    io::Json document;
};

Reproduction reproduce_all(const ReproduceFlags& flags) {
    const folder::SourceModel source = folder::SourceModel::open(flags.model);
    refuse_quantized(source);
    require_positions(source, "--seqlen", flags.seqlen);
    const std::vector<reproduce::PlannedRow> rows =
        reproduce::plan_rows(flags.plan, source.config());
    const bool calibrates = wants_calibration(flags, rows);

    const tokenizer::Tokenizer tokenizer = tokenizer::Tokenizer::load(flags.model);
    const std::vector<int32_t> ids = read_tokens(flags, flags.text, tokenizer);
    const int64_t n_tokens = std::ssize(ids);
    if (n_tokens < flags.seqlen) {
        fail(
            ErrorCode::Usage,
            "--text {} has {} tokens, one window needs {}; use a longer text or a smaller --seqlen",
            flags.text, n_tokens, flags.seqlen);
    }
    const auto backend = flags.machine.make_backend();
    const kernels::BackendInfo info = backend->info();
    reproduce::RunnerSettings settings{.model = flags.model,
                                       .ids = ids,
                                       .seqlen = flags.seqlen,
                                       .max_windows = flags.max_windows,
                                       .n_threads = flags.machine.n_threads,
                                       .device = info.name == "cuda" ? flags.machine.device : "cpu",
                                       .calibration = {}};
    if (calibrates) {
        settings.calibration =
            quantize::calibration_windows(read_tokens(flags, flags.calibration, tokenizer),
                                          flags.plan.calibration, flags.plan.seed);
    }
    log_info("backend {}, tier {}, {}, {} rows", info.name, info.tier,
             describe_threads(info.n_threads), rows.size());
    Reproduction run;
    run.header = {.version = QUAROT_VERSION,
                  .model = flags.model,
                  .architecture = describe_model(source),
                  .on_4_bit_grids = reproduce::weights_lie_on_4_bit_grids(source),
                  .note = flags.note,
                  .text = flags.text,
                  .text_tokens = n_tokens,
                  .seqlen = flags.seqlen,
                  .calibration = calibrates ? flags.calibration : "",
                  .calibration_spec = flags.plan.calibration,
                  .seed = flags.plan.seed,
                  .backend = fmt::format("{}, tier {}", info.name, info.tier)};
    check_report(flags, run.header, rows);
    const io::Json identity = reproduce::run_identity(source, {.ids = ids,
                                                               .seqlen = flags.seqlen,
                                                               .max_windows = flags.max_windows,
                                                               .backend = info.name});
    const reproduce::RunFolder folder(flags.out, identity, flags.overwrite);

    run.results = reproduce::measure_rows(rows, identity, settings, folder, *backend);
    run.header.windows = run.results.full_precision.windows();
    run.document = json_document("reproduce");
    reproduce::add_report(run.document, run.header, run.results);
    folder.write("report.json", run.document.dump() + "\n");
    folder.write("report.md", reproduce::markdown_report(run.header, run.results));
    return run;
}

std::string format_number(const std::optional<double>& value) {
    return value ? fmt::format("{:.4f}", *value) : "-";
}

void print_text(const ReproduceFlags& flags, const Reproduction& run) {
    std::vector<std::vector<std::string>> cells = {
        {"row", "table", "recipe", "perplexity", "bits/wgt", "paper"}};
    for (const reproduce::MeasuredRow& row : run.results.rows) {
        const reproduce::PaperRow& paper = row.plan.paper;
        cells.push_back({std::string(paper.row), std::to_string(paper.table),
                         std::string(paper.recipe), format_number(row.perplexity()),
                         row.measurement && row.measurement->perplexity
                             ? fmt::format("{:.2f}", row.measurement->bits_per_weight)
                             : "-",
                         paper.paper ? fmt::format("{:.2f}", *paper.paper) : "-"});
    }
    const auto missing = std::count_if(run.results.rows.begin(), run.results.rows.end(),
                                       [](const auto& row) { return !row.perplexity(); });
    std::string text = format_table(cells) +
                       "\npaper: its perplexity of Llama-2-7B\nreport: " + flags.out +
                       "/report.md\n";
    if (missing > 0)
        text += fmt::format("{} rows are not available; the report says why\n", missing);
    print_result(text);
}

void work(ReproduceFlags& flags) {
    flags.output.apply();
    check(flags);
    flags.plan.calibration.seqlen = flags.seqlen;
    const Reproduction run = reproduce_all(flags);
    flags.output.json ? print_document(run.document) : print_text(flags, run);
}

}  // namespace

Work reproduce_command(Args& args) {
    auto flags = std::make_shared<ReproduceFlags>();
    declare(args, *flags);
    return [flags] { work(*flags); };
}

}  // namespace quarot::apps

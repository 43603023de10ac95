// quarot stats: how a model's activations and weights are spread, before and after rotation.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <memory>
#include <optional>
#include <system_error>

#include "apps/arg_values.h"
#include "apps/commands.h"
#include "apps/common_flags.h"
#include "apps/recipe_flags.h"
#include "apps/report.h"
#include "apps/rotation_lines.h"
#include "apps/running_model.h"
#include "apps/stats_table.h"
#include "core/error.h"
#include "core/log.h"
#include "eval/perplexity.h"
#include "folder/limits.h"
#include "io/hash.h"
#include "io/output_file.h"
#include "model/role_formats.h"
#include "quantize/residual_matrix.h"
#include "stats/stats_json.h"

namespace quarot::apps {

namespace {

constexpr const char* kWeights = "weights";  // beside the names of points
constexpr int64_t kMostTokens = int64_t{1} << 31;
constexpr int64_t kWindow = 2048;

struct StatsFlags {
    std::string model, text, out, r1;
    std::string text_format = "raw";
    std::vector<int64_t> layers;  // empty: all
    std::vector<stats::Point> points;
    bool with_weights = true;
    bool names_points = false;  // --points is given
    int64_t max_tokens = 4096;
    int64_t window = 0;  // 0: kWindow, or what the model has
    bool overwrite = false;
    tokenizer::AddBos bos = tokenizer::AddBos::Auto;
    RecipeFlags recipe;
    MachineFlags machine;
    OutputFlags output;
};

std::vector<std::string> point_names() {
    std::vector<std::string> names;
    for (const stats::PointRule& rule : stats::point_rules()) names.emplace_back(rule.name);
    names.emplace_back(kWeights);
    return names;
}

// All points in their order that the list names; Error{Usage} for other words.
void take_points(const Given& given, StatsFlags& flags) {
    const std::vector<std::string> words = as_words(given);
    for (const std::string& word : words) as_choice({given.source, word}, point_names());
    const auto is_named = [&](std::string_view name) {
        return std::find(words.begin(), words.end(), name) != words.end();
    };
    flags.points.clear();
    for (const stats::PointRule& rule : stats::point_rules()) {
        if (is_named(rule.name)) flags.points.push_back(rule.point);
    }
    flags.with_weights = is_named(kWeights);
    flags.names_points = true;
}

std::string describe_points() {
    std::string text = "Points:";
    for (const stats::PointRule& rule : stats::point_rules()) {
        text += fmt::format(" {}, {};", rule.name, rule.what);
    }
    return text + " weights, of all linears of the layers.";
}

void declare(Args& args, StatsFlags& flags) {
    for (const stats::PointRule& rule : stats::point_rules()) flags.points.push_back(rule.point);
    add_model_flag(args, flags.model);
    args.add({"--text", "FILE", "the text to run; - is standard input",
              [&flags](const Given& g) { flags.text = g.value; }, Shown::First});
    args.add({"--out", "FILE", "write all figures there, as JSON",
              [&flags](const Given& g) { flags.out = g.value; }, Shown::First});
    args.add({"--layers", "LIST", "these layers only, with commas [all]",
              [&flags](const Given& g) { flags.layers = as_integers(g, 0, limits::kLayers - 1); },
              Shown::First});
    args.add({"--points", "LIST", "these places only: " + joined(point_names(), ", ") + " [all]",
              [&flags](const Given& g) { take_points(g, flags); }, Shown::First})
        .likely = point_names();
    args.add({"--tokens", "N", "the first N tokens of the text [4096]",
              [&flags](const Given& g) { flags.max_tokens = as_integer(g, 1, kMostTokens); },
              Shown::First});
    args.add({"--seqlen", "N",
              "tokens of a window, which begins anew [2048, or what the model has]",
              [&flags](const Given& g) { flags.window = as_integer(g, 1, limits::kPositions); }});
    args.add({"--overwrite", "", "replace the file of --out if it exists",
              [&flags](const Given& g) { flags.overwrite = as_switch(g); }});
    args.add({"--text-format", "FORMAT", "raw, or wikitext-rows (blank line after each row) [raw]",
              [&flags](const Given& g) { flags.text_format = g.value; }})
        .choices = {"raw", "wikitext-rows"};
    add_bos_flag(args, flags.bos);
    flags.recipe.declare(args, SettingsShown::Formats);
    args.add({"--r1", "FILE", "an orthogonal R1 from a safetensors file, in place of the Hadamard",
              [&flags](const Given& g) { flags.r1 = g.value; }});
    flags.machine.declare(args);
    flags.output.declare(args);
    args.note(describe_points());
    args.note(
        "The recipe says how activations would be rotated, and to how many bits they, the cache "
        "and rounded weights would be quantized; the model runs at full precision. A folder that "
        "quarot made is seen as it is, in its own recipe, with activations and cache at 16 bits; "
        "weights that it stores as codes are left out.");
    args.example("quarot stats models/tiny-novels --text models/tiny-novels/eval.txt --seqlen 1024",
                 "a line for every place, before and after rotation");
    args.example(
        "quarot stats models/tiny-novels --text t.txt --layers 1,4 --points mlp_in,down_in "
        "--out tiny.json",
        "bands of every channel for a picture: quarot plot tiny.json --out pictures");
    args.example("quarot stats MODEL --text t.txt --points k,v --kv-bits 2 --json",
                 "what 2 bits would cost the cache, for scripts");
}

// Before the work, not after it.
void check_out(const StatsFlags& flags) {
    std::error_code ignored;
    if (!flags.overwrite && std::filesystem::exists(flags.out, ignored)) {
        fail(ErrorCode::Usage, "--out {} exists; give --overwrite to replace it", flags.out);
    }
    const std::filesystem::path folder = std::filesystem::path(flags.out).parent_path();
    if (!folder.empty() && !std::filesystem::is_directory(folder, ignored)) {
        fail(ErrorCode::Io, "--out {}: there is no folder {}{}", flags.out, folder.string(),
             io::missing_folder_hint(ENOENT));
    }
}

void check(const StatsFlags& flags) {
    require_model(flags.model);
    if (flags.text.empty()) fail(ErrorCode::Usage, "no text is given; name its file with --text");
    if (!flags.out.empty()) check_out(flags);
}

std::vector<int64_t> chosen_layers(const StatsFlags& flags, const folder::SourceModel& source) {
    const int64_t n_layers = source.config().n_layers;
    std::vector<int64_t> layers = flags.layers;
    if (layers.empty()) {
        for (int64_t layer = 0; layer < n_layers; ++layer) layers.push_back(layer);
    }
    std::sort(layers.begin(), layers.end());
    layers.erase(std::unique(layers.begin(), layers.end()), layers.end());
    if (layers.back() >= n_layers) {
        fail(ErrorCode::Usage, "--layers names layer {}, but {} has layers 0 to {}", layers.back(),
             source.folder(), n_layers - 1);
    }
    return layers;
}

// Of an ordinary folder the one that is asked for; of ours its own, with what may change at run
// time.
Recipe seen_recipe(const StatsFlags& flags, const folder::SourceModel& source) {
    if (!source.is_quantized()) return flags.recipe.resolve(true);
    const auto changes = flags.recipe.run_time_changes();
    if (!changes || !flags.r1.empty()) {
        fail(ErrorCode::Usage,
             "{} is the work of this program, and its weights and rotation are fixed (recipe {}); "
             "leave out --recipe and other flags that change them, or name the folder it was made "
             "from",
             source.folder(), source.recipe().name);
    }
    Recipe recipe = with_changes(source.recipe(), *changes);
    check_recipe(recipe);
    return recipe;
}

// R1's matrix where it is from a file, which the recipe then says.
std::vector<double> read_r1(const StatsFlags& flags, const folder::SourceModel& source,
                            Recipe& recipe) {
    if (flags.r1.empty()) return {};
    ThreadPool pool(flags.machine.n_threads);
    quantize::ResidualMatrix matrix =
        quantize::read_residual_matrix(flags.r1, source.config().hidden, pool);
    use_as_residual(matrix, recipe);
    return std::move(matrix.q);
}

// Before the text runs. Codes have no statistics here: an error if --points names weights, else
// they are left out.
bool sees_weights(const StatsFlags& flags, const folder::SourceModel& source,
                  const std::vector<int64_t>& layers) {
    if (!flags.with_weights) return false;
    if (flags.names_points) {
        stats::require_dense(source, layers);
        return true;
    }
    if (!stats::first_of_codes(source, layers)) return true;
    log_warning(
        "{}: its weights are stored as codes and are left out; name the folder that it was made "
        "from to see them",
        source.folder());
    return false;
}

struct Run {
    std::string architecture, rotation;
    Recipe recipe;
    kernels::BackendInfo backend;
    std::string text_digest;
    int64_t n_layers = 0, n_tokens = 0, window = 0;
    std::vector<stats::PointReport> points;
    std::vector<stats::WeightReport> weights;
};

Run measure(const StatsFlags& flags) {
    const folder::SourceModel source = folder::SourceModel::open(flags.model);
    const model::ModelConfig& config = source.config();
    const std::vector<int64_t> layers = chosen_layers(flags, source);
    Run run{.architecture = config.architecture,
            .recipe = seen_recipe(flags, source),
            .n_layers = config.n_layers,
            .window = flags.window == 0 ? std::min(kWindow, config.max_positions) : flags.window};
    model::check_groups(run.recipe, config);
    const bool with_weights = sees_weights(flags, source, layers);
    require_positions(source, "--seqlen", run.window);
    const std::optional<rotate::Rotation> made =
        stats::rotation_of(source, run.recipe, read_r1(flags, source, run.recipe));
    const rotate::Rotation* const rotation = made ? &*made : nullptr;
    run.rotation = describe_rotation(run.recipe.rotation, config);
    const std::string text = eval::read_evaluation_text(flags.text, flags.text_format);
    run.text_digest = io::sha256_of_text(text);
    std::vector<int32_t> ids = tokenizer::Tokenizer::load(flags.model).encode(text, flags.bos);
    if (ids.empty()) {
        fail(ErrorCode::Usage, "--text {} has no tokens, expected at least one", flags.text);
    }
    if (std::ssize(ids) > flags.max_tokens) ids.resize(static_cast<size_t>(flags.max_tokens));
    require_vocabulary(source, ids);
    run.n_tokens = std::ssize(ids);
    const auto backend = flags.machine.make_backend();
    run.backend = backend->info();
    log_run(*backend, run.recipe);
    run.points =
        stats::measure_activations(source,
                                   {.selection = {.layers = layers, .points = flags.points},
                                    .recipe = run.recipe,
                                    .rotation = rotation,
                                    .ids = ids,
                                    .window = std::min(run.window, run.n_tokens),
                                    .n_threads = flags.machine.n_threads},
                                   *backend);
    if (with_weights) {
        ThreadPool pool(flags.machine.n_threads);
        run.weights = stats::measure_weights(source, layers, run.recipe, rotation, pool);
    }
    return run;
}

io::Json document(const StatsFlags& flags, const Run& run) {
    io::Json json = json_document("stats");
    json.set("model", flags.model);
    json.set("architecture", run.architecture);
    json.set("layers", run.n_layers);
    json.set("recipe", run.recipe.name);
    json.set("rotation", run.rotation);
    json.set("text",
             io::Json::Object{
                 {"file", flags.text}, {"format", flags.text_format}, {"sha256", run.text_digest}});
    json.set("tokens", run.n_tokens);
    json.set("seqlen", run.window);
    json.set("backend", backend_to_json(run.backend));
    add_reports(json, run.points, run.weights);
    return json;
}

void print_text(const StatsFlags& flags, const Run& run) {
    std::string text = fmt::format("{}: {} tokens in windows of {}, rotation {}\n\n", flags.model,
                                   run.n_tokens, run.window, run.rotation);
    print_result(text + stats_table(run.points, run.weights));
}

void work(const StatsFlags& flags) {
    flags.output.apply();
    check(flags);
    const Run run = measure(flags);
    const io::Json json = document(flags, run);
    if (!flags.out.empty()) io::write_whole(flags.out, json.dump(-1) + "\n");
    flags.output.json ? print_document(json) : print_text(flags, run);
}

}  // namespace

Work stats_command(Args& args) {
    auto flags = std::make_shared<StatsFlags>();
    declare(args, *flags);
    return [flags] { work(*flags); };
}

}  // namespace quarot::apps

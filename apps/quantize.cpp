// quarot quantize: a model folder in, a rotated and quantized one out.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "apps/arg_values.h"
#include "apps/commands.h"
#include "apps/common_flags.h"
#include "apps/recipe_flags.h"
#include "apps/report.h"
#include "apps/running_model.h"
#include "core/error.h"
#include "core/log.h"
#include "core/process.h"
#include "quantize/quantize_model.h"

namespace quarot::apps {

namespace {

struct QuantizeFlags {
    std::string in, out;
    std::string device = "auto";
    RecipeFlags recipe;
    quantize::QuantizeOptions options;
    OutputFlags output;
};

void declare(Args& args, QuantizeFlags& flags) {
    args.add({"IN", "FOLDER", "the model as it came",
              [&flags](const Given& g) { flags.in = g.value; }, Shown::First});
    args.add({"OUT", "FOLDER", "where the quantized model appears, whole or not at all",
              [&flags](const Given& g) { flags.out = g.value; }, Shown::First});
    flags.recipe.declare(args);
    args.add({"--overwrite", "", "replace OUT if it exists",
              [&flags](const Given& g) { flags.options.overwrite = as_switch(g); }, Shown::First});
    args.add({"--shard-size", "SIZE", "largest file, such as 500M or 5G [5G]",
              [&flags](const Given& g) { flags.options.shard_bytes = as_byte_count(g); }});
    add_threads_flag(args, flags.options.n_threads);
    args.add({"--device", "NAME", "auto or cpu: quantizing runs on the CPU [auto]",
              [&flags](const Given& g) { flags.device = g.value; }});
    flags.output.declare(args);
    args.example("quarot quantize models/tiny-novels out/tiny-w4",
                 "the default recipe: rotated, 4 bits for weights, activations and cache");
    args.example("quarot quantize models/tiny-novels out/tiny-rtn --recipe rtn",
                 "the same without rotation, to compare with");
    args.example("quarot quantize IN OUT --a-bits 8 --kv-bits 16 --head-bits 8 --overwrite",
                 "a recipe with changes");
}

std::string kind_of(const std::string& layer_name) {
    return layer_name.substr(layer_name.rfind('.') + 1);
}

// One line a kind of layer: q_proj, k_proj, ...
std::string layer_table(const std::vector<quantize::QuantizedLayerReport>& layers) {
    struct Kind {
        std::string name, bits, method;
        int count = 0;
        double sum = 0.0, worst = 0.0;
    };
    std::vector<Kind> kinds;
    for (const quantize::QuantizedLayerReport& layer : layers) {
        const std::string name = kind_of(layer.name);
        auto kind = std::find_if(kinds.begin(), kinds.end(),
                                 [&](const Kind& known) { return known.name == name; });
        if (kind == kinds.end()) {
            kinds.push_back({name, std::to_string(layer.bits), layer.method});
            kind = kinds.end() - 1;
        }
        ++kind->count;
        kind->sum += layer.relative_error;
        kind->worst = std::max(kind->worst, layer.relative_error);
    }
    std::vector<std::vector<std::string>> rows = {
        {"layer", "count", "bits", "method", "relative error", "worst"}};
    for (const Kind& kind : kinds) {
        rows.push_back({kind.name, std::to_string(kind.count), kind.bits, kind.method,
                        fmt::format("{:.4f}", kind.sum / kind.count),
                        fmt::format("{:.4f}", kind.worst)});
    }
    return format_table(rows);
}

io::Json layers_to_json(const std::vector<quantize::QuantizedLayerReport>& layers) {
    io::Json::Array array;
    for (const quantize::QuantizedLayerReport& layer : layers) {
        array.emplace_back(io::Json::Object{{"name", layer.name},
                                            {"bits", layer.bits},
                                            {"group_size", layer.group_size},
                                            {"method", layer.method},
                                            {"relative_error", layer.relative_error}});
    }
    return array;
}

void print_json(const QuantizeFlags& flags, const quantize::QuantizeReport& report) {
    io::Json json = json_document("quantize");
    json.set("out", flags.out);
    json.set("recipe", model::to_json(flags.options.recipe));
    json.set("bits_per_weight", report.bits_per_weight);
    json.set("seconds", report.seconds);
    json.set("peak_rss_bytes", peak_rss_bytes());
    json.set("layers", layers_to_json(report.layers));
    print_document(json);
}

void print_text(const QuantizeFlags& flags, const quantize::QuantizeReport& report) {
    print_result(layer_table(report.layers) + "\n" +
                 format_pairs({{"out", flags.out},
                               {"recipe", describe(flags.options.recipe)},
                               {"rotation", describe(flags.options.recipe.rotation)},
                               {"bits per weight", fmt::format("{:.3f}", report.bits_per_weight)},
                               {"seconds", fmt::format("{:.2f}", report.seconds)},
                               {"peak memory", human_bytes(peak_rss_bytes())}}));
}

}  // namespace

void quantize_command(const Words& words) {
    Args args("quantize", "Rotate and quantize a model folder.", words);
    QuantizeFlags flags;
    declare(args, flags);
    if (!args.parse()) return;
    flags.output.apply();
    if (flags.in.empty() || flags.out.empty()) {
        fail(ErrorCode::Usage, "quantize needs two folders: quarot quantize IN OUT");
    }
    check_device_name(flags.device);
    flags.options.recipe = flags.recipe.resolve();
    log_info("backend cpu, {}, recipe {}", describe_threads(flags.options.n_threads),
             describe(flags.options.recipe));

    const quantize::QuantizeReport report =
        quantize::quantize_model(flags.in, flags.out, flags.options);
    flags.output.json ? print_json(flags, report) : print_text(flags, report);
}

}  // namespace quarot::apps

// quarot inspect: what a model folder holds: shape, recipe, rotation, bits, tensors.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>

#include "apps/arg_values.h"
#include "apps/commands.h"
#include "apps/common_flags.h"
#include "apps/report.h"
#include "apps/rotation_lines.h"
#include "apps/running_model.h"
#include "core/decimal.h"
#include "folder/memory_need.h"
#include "folder/recipe_json.h"
#include "folder/source_model.h"
#include "kernels/backend.h"
#include "kernels/ops.h"
#include "model/bits_per_value.h"
#include "model/key_bias.h"
#include "model/role_formats.h"

namespace quarot::apps {

namespace {

struct InspectFlags {
    std::string model;
    bool with_tensors = false;
    OutputFlags output;
};

void declare(Args& args, InspectFlags& flags) {
    add_model_flag(args, flags.model);
    args.add({"--tensors", "", "list every tensor",
              [&](const Given& g) { flags.with_tensors = as_switch(g); }, Shown::First});
    flags.output.declare(args);
    args.example("quarot inspect models/tiny-novels", "shape, bits, rotation");
    args.example("quarot inspect model-q8_0.gguf", "a GGUF file");
    args.example("quarot inspect tiny-w4 --tensors --json", "everything, for scripts");
}

kernels::KvDescriptor cache_of(const folder::SourceModel& source) {
    const model::ModelConfig& config = source.config();
    kernels::KvDescriptor descriptor;
    descriptor.n_layers = config.n_layers;
    descriptor.n_kv_heads = config.n_kv_heads;
    descriptor.head_dim = config.head_dim;
    descriptor.k = source.recipe().k;
    descriptor.v = source.recipe().v;
    return descriptor;
}

// "keep" or "subtract"; null where keys have no bias.
io::Json k_bias_text(const folder::SourceModel& source) {
    if (!has_bias(model::LinearRole::K, source.config())) return {};
    bool vanishes = true;  // of models without RoPE
    for (int64_t layer = 0; layer < source.config().n_layers; ++layer) {
        vanishes = vanishes && k_bias_vanishes(source.config(), layer);
    }
    const bool apart = vanishes || keeps_k_bias_apart(source.recipe(), source.config());
    return apart ? "subtract" : "keep";
}

// Of all tensors in the folder, or of the whole GGUF file, whose tensors are larger when read.
int64_t disk_bytes(const folder::SourceModel& source) {
    if (source.is_gguf()) {
        std::error_code gone;
        const uintmax_t bytes = std::filesystem::file_size(source.folder(), gone);
        return gone ? 0 : static_cast<int64_t>(bytes);
    }
    const io::Checkpoint& checkpoint = source.checkpoint();
    int64_t bytes = 0;
    for (const std::string& name : checkpoint.names()) bytes += checkpoint.info(name).bytes;
    return bytes;
}

// As the cpu backend holds them.
int64_t memory_bytes(const folder::SourceModel& source) {
    const auto backend = kernels::make_backend("cpu", {.n_threads = 1, .isa = ""});
    return folder::weight_bytes(source, source.recipe(), {}, *backend);
}

// Of an element as it is stored.
int64_t bits_of(const folder::SourceModel& source, model::LinearRole role, int quantized_bits) {
    const model::LinearId id = {role};
    return source.is_dense(id) ? 8 * size_of(source.dense_dtype(id)) : quantized_bits;
}

std::string describe_embedding_and_head(const folder::SourceModel& source) {
    const Recipe& recipe = source.recipe();
    const int64_t embedding = bits_of(source, model::LinearRole::Embedding, recipe.embedding_bits);
    const int64_t head = bits_of(source, model::LinearRole::LmHead, recipe.head_bits);
    if (!source.config().tied_embeddings) return fmt::format("{} and {} bits", embedding, head);
    const bool online = rotates_embedding_online(recipe, source.config());
    return fmt::format("one matrix of {} bits{}", head,
                       online ? ", R1 applied as rows are read and undone before the head" : "");
}

// Scales and zero points counted, first positions apart.
std::string describe_activation_bits(const folder::SourceModel& source) {
    const Recipe& recipe = source.recipe();
    const std::string bits =
        fmt::format("{:.3f}", model::bits_per_activation(recipe, source.config()));
    if (recipe.activations.first_positions == 0 || recipe.activations.bits == 16) return bits;
    return fmt::format("{}, and {} for the codes of the first {} positions", bits,
                       recipe.activations.widest_bits(), recipe.activations.first_positions);
}

std::string describe_cache_bits(const folder::SourceModel& source) {
    const Recipe& recipe = source.recipe();
    return fmt::format("{:.3f} and {:.3f} a value", model::bits_per_k(recipe, source.config()),
                       model::bits_per_v(recipe, source.config()));
}

constexpr const char* kWhereOnline =
    ", online at the inputs of q, k, v, gate and up, since norms stand behind o_proj and down_proj";

// Where layers differ; `rope` counts the model's RoPE tables, null is a layer without.
io::Json layers_to_json(const model::ModelConfig& config) {
    io::Json::Array layers;
    for (const model::LayerConfig& layer : config.layers) {
        layers.emplace_back(
            io::Json::Object{{"window", layer.window == 0 ? io::Json() : io::Json(layer.window)},
                             {"rope", layer.rope < 0 ? io::Json() : io::Json(layer.rope)}});
    }
    return layers;
}

// "512 positions in 22 of 26 layers"; empty if none slides.
std::string windows_text(const model::ModelConfig& config) {
    int64_t n = 0, window = 0;
    for (const model::LayerConfig& layer : config.layers) {
        if (layer.window > 0) ++n, window = layer.window;
    }
    if (n == 0) return "";
    return fmt::format("{} positions in {} of {} layers", window, n, config.n_layers);
}

io::Json rotation_to_json(const folder::SourceModel& source) {
    io::Json json = io::Json::Object{};
    for (const RotationLine& line : rotation_lines(source.recipe().rotation, source.config())) {
        const bool there = line.kind != "none";
        io::Json entry =
            io::Json::Object{{"kind", line.kind},
                             {"order", there ? io::Json(line.order) : io::Json()},
                             {"decomposition", there ? io::Json(line.decomposition) : io::Json()}};
        if (line.online) entry.set("online", true);
        json.set(line.name, std::move(entry));
    }
    return json;
}

std::vector<int64_t> layers_with_experts(const model::ModelConfig& config) {
    std::vector<int64_t> layers;
    for (int64_t layer = 0; layer < config.n_layers; ++layer) {
        if (config.layer(layer).mixture) layers.push_back(layer);
    }
    return layers;
}

// Of what linears read, by place; empty where they were not searched.
std::vector<std::pair<std::string, std::vector<float>>> input_clips(
    const folder::SourceModel& source) {
    std::vector<std::pair<std::string, std::vector<float>>> clips;
    const std::pair<const char*, model::LinearRole> places[] = {
        {"attn_in", model::LinearRole::Q},
        {"o_in", model::LinearRole::O},
        {"mlp_in", model::LinearRole::Gate},
        {"down_in", model::LinearRole::Down}};
    for (const auto& [name, role] : places) {
        if (!holds_clip(source.recipe(), role)) continue;
        auto& of_layers = clips.emplace_back(name, std::vector<float>()).second;
        for (int64_t layer = 0; layer < source.config().n_layers; ++layer) {
            of_layers.push_back(source.input_clip({role, layer}));
        }
    }
    return clips;
}

// Null where they were not searched.
io::Json input_clips_to_json(const folder::SourceModel& source) {
    io::Json json;
    for (const auto& [name, clips] : input_clips(source)) {
        io::Json::Array array;
        for (const float clip : clips) array.emplace_back(as_written(clip));
        json.set(name, std::move(array));
    }
    return json;
}

// "attn_in 0.9 to 0.975, ..."
std::string describe_input_clips(const folder::SourceModel& source) {
    std::vector<std::string> parts;
    for (const auto& [name, clips] : input_clips(source)) {
        const auto [least, most] = std::minmax_element(clips.begin(), clips.end());
        parts.push_back(fmt::format("{} {} to {}", name, *least, *most));
    }
    return joined(parts, ", ");
}

// Null without mixtures.
io::Json experts_to_json(const model::ModelConfig& config) {
    if (!config.has_mixtures()) return {};
    const std::vector<int64_t> layers = layers_with_experts(config);
    return io::Json::Object{{"count", config.mixture.n_experts},
                            {"per_token", config.mixture.top_k},
                            {"ffn", config.mixture.ffn},
                            {"layers", io::Json::Array(layers.begin(), layers.end())}};
}

std::string describe_experts(const model::ModelConfig& config) {
    const auto n_layers = layers_with_experts(config).size();
    return fmt::format("{} with an FFN of {} in {} layers, {} for a token",
                       config.mixture.n_experts, config.mixture.ffn, n_layers,
                       config.mixture.top_k);
}

io::Json tensors_to_json(const io::Checkpoint& checkpoint) {
    io::Json::Array array;
    for (const std::string& name : checkpoint.names()) {
        const io::TensorInfo& info = checkpoint.info(name);
        array.emplace_back(
            io::Json::Object{{"name", name},
                             {"dtype", std::string(quarot::name_of(info.dtype))},
                             {"shape", io::Json::Array(info.shape.begin(), info.shape.end())},
                             {"bytes", info.bytes}});
    }
    return array;
}

void print_json(const folder::SourceModel& source, bool with_tensors) {
    io::Json json = json_document("inspect");
    json.set("architecture", source.config().architecture);
    json.set("parameters", source.parameter_count());
    json.set("quantized", source.is_quantized());
    json.set("recipe", source.is_quantized() ? folder::to_json(source.recipe()) : io::Json());
    json.set("bits_per_weight", source.bits_per_weight());
    json.set("bits_per_activation", model::bits_per_activation(source.recipe(), source.config()));
    json.set("bits_per_k", model::bits_per_k(source.recipe(), source.config()));
    json.set("bits_per_v", model::bits_per_v(source.recipe(), source.config()));
    json.set("activation_clips", input_clips_to_json(source));
    json.set("tied", source.config().tied_embeddings);
    json.set("experts", experts_to_json(source.config()));
    json.set("disk_bytes", disk_bytes(source));
    json.set("memory_bytes", memory_bytes(source));
    json.set("kv_bytes_per_token", kv_bytes_per_token(cache_of(source)));
    json.set("kv_newest_block_bytes", newest_block_bytes(cache_of(source)));
    json.set("k_bias", k_bias_text(source));
    json.set("rotation", rotation_to_json(source));
    if (!source.config().layers.empty()) json.set("layers", layers_to_json(source.config()));
    if (with_tensors) json.set("tensors", tensors_to_json(source.checkpoint()));
    print_document(json);
}

std::string shape_text(const Shape& shape) {
    std::vector<std::string> sizes;
    for (const int64_t size : shape) sizes.push_back(std::to_string(size));
    return fmt::format("[{}]", joined(sizes, ", "));
}

std::string tensor_table(const io::Checkpoint& checkpoint) {
    std::vector<std::vector<std::string>> rows = {{"tensor", "dtype", "shape", "bytes"}};
    for (const std::string& name : checkpoint.names()) {
        const io::TensorInfo& info = checkpoint.info(name);
        rows.push_back({name, std::string(quarot::name_of(info.dtype)), shape_text(info.shape),
                        std::to_string(info.bytes)});
    }
    return format_table(rows);
}

std::string kv_bytes_text(const kernels::KvDescriptor& cache) {
    const std::string bytes = std::to_string(kv_bytes_per_token(cache));
    if (!cache.k.by_channel()) return bytes;
    return fmt::format("{} of full blocks of {}, and {} a sequence for the newest keys", bytes,
                       cache.k.block, human_bytes(newest_block_bytes(cache)));
}

std::string spaced(std::string name) {
    std::replace(name.begin(), name.end(), '_', ' ');
    return name;
}

void print_text(const folder::SourceModel& source, bool with_tensors) {
    const model::ModelConfig& config = source.config();
    std::vector<std::pair<std::string, std::string>> pairs = {
        {"model", source.folder()},
        {"architecture", config.architecture},
        {"parameters", human_count(source.parameter_count())},
        {"layers", std::to_string(config.n_layers)},
        {"widths",
         fmt::format("hidden {}, FFN {}, vocabulary {}", config.hidden, config.ffn, config.vocab)},
        {"heads", fmt::format("{} query, {} key and value, {} each", config.n_heads,
                              config.n_kv_heads, config.head_dim)},
        {"context", std::to_string(config.max_positions)},
        {"quantized", source.is_quantized() ? "yes, recipe " + describe(source.recipe()) : "no"},
        {"bits per weight", fmt::format("{:.3f}", source.bits_per_weight())},
        {"bits per activation", describe_activation_bits(source)},
        {"bits of K and V", describe_cache_bits(source)},
        {"embedding and head", describe_embedding_and_head(source)},
        {"weights", fmt::format("{} on disk, {} in memory", human_bytes(disk_bytes(source)),
                                human_bytes(memory_bytes(source)))},
        {"KV bytes per token", kv_bytes_text(cache_of(source))}};
    if (const std::string clips = describe_input_clips(source); !clips.empty()) {
        pairs.emplace_back("activation clips", clips);
    }
    if (config.has_mixtures()) pairs.emplace_back("experts", describe_experts(config));
    for (const RotationLine& line : rotation_lines(source.recipe().rotation, source.config())) {
        pairs.emplace_back(spaced(line.name), line.kind == "none" ? "none"
                                              : line.online ? line.decomposition + kWhereOnline
                                                            : line.decomposition);
    }
    if (const std::string windows = windows_text(config); !windows.empty()) {
        pairs.emplace_back("sliding window", windows);
    }
    if (const int64_t n = source.recipe().tp_max; n > 1) {
        pairs.emplace_back("ranks", fmt::format("equal results on 1 to {}", n));
    }
    std::string text = format_pairs(pairs);
    if (with_tensors) text += fmt::format("\n{}", tensor_table(source.checkpoint()));
    print_result(text);
}

void work(const InspectFlags& flags) {
    require_model(flags.model);
    const auto source = folder::SourceModel::open(flags.model);
    flags.output.json ? print_json(source, flags.with_tensors)
                      : print_text(source, flags.with_tensors);
}

}  // namespace

Work inspect_command(Args& args) {
    auto flags = std::make_shared<InspectFlags>();
    declare(args, *flags);
    return [flags] { work(*flags); };
}

}  // namespace quarot::apps

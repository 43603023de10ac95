#include "quantize/provenance.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

#include "core/process.h"
#include "folder/recipe_json.h"
#include "io/checkpoint.h"
#include "io/file_listing.h"
#include "io/file_names.h"
#include "io/hash.h"
#include "io/model_folder.h"
#include "io/seal.h"
#include "model/bits_per_value.h"
#include "quantize/gguf_companions.h"

namespace quarot::quantize {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 13> kCompanions = {"tokenizer.json",
                                                          "tokenizer_config.json",
                                                          "tokenizer.model",
                                                          "special_tokens_map.json",
                                                          "added_tokens.json",
                                                          "vocab.json",
                                                          "merges.txt",
                                                          "generation_config.json",
                                                          "chat_template.json",
                                                          "chat_template.jinja",
                                                          "LICENSE",
                                                          "LICENSE.txt",
                                                          "NOTICE"};

std::vector<std::string> companions_of(const std::string& folder) {
    std::vector<std::string> names;
    for (const std::string_view name : kCompanions) {
        const fs::path path = fs::path(folder) / name;
        std::error_code error;
        if (io::is_listed(path.string()) && !fs::is_directory(path, error)) {
            names.emplace_back(name);
        }
    }
    return names;
}

std::vector<std::string> files_in(const std::string& folder) {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder)) {
        names.push_back(entry.path().filename().string());
    }
    std::sort(names.begin(), names.end());
    return names;
}

io::Json hash_files(const std::string& folder, const std::vector<std::string>& names,
                    ThreadPool& pool) {
    std::vector<std::string> hashes(names.size());
    pool.parallel_for(std::ssize(names), [&](int64_t i, int) {
        throw_if_interrupted();
        hashes[i] = io::sha256_of_file((fs::path(folder) / names[i]).string());
    });
    io::Json::Object object;
    for (size_t i = 0; i < names.size(); ++i) object.emplace_back(names[i], hashes[i]);
    return object;
}

io::Json describe_mixer(const std::optional<linalg::Mixer>& mixer) {
    io::Json json;
    json.set("kind", mixer ? linalg::name_of(mixer->kind) : "none");
    if (!mixer) return json;
    json.set("order", mixer->n);
    json.set("decomposition", mixer->describe());
    return json;
}

std::string digest_of(const std::vector<std::vector<double>>& by_layer) {
    std::vector<double> all;
    for (const std::vector<double>& layer : by_layer) {
        all.insert(all.end(), layer.begin(), layer.end());
    }
    return io::sha256_of_bytes(std::as_bytes(std::span(all)));
}

io::Json describe_residual(const rotate::Rotation& rotation) {
    if (rotation.residual_dense.empty()) return describe_mixer(rotation.residual);
    io::Json json;
    const bool aligned = rotation.residual_kind == ResidualRotation::Aligned;
    const bool from_file = rotation.residual_kind == ResidualRotation::File;
    json.set("kind", aligned ? "aligned" : from_file ? "file" : "random");
    json.set("order", rotation.residual_order);
    if (aligned) json.set("sha256", digest_of({rotation.residual_dense}));
    return json;
}

io::Json describe_values(const rotate::Rotation& rotation) {
    if (!rotation.aligned_values) return describe_mixer(rotation.head_dim);
    io::Json json;
    json.set("kind", "aligned");
    json.set("sha256", digest_of(rotation.value_heads));
    return json;
}

}  // namespace

std::vector<std::string> input_files(const folder::SourceModel& source) {
    std::vector<std::string> paths = source.files();
    if (source.is_gguf()) return paths;
    const fs::path folder(source.folder());
    for (const std::string& name : companions_of(source.folder())) {
        paths.push_back((folder / name).string());
    }
    if (!io::reads_single_file(source.folder())) {
        paths.push_back((folder / io::kShardIndexName).string());
    }
    std::sort(paths.begin(), paths.end());
    return paths;
}

io::Json output_config(const folder::SourceModel& source, const Recipe& recipe,
                       const OutputPlan& plan) {
    io::Json config = source.config_json();
    const io::Json* said = config.find("tie_word_embeddings");
    const bool said_tied = said ? said->as_bool() : source.config().tied_embeddings;
    if (said_tied && !plan.tied_embeddings) config.set("tie_word_embeddings", false);
    config.set("quantization_config", folder::to_json(recipe));
    return config;
}

void copy_companions(const folder::SourceModel& source, io::OutputFolder& folder) {
    if (source.is_gguf()) return write_gguf_companions(source, folder);
    for (const std::string& name : companions_of(source.folder())) {
        folder.copy_file((fs::path(source.folder()) / name).string(), name);
    }
}

io::Json describe(const rotate::Rotation& rotation) {
    io::Json json;
    json.set("R1", describe_residual(rotation));
    json.set("R2", describe_values(rotation));
    json.set("R3", describe_mixer(rotation.online.query_key));
    json.set("R4", describe_mixer(rotation.online.ffn));
    if (rotation.online.expert_ffn) {
        json.set("R4_experts", describe_mixer(rotation.online.expert_ffn));
    }
    json.set("head_mix", describe_mixer(rotation.online.head_mix));
    if (rotation.balances_up) json.set("up_scales_sha256", digest_of(rotation.up_scales));
    return json;
}

io::Json bits_per_value(const Recipe& recipe, const model::ModelConfig& config,
                        double bits_per_weight) {
    return io::Json::Object{{"weights", bits_per_weight},
                            {"activations", model::bits_per_activation(recipe, config)},
                            {"k", model::bits_per_k(recipe, config)},
                            {"v", model::bits_per_v(recipe, config)}};
}

std::string rotation_digest(const rotate::Rotation& rotation) {
    return io::sha256_of_text(describe(rotation).dump());
}

void write_provenance(const Provenance& provenance, io::OutputFolder& folder, ThreadPool& pool) {
    io::Json::Object tensors;
    for (const auto& [name, hash] : provenance.tensor_hashes) tensors.emplace_back(name, hash);
    const std::string& out = folder.temporary_path();
    io::Json json;
    json.set("schema", "quarot.provenance/1");
    json.set("version", QUAROT_VERSION);
    json.set("recipe", folder::to_json(provenance.recipe));
    if (!provenance.reverted.empty()) {
        const std::vector<std::string>& names = provenance.reverted;
        json.set("reverted", io::Json::Array(names.begin(), names.end()));
    }
    json.set("bits_per_value", bits_per_value(provenance.recipe, provenance.source.config(),
                                              provenance.bits_per_weight));
    json.set("rotation", describe(provenance.rotation));
    io::Json::Object inputs;
    for (const auto& [name, digest] : provenance.inputs) inputs.emplace_back(name, digest);
    json.set("inputs", std::move(inputs));
    json.set("outputs", hash_files(out, files_in(out), pool));
    json.set("layers", to_json(provenance.layers));
    json.set("tensors", std::move(tensors));
    folder.write_text(io::kProvenanceFile, io::sealed(json.dump()) + "\n");
}

}  // namespace quarot::quantize

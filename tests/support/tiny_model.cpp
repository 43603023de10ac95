// Random weights for every tensor of a Llama folder, and the folder itself.
#include "support/tiny_model.h"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <random>
#include <span>
#include <utility>

#include "core/error.h"
#include "io/safetensors.h"
#include "tensor/float_convert.h"

namespace quarot::test {

namespace {

// Uniform in [-1, 1), the same everywhere (the standard's distributions are not).
class Noise {
  public:
    explicit Noise(uint32_t seed) : generator_(seed) {}
    float next() { return static_cast<float>(generator_() >> 8) * 0x1p-23f - 1.0f; }

  private:
    std::mt19937 generator_;
};

struct Maker {
    const TinyModelOptions& options;
    Noise noise;
    std::map<std::string, StoredTensor> tensors;

    void add(const std::string& name, Shape shape, float center, float spread) {
        std::vector<float> values(static_cast<size_t>(element_count(shape)));
        for (float& value : values) value = center + spread * noise.next();
        tensors[name] = make_stored_tensor(options.dtype, std::move(shape), values);
    }

    void add_matrix(const std::string& name, int64_t out, int64_t in) {
        const float deviation = 1.0f / std::sqrt(static_cast<float>(in));
        add(name, {out, in}, 0.0f, deviation * std::sqrt(3.0f));
    }

    void add_linear(const std::string& name, int64_t out, int64_t in, bool bias) {
        add_matrix(name + ".weight", out, in);
        if (bias) add(name + ".bias", {out}, 0.0f, 0.1f);
    }

    void add_norm(const std::string& name) {
        add(name, {options.hidden}, 1.0f, options.unit_norms ? 0.0f : 0.5f);
    }

    void add_layer(int64_t layer) {
        const std::string prefix = "model.layers." + std::to_string(layer) + ".";
        const int64_t q = options.n_heads * options.head_dim;
        const int64_t kv = options.n_kv_heads * options.head_dim;
        add_norm(prefix + "input_layernorm.weight");
        add_norm(prefix + "post_attention_layernorm.weight");
        add_linear(prefix + "self_attn.q_proj", q, options.hidden, options.attention_bias);
        add_linear(prefix + "self_attn.k_proj", kv, options.hidden, options.attention_bias);
        add_linear(prefix + "self_attn.v_proj", kv, options.hidden, options.attention_bias);
        add_linear(prefix + "self_attn.o_proj", options.hidden, q, options.attention_bias);
        add_linear(prefix + "mlp.gate_proj", options.ffn, options.hidden, options.mlp_bias);
        add_linear(prefix + "mlp.up_proj", options.ffn, options.hidden, options.mlp_bias);
        add_linear(prefix + "mlp.down_proj", options.hidden, options.ffn, options.mlp_bias);
    }
};

io::Json make_config(const TinyModelOptions& options) {
    return io::Json::Object{{"architectures", io::Json::Array{options.architecture}},
                            {"hidden_size", options.hidden},
                            {"intermediate_size", options.ffn},
                            {"num_hidden_layers", options.n_layers},
                            {"num_attention_heads", options.n_heads},
                            {"num_key_value_heads", options.n_kv_heads},
                            {"head_dim", options.head_dim},
                            {"hidden_act", "silu"},
                            {"vocab_size", options.vocab},
                            {"max_position_embeddings", options.max_positions},
                            {"rms_norm_eps", options.rms_eps},
                            {"rope_theta", options.rope_theta},
                            {"rope_scaling", options.rope_scaling},
                            {"tie_word_embeddings", options.tied},
                            {"attention_bias", options.attention_bias},
                            {"mlp_bias", options.mlp_bias},
                            {"bos_token_id", options.vocab > 257 ? 256 : 1},
                            {"eos_token_id", options.vocab > 257 ? 257 : 2}};
}

void write_text(const std::string& path, const std::string& text) {
    std::ofstream file(path, std::ios::binary);
    file << text;
    if (!file.flush()) fail(ErrorCode::Io, "cannot write {}", path);
}

void write_shard(const TinyModel& model, const std::vector<std::string>& names,
                 const std::string& path) {
    std::vector<io::PlannedTensor> plan;
    for (const std::string& name : names) {
        const StoredTensor& tensor = model.tensors.at(name);
        plan.push_back({name, tensor.dtype, tensor.shape});
    }
    io::SafetensorsWriter writer(path, std::move(plan));
    for (const std::string& name : names) {
        writer.write(name, 0, std::span<const std::byte>(model.tensors.at(name).bytes));
    }
    writer.finish();
}

// Names are dealt out like cards, so that the tensors of one layer stand in different shards.
void write_shards(const TinyModel& model, const std::string& folder, int n_shards) {
    std::vector<std::vector<std::string>> names_of_shard(static_cast<size_t>(n_shards));
    io::Json weight_map = io::Json::Object{};
    int64_t total_bytes = 0;
    size_t next = 0;
    const auto file_name = [n_shards](size_t shard) {
        return fmt::format("model-{:05}-of-{:05}.safetensors", shard + 1, n_shards);
    };
    for (const auto& [name, tensor] : model.tensors) {
        names_of_shard[next].push_back(name);
        weight_map.set(name, file_name(next));
        total_bytes += static_cast<int64_t>(tensor.bytes.size());
        next = (next + 1) % names_of_shard.size();
    }
    for (size_t shard = 0; shard < names_of_shard.size(); ++shard) {
        write_shard(model, names_of_shard[shard], folder + "/" + file_name(shard));
    }
    const io::Json index = io::Json::Object{
        {"metadata", io::Json::Object{{"total_size", total_bytes}}}, {"weight_map", weight_map}};
    write_text(folder + "/model.safetensors.index.json", index.dump());
}

}  // namespace

StoredTensor make_stored_tensor(DType dtype, Shape shape, const std::vector<float>& values) {
    StoredTensor tensor{dtype, std::move(shape), {}};
    tensor.bytes.resize(values.size() * static_cast<size_t>(size_of(dtype)));
    narrow(dtype, values, tensor.bytes.data());
    return tensor;
}

std::vector<float> values_of(const StoredTensor& tensor) {
    std::vector<float> values(tensor.bytes.size() / static_cast<size_t>(size_of(tensor.dtype)));
    widen(tensor.dtype, tensor.bytes.data(), values);
    return values;
}

TinyModel make_tiny_model(const TinyModelOptions& options) {
    Maker maker{options, Noise(options.seed), {}};
    maker.add("model.embed_tokens.weight", {options.vocab, options.hidden}, 0.0f, 1.0f);
    for (int64_t layer = 0; layer < options.n_layers; ++layer) maker.add_layer(layer);
    maker.add_norm("model.norm.weight");
    if (!options.tied) maker.add_matrix("lm_head.weight", options.vocab, options.hidden);

    TinyModel model{make_config(options), std::move(maker.tensors), {}};
    if (options.vocab > 257) model.text_files["tokenizer.json"] = tiny_tokenizer_json();
    return model;
}

void write_model(const TinyModel& model, const std::string& folder, int n_shards) {
    std::filesystem::create_directory(folder);
    write_text(folder + "/config.json", model.config.dump());
    for (const auto& [name, text] : model.text_files) write_text(folder + "/" + name, text);
    if (n_shards > 1) return write_shards(model, folder, n_shards);
    std::vector<std::string> names;
    for (const auto& [name, tensor] : model.tensors) names.push_back(name);
    write_shard(model, names, folder + "/model.safetensors");
}

void write_tiny_model(const std::string& folder, const TinyModelOptions& options, int n_shards) {
    write_model(make_tiny_model(options), folder, n_shards);
}

}  // namespace quarot::test

#include "support/gguf_of_folder.h"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <numbers>
#include <vector>

#include "core/check.h"
#include "core/error.h"
#include "io/checkpoint.h"
#include "io/json.h"

namespace quarot::test {

namespace {

using io::Json;

const std::map<std::string, std::string> kNames = {{"model.embed_tokens", "token_embd"},
                                                   {"model.norm", "output_norm"},
                                                   {"lm_head", "output"},
                                                   {"input_layernorm", "attn_norm"},
                                                   {"post_attention_layernorm", "ffn_norm"},
                                                   {"self_attn.q_proj", "attn_q"},
                                                   {"self_attn.k_proj", "attn_k"},
                                                   {"self_attn.v_proj", "attn_v"},
                                                   {"self_attn.o_proj", "attn_output"},
                                                   {"self_attn.qkv_proj", "attn_qkv"},
                                                   {"self_attn.q_norm", "attn_q_norm"},
                                                   {"self_attn.k_norm", "attn_k_norm"},
                                                   {"mlp.gate_proj", "ffn_gate"},
                                                   {"mlp.up_proj", "ffn_up"},
                                                   {"mlp.gate_up_proj", "ffn_up"},
                                                   {"mlp.down_proj", "ffn_down"}};

std::string gguf_name(const std::string& name) {
    const size_t dot = name.rfind('.');
    const std::string ending = name.substr(dot), stem = name.substr(0, dot);
    constexpr std::string_view kLayers = "model.layers.";
    if (!stem.starts_with(kLayers)) return kNames.at(stem) + ending;
    const size_t behind = stem.find('.', kLayers.size());
    const std::string layer = stem.substr(kLayers.size(), behind - kLayers.size());
    return "blk." + layer + "." + kNames.at(stem.substr(behind + 1)) + ending;
}

uint32_t type_of(DType dtype) {
    QUAROT_CHECK(is_float_weight(dtype));
    return dtype == DType::F32 ? 0 : dtype == DType::F16 ? 1 : 30;
}

// Halves of each head to pairs: (x0 x1 .. y0 y1 ..) to (x0 y0 x1 y1 ..).
std::string in_pairs(const std::string& rows, int64_t n_rows, int64_t n_heads) {
    const size_t row_bytes = rows.size() / static_cast<size_t>(n_rows);
    const int64_t half = n_rows / n_heads / 2;
    std::string pairs;
    for (int64_t head = 0; head < n_heads; ++head) {
        for (int64_t i = 0; i < half; ++i) {
            for (const int64_t side : {0, 1}) {
                const int64_t row = (head * 2 + side) * half + i;
                pairs += rows.substr(static_cast<size_t>(row) * row_bytes, row_bytes);
            }
        }
    }
    return pairs;
}

void add_tensors(const io::Checkpoint& checkpoint, const Json& config, bool pairs,
                 io::HandmadeGguf& gguf) {
    for (const std::string& name : checkpoint.names()) {
        const Tensor tensor = checkpoint.read(name);
        std::string data(reinterpret_cast<const char*>(tensor.data()),
                         static_cast<size_t>(tensor.bytes()));
        const bool is_query = name.find("q_proj") != std::string::npos;
        if (pairs && (is_query || name.find("k_proj") != std::string::npos)) {
            const char* heads = is_query ? "num_attention_heads" : "num_key_value_heads";
            data = in_pairs(data, tensor.shape()[0], config.at(heads).as_int());
        }
        const std::vector<uint64_t> dims(tensor.shape().rbegin(), tensor.shape().rend());
        gguf.tensors.push_back({gguf_name(name), dims, type_of(tensor.dtype()), data});
    }
}

// By wavelength, as the model's makers wrote it.
void add_llama3_factors(const Json& config, int64_t head_dim, io::HandmadeGguf& gguf) {
    const Json& rope = config.at("rope_scaling");
    const double factor = rope.at("factor").as_double(),
                 low = rope.at("low_freq_factor").as_double(),
                 high = rope.at("high_freq_factor").as_double(),
                 context = rope.at("original_max_position_embeddings").as_double();
    std::string data;
    for (int64_t i = 0; i < head_dim; i += 2) {
        const double exponent = static_cast<double>(i) / static_cast<double>(head_dim);
        const double wavelength =
            2.0 * std::numbers::pi * std::pow(config.at("rope_theta").as_double(), exponent);
        const double smooth = (context / wavelength - low) / (high - low);
        const double divisor = wavelength < context / high ? 1.0
                               : wavelength > context / low
                                   ? factor
                                   : 1.0 / ((1.0 - smooth) / factor + smooth);
        data += io::bytes_of(static_cast<float>(divisor));
    }
    gguf.tensors.push_back({"rope_freqs.weight", {static_cast<uint64_t>(head_dim / 2)}, 0, data});
}

void add_numbers(const Json& config, const std::string& architecture, io::HandmadeGguf& gguf) {
    const auto set = [&](const char* name, const char* key) {
        if (const Json* value = config.find(key)) {
            gguf.set(architecture + "." + name,
                     io::gguf_u32(static_cast<uint32_t>(value->as_int())));
        }
    };
    set("context_length", "max_position_embeddings");
    set("embedding_length", "hidden_size");
    set("block_count", "num_hidden_layers");
    set("feed_forward_length", "intermediate_size");
    set("attention.head_count", "num_attention_heads");
    set("attention.head_count_kv", "num_key_value_heads");
    set("attention.key_length", "head_dim");
    set("attention.value_length", "head_dim");
    set("attention.sliding_window", "sliding_window");
    gguf.set(architecture + ".attention.layer_norm_rms_epsilon",
             io::gguf_f32(static_cast<float>(config.at("rms_norm_eps").as_double())));
    const Json* newer = config.find("rope_parameters");
    const Json& theta = (newer == nullptr ? config : *newer).at("rope_theta");
    gguf.set(architecture + ".rope.freq_base", io::gguf_f32(static_cast<float>(theta.as_double())));
}

void add_rope(const Json& config, const std::string& architecture, io::HandmadeGguf& gguf) {
    const Json* rope = config.find("rope_scaling");
    if (rope == nullptr) return;
    const std::string type = rope->at("rope_type").as_string();
    if (type == "llama3") return add_llama3_factors(config, config.at("head_dim").as_int(), gguf);
    gguf.set(architecture + ".rope.scaling.type", io::gguf_text(type));
    gguf.set(architecture + ".rope.scaling.factor",
             io::gguf_f32(static_cast<float>(rope->at("factor").as_double())));
}

// One token a byte, <s>, </s>, and rows that no text reaches.
void add_tokens(const Json& tokenizer, int64_t n, io::HandmadeGguf& gguf) {
    std::vector<std::string> tokens(static_cast<size_t>(n));
    std::vector<int32_t> kinds(static_cast<size_t>(n), 5);
    for (size_t id = 0; id < tokens.size(); ++id) tokens[id] = fmt::format("[PAD{}]", id);
    const auto put = [&](const std::string& token, int64_t id, int32_t kind) {
        tokens.at(static_cast<size_t>(id)) = token;
        kinds.at(static_cast<size_t>(id)) = kind;
    };
    for (const auto& [token, id] : tokenizer.at("model").at("vocab").as_object()) {
        put(token, id.as_int(), 1);
    }
    for (const Json& added : tokenizer.at("added_tokens").as_array()) {
        put(added.at("content").as_string(), added.at("id").as_int(), 3);
    }
    gguf.set("tokenizer.ggml.model", io::gguf_text("gpt2"));
    gguf.set("tokenizer.ggml.pre", io::gguf_text("gpt-2"));
    gguf.set("tokenizer.ggml.tokens", io::gguf_texts(tokens));
    gguf.set("tokenizer.ggml.token_type", io::gguf_i32s(kinds));
    gguf.set("tokenizer.ggml.merges", io::gguf_texts({}));
}

}  // namespace

io::HandmadeGguf gguf_of_folder(const std::string& folder, const std::string& architecture) {
    const Json config = Json::parse_file(folder + "/config.json");
    io::HandmadeGguf gguf;
    gguf.set("general.architecture", io::gguf_text(architecture));
    add_numbers(config, architecture, gguf);
    add_rope(config, architecture, gguf);
    for (const char* name : {"bos_token_id", "eos_token_id"}) {
        const auto id = static_cast<uint32_t>(config.at(name).as_int());
        gguf.set(std::string("tokenizer.ggml.") + name, io::gguf_u32(id));
    }
    if (std::filesystem::exists(folder + "/tokenizer.json")) {
        add_tokens(Json::parse_file(folder + "/tokenizer.json"), config.at("vocab_size").as_int(),
                   gguf);
    }
    add_tensors(io::Checkpoint::open(folder), config, architecture == "llama", gguf);
    return gguf;
}

void write_gguf(const io::HandmadeGguf& gguf, const std::string& path) {
    std::ofstream file(path, std::ios::binary);
    file << gguf.bytes();
    if (!file.flush()) fail(ErrorCode::Io, "cannot write {}", path);
}

}  // namespace quarot::test

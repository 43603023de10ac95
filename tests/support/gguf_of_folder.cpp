#include "support/gguf_of_folder.h"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <numbers>
#include <string_view>
#include <utility>
#include <vector>

#include "core/check.h"
#include "core/error.h"
#include "io/checkpoint.h"
#include "io/json.h"
#include "support/checkout.h"
#include "tensor/float_convert.h"

namespace quarot::test {

namespace {

using io::Json;

const std::map<std::string, std::string> kNames = {{"model.embed_tokens", "token_embd"},
                                                   {"model.norm", "output_norm"},
                                                   {"lm_head", "output"},
                                                   {"embed_out", "output"},
                                                   {"gpt_neox.embed_in", "token_embd"},
                                                   {"gpt_neox.final_layer_norm", "output_norm"},
                                                   {"input_layernorm", "attn_norm"},
                                                   {"pre_feedforward_layernorm", "ffn_norm"},
                                                   {"post_feedforward_layernorm", "post_ffw_norm"},
                                                   {"self_attn.q_proj", "attn_q"},
                                                   {"self_attn.k_proj", "attn_k"},
                                                   {"self_attn.v_proj", "attn_v"},
                                                   {"self_attn.o_proj", "attn_output"},
                                                   {"self_attn.qkv_proj", "attn_qkv"},
                                                   {"self_attn.q_norm", "attn_q_norm"},
                                                   {"self_attn.k_norm", "attn_k_norm"},
                                                   {"attention.query_key_value", "attn_qkv"},
                                                   {"attention.dense", "attn_output"},
                                                   {"mlp.gate_proj", "ffn_gate"},
                                                   {"mlp.up_proj", "ffn_up"},
                                                   {"mlp.gate_up_proj", "ffn_up"},
                                                   {"mlp.down_proj", "ffn_down"},
                                                   {"mlp.c_fc", "ffn_up"},
                                                   {"mlp.c_proj", "ffn_down"},
                                                   {"mlp.dense_h_to_4h", "ffn_up"},
                                                   {"mlp.dense_4h_to_h", "ffn_down"},
                                                   {"mlp.gate", "ffn_gate_inp"},
                                                   {"block_sparse_moe.gate", "ffn_gate_inp"},
                                                   {"experts.gate_proj", "ffn_gate_exps"},
                                                   {"experts.up_proj", "ffn_up_exps"},
                                                   {"experts.down_proj", "ffn_down_exps"},
                                                   {"experts.w1", "ffn_gate_exps"},
                                                   {"experts.w3", "ffn_up_exps"},
                                                   {"experts.w2", "ffn_down_exps"}};

// How converters write an architecture.
struct Conventions {
    bool pairs = false;         // rows of q and k in pairs
    bool whole_gains = false;   // 1 is added to gains
    bool norms_behind = false;  // "post_attention_layernorm" stands behind attention
};
Conventions conventions_of(const std::string& architecture) {
    const bool gemma = architecture.starts_with("gemma");
    return {
        .pairs = architecture == "llama" || architecture == "granite" || architecture == "smollm3",
        .whole_gains = gemma,
        .norms_behind = (gemma && architecture != "gemma") || architecture == "olmo2"};
}

// Where a tensor of a folder goes: its name there, and the expert that it is of, or -1.
struct Target {
    std::string name;
    int64_t expert = -1;
};

Target target_of(const std::string& name, bool norms_behind) {
    const size_t dot = name.rfind('.');
    const std::string ending = name.substr(dot), stem = name.substr(0, dot);
    const size_t layers = stem.find("layers.");
    if (layers == std::string::npos) return {kNames.at(stem) + ending};
    const size_t number = layers + std::string_view("layers.").size();
    const size_t behind = stem.find('.', number);
    const std::string block = "blk." + stem.substr(number, behind - number) + ".";
    std::string part = stem.substr(behind + 1);
    if (part == "post_attention_layernorm") {
        return {block + (norms_behind ? "post_attention_norm" : "ffn_norm") + ending};
    }
    const size_t experts = part.find("experts.");
    if (experts == std::string::npos) return {block + kNames.at(part) + ending};
    part = part.substr(experts + std::string_view("experts.").size());
    const size_t end = part.find('.');
    return {block + kNames.at("experts" + part.substr(end)) + ending,
            std::stoll(part.substr(0, end))};
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

// Head by head q, k and v, to all of q, all of k, all of v.
std::string part_by_part(const std::string& rows, int64_t n_heads) {
    const size_t chunk = rows.size() / static_cast<size_t>(3 * n_heads);
    std::string parts;
    for (size_t part = 0; part < 3; ++part) {
        for (size_t head = 0; head < static_cast<size_t>(n_heads); ++head) {
            parts += rows.substr((head * 3 + part) * chunk, chunk);
        }
    }
    return parts;
}

// Widened, as converters do it.
std::string plus_one(const Tensor& gains) {
    std::vector<float> values(static_cast<size_t>(element_count(gains.shape())));
    widen(gains.dtype(), gains.data(), values);
    std::string data;
    for (const float value : values) data += io::bytes_of(value + 1.0f);
    return data;
}

std::string data_of(const std::string& name, const Tensor& tensor, const Json& config,
                    const Conventions& conventions) {
    const std::string data(reinterpret_cast<const char*>(tensor.data()),
                           static_cast<size_t>(tensor.bytes()));
    const bool is_query = name.find("q_proj") != std::string::npos;
    if (conventions.pairs && (is_query || name.find("k_proj") != std::string::npos)) {
        const char* heads = is_query ? "num_attention_heads" : "num_key_value_heads";
        return in_pairs(data, tensor.shape()[0], config.at(heads).as_int());
    }
    if (name.find("query_key_value") != std::string::npos) {
        return part_by_part(data, config.at("num_attention_heads").as_int());
    }
    return data;
}

// Checkpoints list experts in the order of their names: 10 stands before 2.
void add_tensors(const io::Checkpoint& checkpoint, const Json& config,
                 const Conventions& conventions, io::HandmadeGguf& gguf) {
    std::map<std::string, std::map<int64_t, std::string>> experts;
    for (const std::string& name : checkpoint.names()) {
        const Tensor tensor = checkpoint.read(name);
        const Target target = target_of(name, conventions.norms_behind);
        std::vector<uint64_t> dims(tensor.shape().rbegin(), tensor.shape().rend());
        if (conventions.whole_gains && name.ends_with("norm.weight")) {
            gguf.tensors.push_back({target.name, dims, type_of(DType::F32), plus_one(tensor)});
            continue;
        }
        std::string data = data_of(name, tensor, config, conventions);
        if (target.expert >= 0) {
            auto& of_part = experts[target.name];
            if (of_part.empty()) {
                gguf.tensors.push_back({target.name, dims, type_of(tensor.dtype()), ""});
            }
            of_part[target.expert] = std::move(data);
            continue;
        }
        gguf.tensors.push_back({target.name, dims, type_of(tensor.dtype()), std::move(data)});
    }
    for (auto& tensor : gguf.tensors) {
        const auto found = experts.find(tensor.name);
        if (found == experts.end()) continue;
        tensor.dims.push_back(found->second.size());
        for (const auto& [expert, data] : found->second) tensor.data += data;
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
    const auto find = [&](const char* key) { return config.find(key); };
    const auto set = [&](const char* name, const char* key) {
        if (const Json* value = find(key)) {
            gguf.set(architecture + "." + name,
                     io::gguf_u32(static_cast<uint32_t>(value->as_int())));
        }
    };
    const auto set_real = [&](const char* name, const char* key) {
        if (const Json* value = find(key)) {
            gguf.set(architecture + "." + name,
                     io::gguf_f32(static_cast<float>(value->as_double())));
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
    set("attention.sliding_window_pattern", "sliding_window_pattern");
    set("expert_count", "num_local_experts");
    set("expert_count", "num_experts");
    set("expert_used_count", "num_experts_per_tok");
    set("expert_feed_forward_length", "moe_intermediate_size");
    set_real("attention.layer_norm_rms_epsilon", "rms_norm_eps");
    set_real("attention.layer_norm_epsilon", "layer_norm_eps");
    set_real("attention.layer_norm_epsilon", "norm_epsilon");
    set_real("attn_logit_softcapping", "attn_logit_softcapping");
    set_real("final_logit_softcapping", "final_logit_softcapping");
    set_real("attention.scale", "attention_multiplier");
    set_real("embedding_scale", "embedding_multiplier");
    set_real("residual_scale", "residual_multiplier");
    set_real("logit_scale", "logits_scaling");
    set_real("logit_scale", "logit_scale");
    set_real("rope.freq_base", "rope_theta");
    set_real("rope.freq_base", "rotary_emb_base");
    set_real("rope.freq_base_swa", "rope_local_base_freq");
    if (const Json* parallel = find("use_parallel_residual")) {
        gguf.set(architecture + ".use_parallel_residual", io::gguf_bool(parallel->as_bool()));
    }
    for (const char* key : {"partial_rotary_factor", "rotary_pct"}) {
        const Json* part = find(key);
        if (part == nullptr) continue;
        const int64_t head_dim =
            config.at("hidden_size").as_int() / config.at("num_attention_heads").as_int();
        gguf.set(
            architecture + ".rope.dimension_count",
            io::gguf_u32(static_cast<uint32_t>(static_cast<double>(head_dim) * part->as_double())));
    }
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
    add_tensors(io::Checkpoint::open(folder), config, conventions_of(architecture), gguf);
    return gguf;
}

std::string gguf_architecture(const std::string& family) {
    static const std::map<std::string, std::string> kOthers = {{"opt", ""},
                                                               {"mistral", "llama"},
                                                               {"mixtral", "llama"},
                                                               {"qwen3_moe", "qwen3moe"},
                                                               {"gpt_neox", "gptneox"},
                                                               {"gpt_neox_sequential", "gptneox"},
                                                               {"stablelm_parallel", "stablelm"},
                                                               {"cohere", "command-r"}};
    const auto other = kOthers.find(family);
    return other == kOthers.end() ? family : other->second;
}

void write_what_gguf_can_say(const std::string& family, const std::string& folder) {
    const std::string from = in_checkout("tests/golden/families/" + family);
    Json config = Json::parse_file(from + "/config_hub.json");
    if (config.contains("query_pre_attn_scalar")) {
        config.set("query_pre_attn_scalar", config.at("head_dim"));
    }
    if (family == "smollm3") {
        config.set("no_rope_layers", Json());
        config.set("no_rope_layer_interval", 4);
    }
    if (family == "gpt_neox_sequential") {
        config.set("hidden_act", "gelu");
        config.set("rotary_pct", 0.25);
    }
    std::filesystem::create_directory(folder);
    std::filesystem::copy_file(from + "/model.safetensors", folder + "/model.safetensors");
    std::ofstream(folder + "/config.json") << config.dump();
}

void write_gguf(const io::HandmadeGguf& gguf, const std::string& path) {
    std::ofstream file(path, std::ios::binary);
    file << gguf.bytes();
    if (!file.flush()) fail(ErrorCode::Io, "cannot write {}", path);
}

}  // namespace quarot::test

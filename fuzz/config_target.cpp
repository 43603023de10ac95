// config.json of any family, then generation_config.json: what a folder says before its weights.
#include "core/error.h"
#include "folder/folder_config.h"
#include "folder/generation_config.h"
#include "folder/tensor_plan.h"
#include "fuzz/target.h"

namespace quarot::fuzz {
namespace {

// A plan grows with layers and experts, and a few of them say all.
constexpr int64_t kLayersToPlan = 2;
constexpr int64_t kExpertsToPlan = 8;

void check_config(const model::ModelConfig& config) {
    expect(config.hidden > 0 && config.ffn > 0 && config.vocab > 0 && config.n_layers > 0,
           "a size is not above 0");
    expect(config.n_heads > 0 && config.n_kv_heads > 0 && config.n_heads % config.n_kv_heads == 0,
           "key and value heads do not divide the heads");
    expect(config.head_dim > 0 && config.head_dim % 2 == 0, "RoPE needs pairs");
    expect(config.norm_eps > 0 && config.ropes[0].theta > 1 && config.ropes[0].factor > 0,
           "a constant is out of its range");
    const model::Mixture& mixture = config.mixture;
    expect(!config.has_mixtures() ||
               (mixture.ffn > 0 && mixture.top_k > 0 && mixture.top_k <= mixture.n_experts),
           "a token has more experts than there are");
    expect(config.bos >= -1 && config.bos < config.vocab, "bos is no token");
}

void check_generation(const io::Json& generation) {
    const folder::GenerationDefaults defaults = folder::read_generation_defaults(generation);
    expect(defaults.temperature.value_or(0) >= 0 && defaults.top_k.value_or(0) >= 0 &&
               defaults.top_p.value_or(1) > 0 && defaults.min_p.value_or(0) >= 0 &&
               defaults.repetition_penalty.value_or(1) > 0,
           "a way to sample that no flag could ask for");
}

void run(std::string_view input) {
    const io::Json json = io::Json::parse(take_segment(input), "config.json");
    folder::FolderConfig config = folder::read_folder_config(json);
    check_config(config.model);
    folder::check_recipe_fits(config.recipe, config.model, json);
    if (config.model.n_layers <= kLayersToPlan &&
        config.model.mixture.n_experts <= kExpertsToPlan) {
        const auto plan = folder::plan_tensors(*config.family, config.model, config.recipe);
        expect(!plan.empty(), "a model without tensors");
    }
    if (input.empty()) return;
    const io::Json generation = io::Json::parse(input, "generation_config.json");
    folder::add_end_tokens(generation, config.model);
    check_generation(generation);
}

constexpr const char* kSmall = R"("hidden_size":32,"intermediate_size":48,"num_hidden_layers":2,)"
                               R"("num_attention_heads":4,"vocab_size":272,"rms_norm_eps":1e-5,)"
                               R"("max_position_embeddings":256)";

std::string config(const std::string& more, const std::string& architecture = "LlamaForCausalLM") {
    return R"({"architectures":[")" + architecture + "\"]," + kSmall + "," + more + "}";
}

std::vector<std::string> seeds() {
    return {config(R"("num_key_value_heads":2,"head_dim":8,"tie_word_embeddings":true)"),
            join_segments({config(R"("bos_token_id":1,"eos_token_id":2)"),
                           R"({"eos_token_id":[2,3,4],"temperature":0.6,"top_p":0.9})"}),
            join_segments({config(R"("bos_token_id":1)"),
                           R"({"do_sample":false,"top_k":50,"min_p":0.1,)"
                           R"("repetition_penalty":1.1})"}),
            join_segments({config(R"("bos_token_id":1)"), R"({"temperature":1e39})"}),
            config(R"("rope_theta":500000.0,"rope_scaling":{"factor":8.0,"low_freq_factor":1.0,)"
                   R"("high_freq_factor":4.0,"original_max_position_embeddings":8192,)"
                   R"("rope_type":"llama3"})"),
            config(R"("rope_scaling":{"type":"linear","factor":2})"),
            config(R"("rope_parameters":{"rope_type":"default","rope_theta":1e4})"),
            config(R"("rope_theta":10,"rope_parameters":{"rope_theta":11})"),
            config(R"("rope_scaling":{"rope_type":"yarn","factor":2})"),
            config(R"("sliding_window":null)", "MistralForCausalLM"),
            config(R"("sliding_window":16)", "MistralForCausalLM"),
            config(R"("num_local_experts":4,"num_experts_per_tok":2)", "MixtralForCausalLM"),
            config(R"("num_experts":4,"num_experts_per_tok":2,"moe_intermediate_size":16,)"
                   R"("decoder_sparse_step":2,"mlp_only_layers":[1],"norm_topk_prob":true)",
                   "Qwen3MoeForCausalLM"),
            config(R"("attention_bias":true,"mlp_bias":true)"),
            config(R"("head_dim":7)"),
            config(R"("num_key_value_heads":3)"),
            config(R"("hidden_act":"relu")"),
            config(R"("auto_map":{})"),
            config(R"("partial_rotary_factor":0.5)"),
            config(R"("compression_config":{})"),
            config(R"("quantization_config":{"quant_method":"awq"})"),
            config(R"("x":0)", "GPT2LMHeadModel"),
            R"({"architectures":["LlamaForCausalLM"],"hidden_size":1e9})",
            R"({"architectures":[]})",
            "[]"};
}

std::vector<std::string> words() {
    return {"\"architectures\":",
            "\"hidden_size\":",
            "\"intermediate_size\":",
            "\"num_hidden_layers\":",
            "\"head_dim\":",
            "\"num_attention_heads\":",
            "\"num_key_value_heads\":",
            "\"vocab_size\":",
            "\"rope_scaling\":",
            "\"rope_parameters\":",
            "\"rope_theta\":",
            "\"sliding_window\":",
            "\"eos_token_id\":",
            "\"bos_token_id\":",
            "\"quantization_config\":",
            "\"tie_word_embeddings\":",
            "\"temperature\":",
            "\"do_sample\":",
            "\"top_k\":",
            "\"repetition_penalty\":",
            "\"num_experts\":",
            "\"num_local_experts\":",
            "\"num_experts_per_tok\":",
            "\"mlp_only_layers\":",
            "MistralForCausalLM",
            "null",
            "-1",
            "1048576",
            "1e12"};
}

}  // namespace

constinit const Target kConfigTarget = {
    .name = "config", .run = run, .seeds = seeds, .words = words};

}  // namespace quarot::fuzz

// Gemma 1, 2 and the text of 3: gains of 1 + w, scaled embeddings that are the head as well, GELU;
// from 2 on norms behind attention and MLP and layers that slide; in 2 capped scores and logits, in
// 3 norms of q and k and a RoPE of their own for the layers that slide.
#include <algorithm>
#include <cmath>
#include <vector>

#include "core/error.h"
#include "folder/families/config_fields.h"
#include "folder/families/family.h"
#include "folder/families/gguf_fields.h"
#include "folder/families/rope_fields.h"

namespace quarot::folder {

namespace {

using model::NormRole;

constexpr std::array<std::string_view, 1> kGemma1 = {"GemmaForCausalLM"};
constexpr std::array<std::string_view, 1> kGemma2 = {"Gemma2ForCausalLM"};
constexpr std::array<std::string_view, 2> kGemma3 = {"Gemma3ForCausalLM",
                                                     "Gemma3ForConditionalGeneration"};
// Of folders with images: as the hub has them, and as transformers 5 writes them.
constexpr std::array<NameInPlace, 2> kTextPrefixes = {
    {{"model.", "language_model.model."}, {"model.", "model.language_model."}}};
constexpr int64_t kAbsentWindow = 4096;

// Gemma 1 says "gelu" and means the one with tanh, which newer keys name.
io::Json with_activation(io::Json config) {
    const io::Json* named = config.find("hidden_activation");
    const io::Json* old = config.find("hidden_act");
    const bool is_old_name = named == nullptr && (old == nullptr || old->as_string() == "gelu");
    if (named != nullptr || is_old_name) {
        config.set("hidden_act", named != nullptr ? *named : io::Json("gelu_pytorch_tanh"));
    }
    return config;
}

model::ModelConfig read_any(const io::Json& config) {
    if (bool_or(config, "use_bidirectional_attention", false)) {
        fail(ErrorCode::Unsupported, "{} is true, and this version attends to what came before",
             config.at("use_bidirectional_attention").place());
    }
    model::ModelConfig model = read_common_fields(with_activation(completed(
        config, {{"tie_word_embeddings", true}, {"head_dim", 256}, {"rms_norm_eps", 1e-6}})));
    model.embed_scale = std::sqrt(static_cast<double>(model.hidden));
    if (bool_or(config, "attention_bias", false)) model.bias = kAttentionLinears;
    return model;
}

// What Gemma 2 and 3 share.
void read_norms_and_scores(const io::Json& config, model::ModelConfig& model) {
    model.norms = {NormRole::AttentionIn, NormRole::AttentionOut, NormRole::MlpIn, NormRole::MlpOut,
                   NormRole::Final};
    constexpr RealRange kScalar = {1e-3, 1e6};
    const io::Json* scalar = config.find("query_pre_attn_scalar");
    model.score_scale = 1.0 / std::sqrt(scalar == nullptr ? 256.0 : real_in(*scalar, kScalar));
}

// All layers but every period-th slide.
std::vector<bool> all_but_every(int64_t period, int64_t n_layers) {
    std::vector<bool> slides(static_cast<size_t>(n_layers), true);
    for (int64_t layer = period; layer <= n_layers; layer += period) {
        slides[static_cast<size_t>(layer - 1)] = false;
    }
    return slides;
}

model::ModelConfig read_gemma1(const io::Json& config) {
    model::ModelConfig model = read_any(config);
    model.family = "gemma";
    return model;
}

model::ModelConfig read_gemma2(const io::Json& config) {
    model::ModelConfig model = read_any(config);
    model.family = "gemma2";
    read_norms_and_scores(config, model);
    model.score_cap = factor_or(config, "attn_logit_softcapping", 50.0);
    model.logit_cap = factor_or(config, "final_logit_softcapping", 30.0);
    set_windows(model, read_window(config, kAbsentWindow, model),
                read_sliding_layers(config, all_but_every(2, model.n_layers)));
    return model;
}

// RoPE of the layers that see all and of those that slide: objects by the kind of layer, or the
// keys of older files, of which those without "local" are the former's.
std::vector<model::RopeConfig> read_ropes(const io::Json& config, const model::ModelConfig& model) {
    RopeReading global = {.head_dim = model.head_dim,
                          .max_positions = model.max_positions,
                          .theta = 1e6,
                          .layer_type = "full_attention"};
    RopeReading local = {.head_dim = model.head_dim, .max_positions = model.max_positions};
    const io::Json* parameters = config.find("rope_parameters");
    if (parameters != nullptr && parameters->find(global.layer_type) != nullptr) {
        local.layer_type = "sliding_attention";
        parameters->at(local.layer_type);  // has to be there
        return {read_rope(config, global), read_rope(config, local)};
    }
    const io::Json* theta = config.find("rope_local_base_freq");
    io::Json older = io::Json::Object{};
    if (theta != nullptr) older.set("rope_theta", *theta);
    return {read_rope(config, global), read_rope(older, local)};
}

// Models that see have what describes their text in an object, which leaves out what the 4B model
// has; what tokens mean, and what is asked of RoPE, stands beside it.
io::Json text_of(const io::Json& config) {
    const io::Json* nested = config.find("text_config");
    if (nested == nullptr) return config;
    io::Json text = completed(*nested, {{"num_attention_heads", 8},
                                        {"num_key_value_heads", 4},
                                        {"vocab_size", 262208},
                                        {"max_position_embeddings", 131072}});
    for (const char* key :
         {"architectures", "bos_token_id", "eos_token_id", "rope_scaling", "tie_word_embeddings"}) {
        if (const io::Json* beside = config.find(key)) text.set(key, *beside);
    }
    return text;
}

model::ModelConfig read_gemma3(const io::Json& whole) {
    const io::Json config = text_of(whole);
    io::Json common = config;
    common.set("rope_parameters", io::Json());
    model::ModelConfig model = read_any(common);
    model.family = "gemma3";
    read_norms_and_scores(config, model);
    model.score_cap = factor_or(config, "attn_logit_softcapping", 0.0);
    model.logit_cap = factor_or(config, "final_logit_softcapping", 0.0);
    model.qk_norm = model::QkNormSpan::Head;
    const int64_t period = int_or(config, "sliding_window_pattern", {1, 1024}, 6);
    const std::vector<bool> slides =
        read_sliding_layers(config, all_but_every(period, model.n_layers));
    model.ropes = read_ropes(config, model);
    model.layers.resize(slides.size());
    for (size_t layer = 0; layer < slides.size(); ++layer) {
        model.layers[layer].rope = slides[layer] ? 1 : 0;
    }
    set_windows(model, read_window(config, kAbsentWindow, model), slides);
    return model;
}

// ---- GGUF files

constexpr const char* kGgufActivation = "gelu_pytorch_tanh";  // they do not say

void add_gguf1(const io::GgufFile&, io::Json& config) {
    config.set("hidden_activation", kGgufActivation);
}

// Nor do they say by what scores are divided, which is another number in the largest models alone.
void add_gguf_scores(const io::GgufFile& file, int64_t layers_of_largest, io::Json& config) {
    const GgufFields fields(file);
    config.set("hidden_activation", kGgufActivation);
    const bool is_largest = fields.n_layers() == layers_of_largest;
    const int64_t n_heads = std::max<int64_t>(config.at("num_attention_heads").as_int(), 1);
    const int64_t of_heads = config.at("hidden_size").as_int() / n_heads;
    config.set("query_pre_attn_scalar", is_largest ? io::Json(of_heads) : config.at("head_dim"));
}

void add_gguf2(const io::GgufFile& file, io::Json& config) {
    constexpr int64_t kPeriod = 2, kLayersOfLargest = 46;
    const GgufFields fields(file);
    add_gguf_scores(file, kLayersOfLargest, config);
    config.set("attn_logit_softcapping", fields.real("attn_logit_softcapping"));
    config.set("final_logit_softcapping", fields.real("final_logit_softcapping"));
    add_gguf_window(file, config);
    add_gguf_sliding_layers(file, kPeriod, config);
}

void add_gguf3(const io::GgufFile& file, io::Json& config) {
    constexpr int64_t kPeriod = 6, kNoneSlides = 1, kLayersOfLargest = 62;
    const GgufFields fields(file);
    add_gguf_scores(file, kLayersOfLargest, config);
    if (const auto cap = fields.find_real("final_logit_softcapping")) {
        config.set("final_logit_softcapping", *cap);
    }
    if (const auto theta = fields.find_real("rope.freq_base_swa")) {
        config.set("rope_local_base_freq", *theta);
    }
    const bool slides = has_gguf_window(file.metadata());
    add_gguf_window(file, config);
    add_gguf_sliding_layers(file, slides ? kPeriod : kNoneSlides, config);
}

}  // namespace

extern constinit const Family kGemmaFamily = {
    .name = "gemma",
    .architectures = kGemma1,
    .read_config = read_gemma1,
    .gain_offset = 1.0f,
    .gguf = {.architecture = "gemma", .add_fields = add_gguf1}};
extern constinit const Family kGemma2Family = {
    .name = "gemma2",
    .architectures = kGemma2,
    .read_config = read_gemma2,
    .gain_offset = 1.0f,
    .gguf = {.architecture = "gemma2", .add_fields = add_gguf2}};
extern constinit const Family kGemma3Family = {
    .name = "gemma3",
    .architectures = kGemma3,
    .read_config = read_gemma3,
    .gain_offset = 1.0f,
    .other_prefixes = kTextPrefixes,
    .gguf = {.architecture = "gemma3", .add_fields = add_gguf3}};

}  // namespace quarot::folder

// The shape and constants of a model, whatever family its config.json came from.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/functions.h"
#include "model/linear_role.h"

namespace quarot::model {

using kernels::Activation;
using kernels::NormKind;

enum class RopeType { Default, Linear, Dynamic, Yarn, Llama3, LongRope };

// Which rows of a stored head turn together: (i, i + n / 2) or (2i, 2i + 1) of the n that turn.
enum class RopePairs { Halves, Neighbours };

struct RopeConfig {
    RopeType type = RopeType::Default;
    double theta = 10000.0;
    int64_t rotary_dim = 0;  // the first values of a head, which turn; 0: all
    RopePairs pairs = RopePairs::Halves;
    double amplitude = 1.0;                 // on cosines and sines: Yarn, LongRope
    double factor = 1.0;                    // Linear, Dynamic, Yarn, Llama3
    double low_freq_factor = 1.0;           // Llama3
    double high_freq_factor = 4.0;          // Llama3
    int64_t original_max_positions = 8192;  // Dynamic, Yarn, Llama3, LongRope
    double beta_fast = 32.0;                // Yarn: full turns in the original context
    double beta_slow = 1.0;
    std::vector<double> short_factors, long_factors;  // LongRope: of each pair
    bool operator==(const RopeConfig&) const = default;
};

// What the statistics of a norm of q and k span: each head, or all heads of a token.
enum class QkNormSpan { None, Head, Width };

// A mixture of experts in the place of an MLP: a router chooses top_k experts for each token, MLPs
// of their own whose outputs are added up, weighted. n_experts 0: the model has none.
struct Mixture {
    int64_t n_experts = 0;
    int64_t top_k = 0;
    int64_t ffn = 0;          // of each expert
    bool renormalize = true;  // the weights of the chosen experts add up to 1
};

// What differs from layer to layer.
struct LayerConfig {
    int rope = 0;          // which of ModelConfig::ropes turns its q and k; -1: none does
    int64_t window = 0;    // positions a token sees, its own included; 0: all
    bool mixture = false;  // of experts, in the place of the MLP
};

struct ModelConfig {
    std::string architecture;  // as config.json names it: "LlamaForCausalLM"
    std::string family;        // "llama", "mistral"
    int64_t hidden = 0;
    int64_t ffn = 0;  // of MLPs, those of experts aside
    int64_t n_layers = 0;
    int64_t n_heads = 0;
    int64_t n_kv_heads = 0;
    int64_t head_dim = 0;
    int64_t vocab = 0;
    int64_t max_positions = 0;
    NormKind norm = NormKind::Rms;  // of the residual stream; those of q and k are Rms
    bool norm_bias = false;         // do they have one? Of Layer only
    double norm_eps = 1e-5;
    // Of the residual stream; those of q and k are qk_norm's.
    NormSet norms = {NormRole::AttentionIn, NormRole::MlpIn, NormRole::Final};
    std::vector<RopeConfig> ropes = {RopeConfig{}};
    std::vector<LayerConfig> layers;  // empty: every layer is a LayerConfig{}
    Mixture mixture;                  // of the layers that have one
    // Attention and the MLP both read the stream as the layer gets it, and both are added to it.
    // Without a norm MlpIn they share AttentionIn.
    bool parallel = false;
    bool gated = true;  // down_proj reads f(gate) * up, else f(up), and there is no gate_proj
    Activation activation = Activation::Silu;  // f
    // A table of vectors that are added to the embedding's, by position: row position +
    // position_offset of so many rows. 0: there is none.
    int64_t learned_positions = 0;
    int64_t position_offset = 0;
    bool tied_embeddings = false;
    RoleSet bias;  // the linears that have one
    QkNormSpan qk_norm = QkNormSpan::None;
    double embed_scale = 1.0;     // on rows of the embedding
    double score_scale = 0.0;     // on q . k; 0: 1 / sqrt(head_dim)
    double score_cap = 0.0;       // scores are cap * tanh(score / cap); 0: none
    double residual_scale = 1.0;  // on what attention and the MLP add to the residual stream
    double logit_scale = 1.0;
    double logit_cap = 0.0;    // as score_cap, after the scale
    int32_t bos = -1;          // -1: none
    std::vector<int32_t> eos;  // config.json and generation_config.json together

    int64_t q_dim() const { return n_heads * head_dim; }
    int64_t kv_dim() const { return n_kv_heads * head_dim; }
    float scale_of_scores() const {
        return score_scale == 0.0 ? 1.0f / std::sqrt(static_cast<float>(head_dim))
                                  : static_cast<float>(score_scale);
    }
    LayerConfig layer(int64_t index) const {
        return layers.empty() ? LayerConfig{} : layers.at(static_cast<size_t>(index));
    }
    bool has_mixtures() const {
        return std::any_of(layers.begin(), layers.end(), [](const auto& l) { return l.mixture; });
    }
    // Has a layer the MLP that `ffn` is the width of?
    bool has_dense_mlp() const {
        return layers.empty() ||
               std::any_of(layers.begin(), layers.end(), [](const auto& l) { return !l.mixture; });
    }
    // Positions that a token sees in one layer or another; 0: all.
    int64_t longest_window() const {
        int64_t longest = 0;
        for (const LayerConfig& layer : layers) {
            if (layer.window == 0) return 0;
            longest = std::max(longest, layer.window);
        }
        return longest;
    }
    // Is what attention and the MLP give added to the residual stream otherwise than as it is?
    bool shapes_outputs() const { return norms_outputs() || residual_scale != 1.0; }
    // Do attention and the MLP of a layer read one norm?
    bool shares_norm() const { return parallel && !norms.contains(NormRole::MlpIn); }
    // Does a norm stand between attention or an MLP and the residual stream?
    bool norms_outputs() const {
        return norms.contains(NormRole::AttentionOut) || norms.contains(NormRole::MlpOut);
    }
};

}  // namespace quarot::model

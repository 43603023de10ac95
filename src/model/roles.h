// What each weight is in the network, and from that alone how a rotation changes it.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "model/config.h"
#include "model/linear_role.h"

namespace quarot::model {

// The basis a linear reads from or writes to. With T the basis change of that space (column
// vectors x' = T x), W' = T_out W diag(gain) T_in^T and b' = T_out b.
enum class Basis {
    Plain,       // never changed: T = I
    Residual,    // R1
    ValueHeads,  // R2: each head of V by H_head_dim
    MixedHeads,  // R2 and head mix together: H_heads (x) H_head_dim, the input of o_proj
    Ffn,         // R4
    ExpertFfn,   // R4 of the experts of a mixture
};

struct RoleRule {
    LinearRole role;
    std::string_view name;  // "q_proj", as users know it
    Basis input;
    Basis output;
    NormRole folded_norm;  // the norm whose gain is folded into this linear's input
};

// Of models with a norm before attention and before the MLP, and none after; rule_of has those of
// others. The embedding's rows are vectors of the residual stream, so its columns change: E' = E
// T_residual^T.
constexpr std::array<RoleRule, 11> kRoleRules = {{
    {LinearRole::Q, "q_proj", Basis::Residual, Basis::Plain, NormRole::AttentionIn},
    {LinearRole::K, "k_proj", Basis::Residual, Basis::Plain, NormRole::AttentionIn},
    {LinearRole::V, "v_proj", Basis::Residual, Basis::ValueHeads, NormRole::AttentionIn},
    {LinearRole::O, "o_proj", Basis::MixedHeads, Basis::Residual, NormRole::None},
    {LinearRole::Gate, "gate_proj", Basis::Residual, Basis::Plain, NormRole::MlpIn},
    {LinearRole::Up, "up_proj", Basis::Residual, Basis::Plain, NormRole::MlpIn},
    {LinearRole::Down, "down_proj", Basis::Ffn, Basis::Residual, NormRole::None},
    {LinearRole::Router, "router", Basis::Residual, Basis::Plain, NormRole::MlpIn},
    {LinearRole::LmHead, "lm_head", Basis::Residual, Basis::Plain, NormRole::Final},
    {LinearRole::Embedding, "embed_tokens", Basis::Residual, Basis::Plain, NormRole::None},
    {LinearRole::Positions, "embed_positions", Basis::Residual, Basis::Plain, NormRole::None},
}};

constexpr std::string_view name_of(LinearRole role) {
    return kRoleRules[static_cast<size_t>(role)].name;
}

// One weight of the model: a role, its layer and, in a mixture of experts, its expert. A role alone
// stands for the linears of it outside mixtures.
struct LinearId {
    constexpr LinearId(LinearRole of_role, int64_t in_layer = 0, int64_t of_expert = -1)
        : role(of_role), layer(in_layer), expert(of_expert) {}

    LinearRole role;
    int64_t layer;   // ignored for what is not of layers
    int64_t expert;  // -1: none
};

// Where a norm stands between linears and the residual stream, R1 cannot pass its gain: the stream
// keeps its basis, and what q, k, v, gate and up read of it is rotated online. Norms that a model
// lacks are folded nowhere.
RoleRule rule_of(const LinearId& id, const ModelConfig& config);

// A place where one or more linears of a layer read the same values; of a mixture also one where
// the linears of one expert read what the tokens that go to it give.
enum class InputSite { Attention, Output, Mlp, Down };
inline constexpr size_t kInputSites = 4;

struct SiteRule {
    InputSite site;
    std::string_view name;
    std::span<const LinearRole> roles;
    int64_t expert = -1;  // -1: none

    LinearId linear(LinearRole role, int64_t layer) const { return {role, layer, expert}; }
    LinearId first(int64_t layer) const { return linear(roles.front(), layer); }
};

const SiteRule& rule_of(InputSite site);
// Where a linear of a layer reads.
InputSite site_of(LinearRole role);
// The linears that read there, in order: the rule's, but for Gate in a model without one.
std::span<const LinearRole> roles_at(InputSite site, const ModelConfig& config);
// The norm whose output is the input of Attention or Mlp.
NormRole norm_at(InputSite site, const ModelConfig& config);
// Does it write to the residual stream?
constexpr bool writes_residual(LinearRole role) {
    return role == LinearRole::O || role == LinearRole::Down || role == LinearRole::Embedding ||
           role == LinearRole::Positions;
}

int64_t out_features(const LinearId& id, const ModelConfig& config);
int64_t in_features(const LinearId& id, const ModelConfig& config);
bool has_bias(LinearRole role, const ModelConfig& config);
// Norms of the residual stream alone may have one.
bool has_bias(NormRole role, const ModelConfig& config);

// What one decoder layer consists of: its sites in the order in which it passes them, its linears
// in the order in which it computes them, which is that of its sites, and its norms in the order in
// which folders list them. A mixture has its router at a site of its own, then two sites for each
// expert.
std::vector<SiteRule> sites_of(const ModelConfig& config, int64_t layer);
std::vector<LinearId> linears_of(const ModelConfig& config, int64_t layer);
// All linears of all layers, in order.
std::vector<LinearId> linears_of(const ModelConfig& config);
// The tables that stand before the layers, in order.
std::vector<LinearRole> tables_of(const ModelConfig& config);
std::vector<NormRole> norms_of(const ModelConfig& config, int64_t layer);
// Gains of a norm.
int64_t width_of(NormRole role, const ModelConfig& config);
// Can its gain go into the linears that follow? Norms of q and k are followed by RoPE.
constexpr bool is_foldable(NormRole role) {
    return role == NormRole::AttentionIn || role == NormRole::MlpIn || role == NormRole::Final;
}

}  // namespace quarot::model

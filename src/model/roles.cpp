#include "model/roles.h"

#include <array>

#include "core/check.h"

namespace quarot::model {

namespace {

namespace site_roles {
constexpr std::array kAttention = {LinearRole::Q, LinearRole::K, LinearRole::V};
constexpr std::array kOutput = {LinearRole::O};
constexpr std::array kMlp = {LinearRole::Gate, LinearRole::Up};
constexpr std::array kDown = {LinearRole::Down};
}  // namespace site_roles

constexpr std::array<SiteRule, kInputSites> kSiteRules = {{
    {InputSite::Attention, "the input of q, k and v", site_roles::kAttention},
    {InputSite::Output, "the input of o_proj", site_roles::kOutput},
    {InputSite::Mlp, "the input of gate and up", site_roles::kMlp},
    {InputSite::Down, "the input of down_proj", site_roles::kDown},
}};

[[noreturn]] void unknown_role(LinearRole role) {
    check_failed(__FILE__, __LINE__, "a known role", fmt::format("{}", static_cast<int>(role)));
}

}  // namespace

int64_t out_features(LinearRole role, const ModelConfig& config) {
    switch (role) {
        case LinearRole::Q:
            return config.q_dim();
        case LinearRole::K:
        case LinearRole::V:
            return config.kv_dim();
        case LinearRole::Gate:
        case LinearRole::Up:
            return config.ffn;
        case LinearRole::O:
        case LinearRole::Down:
            return config.hidden;
        case LinearRole::LmHead:
        case LinearRole::Embedding:
            return config.vocab;
    }
    unknown_role(role);
}

int64_t in_features(LinearRole role, const ModelConfig& config) {
    switch (role) {
        case LinearRole::O:
            return config.q_dim();
        case LinearRole::Down:
            return config.ffn;
        case LinearRole::Q:
        case LinearRole::K:
        case LinearRole::V:
        case LinearRole::Gate:
        case LinearRole::Up:
        case LinearRole::LmHead:
        case LinearRole::Embedding:
            return config.hidden;
    }
    unknown_role(role);
}

RoleRule rule_of(LinearRole role, const ModelConfig& config) {
    RoleRule rule = kRoleRules[static_cast<size_t>(role)];
    if (!config.norms.contains(rule.folded_norm)) rule.folded_norm = NormRole::None;
    if (!config.norms_outputs()) return rule;
    if (rule.output == Basis::Residual) rule.output = Basis::Plain;
    if (!is_of_layers(role)) rule.input = Basis::Plain;
    return rule;
}

bool has_bias(LinearRole role, const ModelConfig& config) {
    return config.bias.contains(role);
}

const SiteRule& rule_of(InputSite site) {
    return kSiteRules[static_cast<size_t>(site)];
}

std::vector<SiteRule> sites_of(const ModelConfig& config, int64_t layer) {
    QUAROT_CHECK(layer >= 0 && layer < config.n_layers, "layer {}", layer);
    return {kSiteRules.begin(), kSiteRules.end()};
}

std::vector<LinearRole> roles_of(const ModelConfig& config, int64_t layer) {
    std::vector<LinearRole> roles;
    for (const SiteRule& site : sites_of(config, layer)) {
        roles.insert(roles.end(), site.roles.begin(), site.roles.end());
    }
    return roles;
}

std::vector<LinearId> linears_of(const ModelConfig& config) {
    std::vector<LinearId> linears;
    for (int64_t layer = 0; layer < config.n_layers; ++layer) {
        for (const LinearRole role : roles_of(config, layer)) linears.push_back({role, layer});
    }
    return linears;
}

std::vector<NormRole> norms_of(const ModelConfig& config, int64_t layer) {
    QUAROT_CHECK(layer >= 0 && layer < config.n_layers, "layer {}", layer);
    std::vector<NormRole> norms;
    for (const NormRole role : {NormRole::AttentionIn, NormRole::AttentionOut, NormRole::MlpIn,
                                NormRole::MlpOut}) {
        if (config.norms.contains(role)) norms.push_back(role);
    }
    if (config.qk_norm != QkNormSpan::None) {
        norms.insert(norms.end(), {NormRole::Query, NormRole::Key});
    }
    return norms;
}

int64_t width_of(NormRole role, const ModelConfig& config) {
    const bool is_query = role == NormRole::Query;
    if (!is_query && role != NormRole::Key) return config.hidden;
    if (config.qk_norm == QkNormSpan::Head) return config.head_dim;
    return is_query ? config.q_dim() : config.kv_dim();
}

}  // namespace quarot::model

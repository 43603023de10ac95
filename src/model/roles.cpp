#include "model/roles.h"

#include <algorithm>
#include <array>

#include "core/check.h"

namespace quarot::model {

namespace {

namespace site_roles {
constexpr std::array kAttention = {LinearRole::Q, LinearRole::K, LinearRole::V};
constexpr std::array kOutput = {LinearRole::O};
constexpr std::array kMlp = {LinearRole::Gate, LinearRole::Up};
constexpr std::array kDown = {LinearRole::Down};
constexpr std::array kRouter = {LinearRole::Router};
}  // namespace site_roles

constexpr std::array<SiteRule, kInputSites> kSiteRules = {{
    {InputSite::Attention, "the input of q, k and v", site_roles::kAttention},
    {InputSite::Output, "the input of o_proj", site_roles::kOutput},
    {InputSite::Mlp, "the input of gate and up", site_roles::kMlp},
    {InputSite::Down, "the input of down_proj", site_roles::kDown},
}};

constexpr SiteRule kRouterSite = {InputSite::Mlp, "the input of the router", site_roles::kRouter};

[[noreturn]] void unknown_role(LinearRole role) {
    check_failed(__FILE__, __LINE__, "a known role", fmt::format("{}", static_cast<int>(role)));
}

int64_t ffn_of(const LinearId& id, const ModelConfig& config) {
    return id.expert < 0 ? config.ffn : config.mixture.ffn;
}

}  // namespace

InputSite site_of(LinearRole role) {
    for (const SiteRule& rule : kSiteRules) {
        if (std::count(rule.roles.begin(), rule.roles.end(), role) > 0) return rule.site;
    }
    unknown_role(role);
}

int64_t out_features(const LinearId& id, const ModelConfig& config) {
    switch (id.role) {
        case LinearRole::Q:
            return config.q_dim();
        case LinearRole::K:
        case LinearRole::V:
            return config.kv_dim();
        case LinearRole::Gate:
        case LinearRole::Up:
            return ffn_of(id, config);
        case LinearRole::Router:
            return config.mixture.n_experts;
        case LinearRole::O:
        case LinearRole::Down:
            return config.hidden;
        case LinearRole::LmHead:
        case LinearRole::Embedding:
            return config.vocab;
        case LinearRole::Positions:
            return config.learned_positions;
    }
    unknown_role(id.role);
}

int64_t in_features(const LinearId& id, const ModelConfig& config) {
    switch (id.role) {
        case LinearRole::O:
            return config.q_dim();
        case LinearRole::Down:
            return ffn_of(id, config);
        case LinearRole::Q:
        case LinearRole::K:
        case LinearRole::V:
        case LinearRole::Gate:
        case LinearRole::Up:
        case LinearRole::Router:
        case LinearRole::LmHead:
        case LinearRole::Embedding:
        case LinearRole::Positions:
            return config.hidden;
    }
    unknown_role(id.role);
}

RoleRule rule_of(const LinearId& id, const ModelConfig& config) {
    RoleRule rule = kRoleRules[static_cast<size_t>(id.role)];
    if (id.expert >= 0 && rule.input == Basis::Ffn) rule.input = Basis::ExpertFfn;
    if (rule.folded_norm == NormRole::MlpIn) rule.folded_norm = norm_at(InputSite::Mlp, config);
    if (!config.norms.contains(rule.folded_norm)) rule.folded_norm = NormRole::None;
    if (!config.norms_outputs()) return rule;
    if (rule.output == Basis::Residual) rule.output = Basis::Plain;
    if (!is_of_layers(id.role)) rule.input = Basis::Plain;
    return rule;
}

bool has_bias(LinearRole role, const ModelConfig& config) {
    return config.bias.contains(role);
}

bool has_bias(NormRole role, const ModelConfig& config) {
    return config.norm_bias && role != NormRole::Query && role != NormRole::Key;
}

const SiteRule& rule_of(InputSite site) {
    return kSiteRules[static_cast<size_t>(site)];
}

std::span<const LinearRole> roles_at(InputSite site, const ModelConfig& config) {
    const std::span<const LinearRole> roles = rule_of(site).roles;
    return site == InputSite::Mlp && !config.gated ? roles.last(1) : roles;
}

NormRole norm_at(InputSite site, const ModelConfig& config) {
    const bool of_mlp = site == InputSite::Mlp && !config.shares_norm();
    return of_mlp ? NormRole::MlpIn : NormRole::AttentionIn;
}

std::vector<SiteRule> sites_of(const ModelConfig& config, int64_t layer) {
    QUAROT_CHECK(layer >= 0 && layer < config.n_layers, "layer {}", layer);
    if (!config.layer(layer).mixture) {
        std::vector<SiteRule> sites = {kSiteRules.begin(), kSiteRules.end()};
        for (SiteRule& site : sites) site.roles = roles_at(site.site, config);
        return sites;
    }
    std::vector<SiteRule> sites = {rule_of(InputSite::Attention), rule_of(InputSite::Output),
                                   kRouterSite};
    for (int64_t expert = 0; expert < config.mixture.n_experts; ++expert) {
        for (const InputSite site : {InputSite::Mlp, InputSite::Down}) {
            sites.push_back(rule_of(site));
            sites.back().expert = expert;
        }
    }
    return sites;
}

std::vector<LinearId> linears_of(const ModelConfig& config, int64_t layer) {
    std::vector<LinearId> linears;
    for (const SiteRule& site : sites_of(config, layer)) {
        for (const LinearRole role : site.roles) linears.push_back(site.linear(role, layer));
    }
    return linears;
}

std::vector<LinearId> linears_of(const ModelConfig& config) {
    std::vector<LinearId> linears;
    for (int64_t layer = 0; layer < config.n_layers; ++layer) {
        const std::vector<LinearId> of_layer = linears_of(config, layer);
        linears.insert(linears.end(), of_layer.begin(), of_layer.end());
    }
    return linears;
}

std::vector<LinearRole> tables_of(const ModelConfig& config) {
    std::vector<LinearRole> tables = {LinearRole::Embedding};
    if (config.learned_positions > 0) tables.push_back(LinearRole::Positions);
    return tables;
}

std::vector<NormRole> norms_of(const ModelConfig& config, int64_t layer) {
    QUAROT_CHECK(layer >= 0 && layer < config.n_layers, "layer {}", layer);
    std::vector<NormRole> norms;
    for (const NormRole role :
         {NormRole::AttentionIn, NormRole::AttentionOut, NormRole::MlpIn, NormRole::MlpOut}) {
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

#include "model/roles.h"

#include "core/check.h"

namespace quarot::model {

namespace {

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
            return config.hidden;
    }
    unknown_role(role);
}

bool has_bias(LinearRole role, const ModelConfig& config) {
    return config.bias.contains(role);
}

std::vector<NormRole> norms_of(const ModelConfig& config) {
    std::vector<NormRole> norms = {NormRole::Attention, NormRole::Mlp};
    if (config.qk_norm != QkNormSpan::None) {
        norms.insert(norms.end(), {NormRole::Query, NormRole::Key});
    }
    return norms;
}

int64_t width_of(NormRole role, const ModelConfig& config) {
    const bool of_heads = role == NormRole::Query || role == NormRole::Key;
    return of_heads ? config.head_dim : config.hidden;
}

}  // namespace quarot::model

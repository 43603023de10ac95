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
    switch (role) {
        case LinearRole::Q:
        case LinearRole::K:
        case LinearRole::V:
        case LinearRole::O:
            return config.attention_bias;
        case LinearRole::Gate:
        case LinearRole::Up:
        case LinearRole::Down:
            return config.mlp_bias;
        case LinearRole::LmHead:
            return false;
    }
    unknown_role(role);
}

}  // namespace quarot::model

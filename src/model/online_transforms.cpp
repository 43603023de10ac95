#include "model/online_transforms.h"

#include <string_view>

#include "core/error.h"

namespace quarot::model {

namespace {

// The order of a transform: the block, or the whole width for 0.
int64_t order_of(std::string_view what, int64_t block, int64_t width) {
    if (block == 0) return width;
    if (block > 0 && width % block == 0) return block;
    fail(ErrorCode::Usage, "the rotation of {} has blocks of {}, expected a divisor of {}", what,
         block, width);
}

}  // namespace

linalg::Mixer residual_mixer(const RotationSpec& spec, const ModelConfig& config) {
    return linalg::make_mixer(order_of("the residual stream", spec.residual_block, config.hidden));
}

OnlineTransforms make_online_transforms(const RotationSpec& spec, const ModelConfig& config) {
    OnlineTransforms online;
    if (spec.residual == ResidualRotation::Hadamard && config.norms_outputs()) {
        online.residual = residual_mixer(spec, config);
    }
    if (spec.query_key) online.query_key = linalg::make_mixer(config.head_dim);
    if (spec.head_mix) {
        const int64_t order = order_of("the heads", spec.heads_block, config.n_heads);
        online.head_mix = linalg::make_hadamard_or_identity(order);
    }
    if (spec.ffn) {
        const int64_t width = config.has_dense_mlp() ? config.ffn : config.mixture.ffn;
        online.ffn = linalg::make_mixer(order_of("the FFN", spec.ffn_block, width));
    }
    if (spec.ffn && config.has_mixtures()) {
        online.expert_ffn =
            linalg::make_mixer(order_of("the experts", spec.ffn_block, config.mixture.ffn));
    }
    return online;
}

}  // namespace quarot::model

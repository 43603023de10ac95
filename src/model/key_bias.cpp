#include "model/key_bias.h"

#include <algorithm>
#include <span>

#include "core/check.h"
#include "model/online_transforms.h"
#include "model/roles.h"

namespace quarot::model {

bool k_bias_vanishes(const ModelConfig& config, int64_t layer) {
    return config.layer(layer).rope < 0 && config.qk_norm == QkNormSpan::None;
}

bool keeps_k_bias_apart(const Recipe& recipe, const ModelConfig& config) {
    return recipe.k_bias == KeyBiasUse::Subtract && recipe.k.bits < 16 &&
           has_bias(LinearRole::K, config) && config.qk_norm == QkNormSpan::None &&
           std::none_of(config.layers.begin(), config.layers.end(),
                        [](const LayerConfig& layer) { return layer.rope < 0; });
}

std::vector<float> key_bias_basis(const std::vector<float>& bias, const RotationSpec& rotation,
                                  const ModelConfig& config) {
    const auto dim = static_cast<size_t>(config.head_dim), half = dim / 2;
    QUAROT_CHECK(std::ssize(bias) == config.kv_dim(), "{}", bias.size());
    const auto transform = make_online_transforms(rotation, config).query_key;
    std::vector<double> basis(bias.size() * dim, 0.0);
    for (size_t head = 0; head < bias.size(); head += dim) {
        for (size_t i = 0; i < half; ++i) {
            const double first = bias[head + i], second = bias[head + half + i];
            double* on_cosine = &basis[(head + i) * dim];
            double* on_sine = &basis[(head + half + i) * dim];
            on_cosine[i] = first;
            on_cosine[half + i] = second;
            on_sine[i] = -second;
            on_sine[half + i] = first;
            if (!transform) continue;
            linalg::apply(*transform, {on_cosine, dim});
            linalg::apply(*transform, {on_sine, dim});
        }
    }
    return {basis.begin(), basis.end()};
}

}  // namespace quarot::model

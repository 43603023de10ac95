#include "model/weights.h"

namespace quarot::model {

kernels::ActivationFormat Weights::activation_format(LinearRole role) const {
    return model::activation_format(recipe, role);
}

kernels::KvDescriptor Weights::kv_descriptor() const {
    return {.n_layers = config.n_layers,
            .n_kv_heads = config.n_kv_heads,
            .head_dim = config.head_dim,
            .page_tokens = 64,
            .k = recipe.k,
            .v = recipe.v};
}

}  // namespace quarot::model

#include "reproduce/bits_per_value.h"

#include <array>

#include "kernels/ops.h"
#include "model/role_formats.h"

namespace quarot::reproduce {

namespace {

using model::LinearRole;

// One linear for each input of the first layer: q, k and v read the same, gate and up too; of a
// mixture those of one expert.
constexpr std::array<LinearRole, 4> kInputs = {LinearRole::Q, LinearRole::O, LinearRole::Gate,
                                               LinearRole::Down};
constexpr int64_t kScaleBits = 32;
constexpr int64_t kTwoLevelBits = 8;  // of a number of units

int64_t row_bits(const kernels::ActivationFormat& format, int64_t width) {
    if (format.bits == 16) return 16 * width;
    const int64_t n_groups = format.group_size == 0 ? 1 : width / format.group_size;
    const int64_t n_numbers = n_groups * (format.symmetric ? 1 : 2);
    if (format.scales == kernels::ActivationScales::TwoLevel) {
        return width * format.bits + kScaleBits + n_numbers * kTwoLevelBits;
    }
    return width * format.bits + n_numbers * kScaleBits;
}

double side_bits(const kernels::KvFormat& format, const model::ModelConfig& config) {
    if (format.bits == 16) return 16.0;
    constexpr int64_t kWholeBytes = 8;  // heads, so that no part of a byte is rounded up
    kernels::KvDescriptor descriptor;
    descriptor.n_layers = 1;
    descriptor.n_kv_heads = kWholeBytes;
    descriptor.head_dim = config.head_dim;
    descriptor.k = format;
    descriptor.v = format;
    return 8.0 * static_cast<double>(kernels::kv_bytes_per_token(descriptor)) /
           static_cast<double>(2 * kWholeBytes * config.head_dim);
}

}  // namespace

double bits_per_activation(const Recipe& recipe, const model::ModelConfig& config) {
    int64_t bits = 0;
    int64_t values = 0;
    for (const LinearRole role : kInputs) {
        const bool in_mlp = role == LinearRole::Gate || role == LinearRole::Down;
        const int64_t expert = in_mlp && config.layer(0).mixture ? 0 : -1;
        const int64_t width = in_features({role, 0, expert}, config);
        const int64_t apart = n_outliers(recipe, role, config);
        bits += row_bits(activation_format(recipe, role), width - apart);
        if (apart > 0) bits += row_bits(outlier_activation_format(recipe), apart);
        values += width;
    }
    return static_cast<double>(bits) / static_cast<double>(values);
}

double bits_per_kv(const Recipe& recipe, const model::ModelConfig& config) {
    return (side_bits(recipe.k, config) + side_bits(recipe.v, config)) / 2.0;
}

}  // namespace quarot::reproduce

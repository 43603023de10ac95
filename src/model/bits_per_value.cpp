#include "model/bits_per_value.h"

#include <array>

#include "core/checked_math.h"
#include "kernels/ops.h"
#include "model/role_formats.h"

namespace quarot::model {

namespace {

constexpr int64_t kScaleBits = 32;
constexpr int64_t kTwoLevelBits = 8;  // of a number of units

// Of a layer's inputs, q's for what k and v read as well, gate's for up.
constexpr std::array<LinearRole, 4> kInputs = {LinearRole::Q, LinearRole::O, LinearRole::Gate,
                                               LinearRole::Down};

int64_t row_bits(const kernels::ActivationFormat& format, int64_t width) {
    if (format.bits == 16) return 16 * width;
    const int64_t n_groups = format.group_size == 0 ? 1 : width / format.group_size;
    const int64_t n_numbers = n_groups * (format.symmetric ? 1 : 2);
    if (format.scales == kernels::ActivationScales::TwoLevel) {
        return width * format.bits + kScaleBits + n_numbers * kTwoLevelBits;
    }
    return width * format.bits + n_numbers * kScaleBits;
}

int64_t stored_row_bits(const WeightFormat& format, int64_t cols) {
    if (format.bits == 16) return 16 * cols;
    constexpr int64_t kWordBits = 32, kGroupScaleBits = 16, kZeroBits = 8;
    const int64_t codes = ceil_div(cols * format.bits, kWordBits) * kWordBits;
    const int64_t zero = format.symmetric ? 0 : kZeroBits;
    if (format.group_size == 0) return codes + kScaleBits + zero;
    return codes + cols / format.group_size * (kGroupScaleBits + zero);
}

double side_bits(const kernels::KvFormat& format, const ModelConfig& config) {
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

int64_t input_values(LinearRole role, const ModelConfig& config) {
    const bool in_mlp = role == LinearRole::Gate || role == LinearRole::Down;
    const int64_t expert = in_mlp && config.layer(0).mixture ? 0 : -1;
    return in_features({role, 0, expert}, config);
}

int64_t input_bits(const Recipe& recipe, LinearRole role, const ModelConfig& config) {
    const int64_t apart = n_outliers(recipe, role, config);
    const int64_t bits =
        row_bits(activation_format(recipe, role), input_values(role, config) - apart);
    return apart == 0 ? bits : bits + row_bits(outlier_activation_format(recipe), apart);
}

double bits_per_weight(const Recipe& recipe, const ModelConfig& config) {
    int64_t bits = 0;
    int64_t weights = 0;
    for (const LinearId& id : linears_of(config)) {
        const int64_t rows = out_features(id, config), cols = in_features(id, config);
        bits += rows * stored_row_bits(weight_format(recipe, id.role), cols);
        weights += rows * cols;
    }
    return static_cast<double>(bits) / static_cast<double>(weights);
}

double bits_per_activation(const Recipe& recipe, const ModelConfig& config) {
    int64_t bits = 0;
    int64_t values = 0;
    for (const LinearRole role : kInputs) {
        bits += input_bits(recipe, role, config);
        values += input_values(role, config);
    }
    return static_cast<double>(bits) / static_cast<double>(values);
}

double bits_per_k(const Recipe& recipe, const ModelConfig& config) {
    return side_bits(recipe.k, config);
}

double bits_per_v(const Recipe& recipe, const ModelConfig& config) {
    return side_bits(recipe.v, config);
}

double bits_per_kv(const Recipe& recipe, const ModelConfig& config) {
    return (bits_per_k(recipe, config) + bits_per_v(recipe, config)) / 2.0;
}

}  // namespace quarot::model

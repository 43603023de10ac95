// The tensors that stand for a quantized linear in a folder: names, shapes and dtypes, described
// once for planning, writing, reading and checking (docs/file_format.md).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/safetensors.h"
#include "model/role_formats.h"

namespace quarot::folder {

// What stands in place of a quantized <linear>.weight.
struct QuantizedNames {
    explicit QuantizedNames(const std::string& linear);
    std::string packed, shape, scale, zero_point;
    // Where columns are kept apart: I32 [in], and the linear of those, named like one of its own.
    std::string column_order, outlier;
    std::string input_clip;  // F32 [1]: of the activations that this and others read (holds_clip)
};

// Codes of a matrix [rows, cols], its shape, scales and, if asymmetric, zero points.
std::vector<io::PlannedTensor> stored_codes(const std::string& linear, int64_t rows, int64_t cols,
                                            const WeightFormat& format);

// The weight of a linear that the recipe quantizes, columns kept apart included, biases not.
std::vector<io::PlannedTensor> stored_tensors(const std::string& linear, const model::LinearId& id,
                                              const model::ModelConfig& config,
                                              const Recipe& recipe);

}  // namespace quarot::folder

// A family of models: recognises its config.json, reads it, and names its tensors.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "io/json.h"
#include "model/config.h"
#include "model/roles.h"

namespace quarot::folder {

// A weight as rows of a stored tensor (fused tensors hold several roles one below the other).
struct TensorSlice {
    std::string name;  // without ".weight"
    int64_t first_row = 0;
};

struct Family {
    std::string_view name;
    std::span<const std::string_view> architectures;  // values of config.json's "architectures"
    // Error{Corrupt} for values out of range, Error{Unsupported} for features we lack.
    model::ModelConfig (*read_config)(const io::Json& config);
    TensorSlice (*linear)(const model::LinearId& id, const model::ModelConfig& config);
    std::string (*norm)(model::NormRole role, int64_t layer);  // tensor name with ".weight"
    std::string_view embedding;                                // tensor name with ".weight"
};

// The family of a config.json; Error{Unsupported} naming what is supported.
const Family& family_of(const io::Json& config);
std::span<const Family> families();

}  // namespace quarot::folder

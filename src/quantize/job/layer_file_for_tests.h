// Whole files of finished layers, to be looked at and tampered with.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "io/safetensors.h"
#include "quantize/job/layer_file.h"

namespace quarot::quantize {

inline std::vector<io::PlannedTensor> planned_of(const std::vector<NamedTensor>& tensors) {
    std::vector<io::PlannedTensor> planned;
    for (const auto& [name, tensor] : tensors) {
        planned.push_back({name, tensor.dtype(), tensor.shape()});
    }
    return planned;
}

// path must not exist.
inline void write_layer_file(const std::string& path, const std::vector<NamedTensor>& tensors) {
    io::SafetensorsWriter writer(path, planned_of(tensors));
    for (const auto& [name, tensor] : tensors) {
        writer.write(name, 0, {tensor.data(), static_cast<size_t>(tensor.bytes())});
    }
    writer.finish();
}

// In name order.
inline std::vector<NamedTensor> read_all(const io::SafetensorsFile& file) {
    std::vector<NamedTensor> tensors;
    for (const auto& [name, info] : file.tensors()) tensors.push_back(read_tensor(file, name));
    return tensors;
}

}  // namespace quarot::quantize

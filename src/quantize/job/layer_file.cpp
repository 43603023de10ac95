// Small work between Tensor and the safetensors reader and writer.
#include "quantize/job/layer_file.h"

#include <algorithm>
#include <span>
#include <utility>

#include "io/file.h"
#include "io/hash.h"
#include "io/safetensors.h"

namespace quarot::quantize {

void write_layer_file(const std::string& path, const std::vector<NamedTensor>& tensors) {
    std::vector<io::PlannedTensor> planned;
    for (const auto& [name, tensor] : tensors) {
        planned.push_back({name, tensor.dtype(), tensor.shape()});
    }
    io::SafetensorsWriter writer(path, std::move(planned));
    for (const auto& [name, tensor] : tensors) {
        writer.write(name, 0, {tensor.data(), static_cast<size_t>(tensor.bytes())});
    }
    writer.finish();
}

std::vector<NamedTensor> read_layer_file(const std::string& path) {
    const io::SafetensorsFile file(path);
    std::vector<NamedTensor> tensors;
    for (const auto& [name, info] : file.tensors()) {
        Tensor tensor(info.dtype, info.shape);
        file.read(info, 0, {tensor.data(), static_cast<size_t>(tensor.bytes())});
        tensors.push_back({name, std::move(tensor)});
    }
    return tensors;
}

std::string digest_of_file(const std::string& path) {
    constexpr int64_t kChunkBytes = int64_t{1} << 20;
    const io::File file(path);
    io::Xxh3 hash;
    std::vector<std::byte> chunk(static_cast<size_t>(std::min(file.size(), kChunkBytes)));
    for (int64_t offset = 0; offset < file.size(); offset += kChunkBytes) {
        const int64_t n = std::min(kChunkBytes, file.size() - offset);
        const std::span<std::byte> part(chunk.data(), static_cast<size_t>(n));
        file.read(offset, part);
        hash.add(part);
    }
    return hash.hex();
}

}  // namespace quarot::quantize

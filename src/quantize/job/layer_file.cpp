#include "quantize/job/layer_file.h"

#include <algorithm>
#include <span>
#include <utility>

#include "io/file.h"
#include "io/hash.h"

namespace quarot::quantize {

NamedTensor read_tensor(const io::SafetensorsFile& file, const std::string& name) {
    const io::TensorInfo& info = file.tensors().at(name);
    Tensor tensor(info.dtype, info.shape);
    file.read(info, 0, {tensor.data(), static_cast<size_t>(tensor.bytes())});
    return {name, std::move(tensor)};
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

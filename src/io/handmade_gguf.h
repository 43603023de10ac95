// For tests: GGUF files made by hand, good and bad.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace quarot::io {

// The little-endian bytes of a number.
template <typename T>
std::string bytes_of(T value) {
    std::string bytes(sizeof(T), '\0');
    std::memcpy(bytes.data(), &value, sizeof(T));
    return bytes;
}

// A text with its length in front.
inline std::string counted(const std::string& text) {
    return bytes_of<uint64_t>(text.size()) + text;
}

// Values with their kind in front.
inline std::string gguf_u32(uint32_t value) {
    return bytes_of<uint32_t>(4) + bytes_of(value);
}
inline std::string gguf_f32(float value) {
    return bytes_of<uint32_t>(6) + bytes_of(value);
}
inline std::string gguf_bool(bool value) {
    return bytes_of<uint32_t>(7) + bytes_of<uint8_t>(value ? 1 : 0);
}
inline std::string gguf_text(const std::string& value) {
    return bytes_of<uint32_t>(8) + counted(value);
}
inline std::string gguf_list(uint32_t kind, uint64_t n, const std::string& elements) {
    return bytes_of<uint32_t>(9) + bytes_of(kind) + bytes_of(n) + elements;
}
inline std::string gguf_texts(const std::vector<std::string>& values) {
    std::string elements;
    for (const std::string& value : values) elements += counted(value);
    return gguf_list(8, values.size(), elements);
}
inline std::string gguf_i32s(const std::vector<int32_t>& values) {
    std::string elements;
    for (const int32_t value : values) elements += bytes_of(value);
    return gguf_list(5, values.size(), elements);
}
inline std::string gguf_f32s(const std::vector<float>& values) {
    std::string elements;
    for (const float value : values) elements += bytes_of(value);
    return gguf_list(6, values.size(), elements);
}

// A whole file; tests change what they want to be wrong.
struct HandmadeGguf {
    struct Tensor {
        std::string name;
        std::vector<uint64_t> dims;  // as the file has them: the row's length first
        uint32_t type = 0;
        std::string data;
        std::optional<uint64_t> offset = {};  // else where it belongs
    };

    std::string magic = "GGUF";
    uint32_t version = 3;
    std::optional<uint64_t> n_tensors = {};  // else as many as there are
    std::optional<uint64_t> n_values = {};
    std::vector<std::pair<std::string, std::string>> values;  // key, value with its kind
    std::vector<Tensor> tensors;
    uint64_t alignment = 32;  // of what is written; the key is the test's

    void set(const std::string& key, const std::string& value) {
        for (auto& [there, old] : values) {
            if (there != key) continue;
            old = value;
            return;
        }
        values.emplace_back(key, value);
    }

    void remove(const std::string& key) {
        std::erase_if(values, [&](const auto& value) { return value.first == key; });
    }

    std::string header() const {
        std::string bytes = magic + bytes_of(version);
        bytes += bytes_of<uint64_t>(n_tensors.value_or(tensors.size()));
        bytes += bytes_of<uint64_t>(n_values.value_or(values.size()));
        for (const auto& [key, value] : values) bytes += counted(key) + value;
        uint64_t offset = 0;
        for (const Tensor& tensor : tensors) {
            bytes += counted(tensor.name) +
                     bytes_of<uint32_t>(static_cast<uint32_t>(tensor.dims.size()));
            for (const uint64_t dim : tensor.dims) bytes += bytes_of(dim);
            bytes += bytes_of(tensor.type) + bytes_of(tensor.offset.value_or(offset));
            offset = aligned(offset + tensor.data.size());
        }
        return bytes;
    }

    std::string bytes() const {
        std::string bytes = header();
        for (const Tensor& tensor : tensors) {
            bytes.resize(aligned(bytes.size()));
            bytes += tensor.data;
        }
        return bytes;
    }

  private:
    uint64_t aligned(uint64_t n) const { return (n + alignment - 1) / alignment * alignment; }
};

}  // namespace quarot::io

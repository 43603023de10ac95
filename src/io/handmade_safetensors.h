// For tests: safetensors files made by hand, good and bad.
#pragma once

#include <cstdint>
#include <cstring>
#include <fstream>
#include <string>

namespace quarot::io {

inline std::string length_of(uint64_t n) {
    std::string bytes(8, '\0');
    std::memcpy(bytes.data(), &n, 8);
    return bytes;
}

inline std::string file_of(const std::string& header, size_t data_bytes = 0) {
    return length_of(header.size()) + header + std::string(data_bytes, 'd');
}

inline void write_bytes(const std::string& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
}

// The usual entry with one member replaced.
inline std::string entry(const std::string& dtype, const std::string& shape,
                         const std::string& offsets) {
    return R"({"dtype":)" + dtype + R"(,"shape":)" + shape + R"(,"data_offsets":)" + offsets + "}";
}
inline std::string f32(const std::string& shape, const std::string& offsets) {
    return entry(R"("F32")", shape, offsets);
}
inline std::string named(const std::string& entry_text) {
    return R"({"wq":)" + entry_text + "}";
}

}  // namespace quarot::io

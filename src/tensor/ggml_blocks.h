// The element types of GGUF files: floats, and blocks of small integers with their scales.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "tensor/dtype.h"

namespace quarot {

// A type that is read. Blocks follow each other without gaps; a row is whole blocks.
struct GgmlType {
    uint32_t id = 0;           // as GGUF files number it
    std::string_view name;     // "Q4_K"
    DType dtype = DType::F32;  // what it is read as: itself if it is a float, else F32
    int64_t block_elements = 1;
    int64_t block_bytes = 4;
    // Widens n_blocks blocks to fp32 [n_blocks * block_elements]: each element is made by the
    // products and sums that the format defines, each rounded to fp32. nullptr for floats.
    void (*widen)(const std::byte* blocks, int64_t n_blocks, float* out) = nullptr;
};

// nullptr for types that are not read.
const GgmlType* find_ggml_type(uint32_t id);
// "Q2_K", or "type 99" where the format defines none with this number.
std::string name_of_ggml_type(uint32_t id);
// "F32, F16, ...": those that are read.
std::string known_ggml_types();

}  // namespace quarot

// Element types of stored tensors.
#pragma once

#include <cstdint>
#include <string_view>

namespace quarot {

enum class DType { F64, F32, F16, BF16, I64, I32, I16, I8, U64, U32, U16, U8, Bool };

constexpr int64_t size_of(DType dtype) {
    switch (dtype) {
        case DType::F64:
        case DType::I64:
        case DType::U64:
            return 8;
        case DType::F32:
        case DType::I32:
        case DType::U32:
            return 4;
        case DType::F16:
        case DType::BF16:
        case DType::I16:
        case DType::U16:
            return 2;
        case DType::I8:
        case DType::U8:
        case DType::Bool:
            return 1;
    }
    return 0;
}

// As safetensors spells it.
constexpr std::string_view name_of(DType dtype) {
    switch (dtype) {
        case DType::F64:
            return "F64";
        case DType::F32:
            return "F32";
        case DType::F16:
            return "F16";
        case DType::BF16:
            return "BF16";
        case DType::I64:
            return "I64";
        case DType::I32:
            return "I32";
        case DType::I16:
            return "I16";
        case DType::I8:
            return "I8";
        case DType::U64:
            return "U64";
        case DType::U32:
            return "U32";
        case DType::U16:
            return "U16";
        case DType::U8:
            return "U8";
        case DType::Bool:
            return "BOOL";
    }
    return "?";
}

constexpr bool is_float_weight(DType dtype) {
    return dtype == DType::F32 || dtype == DType::F16 || dtype == DType::BF16;
}

}  // namespace quarot

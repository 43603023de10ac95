// A file of named tensors: what it offers and how it is read, whatever its format.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>

#include "tensor/tensor.h"

namespace quarot::io {

struct TensorInfo {
    DType dtype = DType::F32;
    Shape shape;
    int64_t offset = 0;  // of the first byte in the file
    int64_t bytes = 0;   // of all elements as they are read
};

class TensorFile {
  public:
    virtual ~TensorFile() = default;

    virtual const std::string& path() const = 0;
    virtual const std::map<std::string, TensorInfo>& tensors() const = 0;
    // Rows [first_row, first_row + n_rows) of one of tensors(); `out` has room for just them. The
    // rows of a vector are its elements, and the rows must be there. Thread-safe.
    virtual void read_rows(const std::string& name, int64_t first_row, int64_t n_rows,
                           std::span<std::byte> out) const = 0;
};

}  // namespace quarot::io

// Tensor owns host bytes, contiguous and row-major.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "core/check.h"
#include "core/checked_math.h"
#include "core/error.h"
#include "tensor/dtype.h"

namespace quarot {

// 64-byte aligned host memory, not initialised. Move-only.
class Storage {
  public:
    Storage() = default;
    explicit Storage(int64_t bytes) : bytes_(bytes) {
        if (bytes == 0) return;
        data_.reset(static_cast<std::byte*>(
            std::aligned_alloc(64, static_cast<size_t>(round_up(bytes, 64)))));
        if (!data_) fail(ErrorCode::OutOfMemory, "cannot allocate {} bytes of host memory", bytes);
    }
    std::byte* data() { return data_.get(); }
    const std::byte* data() const { return data_.get(); }
    int64_t bytes() const { return bytes_; }

  private:
    struct Free {
        void operator()(std::byte* p) const { std::free(p); }
    };
    std::unique_ptr<std::byte, Free> data_;
    int64_t bytes_ = 0;
};

using Shape = std::vector<int64_t>;

inline int64_t element_count(const Shape& shape) {
    const auto product = checked_product(shape);
    QUAROT_CHECK(product.has_value());
    return *product;
}

class Tensor {
  public:
    Tensor() = default;
    Tensor(DType dtype, Shape shape)
        : dtype_(dtype),
          shape_(std::move(shape)),
          storage_(element_count(shape_) * size_of(dtype)) {}

    DType dtype() const { return dtype_; }
    const Shape& shape() const { return shape_; }
    int64_t rows() const { return shape_.at(0); }
    int64_t cols() const { return shape_.at(1); }
    int64_t bytes() const { return storage_.bytes(); }
    std::byte* data() { return storage_.data(); }
    const std::byte* data() const { return storage_.data(); }
    template <typename T>
    T* as() {
        return reinterpret_cast<T*>(storage_.data());
    }
    template <typename T>
    const T* as() const {
        return reinterpret_cast<const T*>(storage_.data());
    }

  private:
    DType dtype_ = DType::F32;
    Shape shape_;
    Storage storage_;
};

}  // namespace quarot

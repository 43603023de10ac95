// Memory that outlives a call: mapped blocks for weights and the cache, and scratch that grows to
// the largest need once.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/tensor.h"

namespace quarot::kernels::cpu {

enum class PageAdvice { Plain, Huge };

// Anonymous zeroed memory, touched only where it is written. Move-only.
class MappedMemory {
  public:
    MappedMemory() = default;
    MappedMemory(int64_t bytes, PageAdvice advice);
    ~MappedMemory();
    MappedMemory(MappedMemory&& other) noexcept { swap(other); }
    MappedMemory& operator=(MappedMemory&& other) noexcept {
        swap(other);
        return *this;
    }
    std::byte* data() const { return data_; }
    int64_t bytes() const { return bytes_; }

  private:
    void swap(MappedMemory& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(bytes_, other.bytes_);
    }
    std::byte* data_ = nullptr;
    int64_t bytes_ = 0;
};

class Scratch {
  public:
    // At least `bytes`, 64-byte aligned; what it held before is lost.
    std::byte* get(int64_t bytes) {
        if (storage_.bytes() < bytes) storage_ = Storage(bytes);
        return storage_.data();
    }

  private:
    Storage storage_;
};

// Hands out pieces of one block in order. Measure first with a null block, then place.
class Carver {
  public:
    explicit Carver(std::byte* block) : block_(block) {}
    template <typename T>
    T* take(int64_t count) {
        T* piece = block_ == nullptr ? nullptr : reinterpret_cast<T*>(block_ + used_);
        used_ += round_up(count * static_cast<int64_t>(sizeof(T)), 64);
        return piece;
    }
    int64_t used() const { return used_; }

  private:
    std::byte* block_;
    int64_t used_ = 0;
};

}  // namespace quarot::kernels::cpu

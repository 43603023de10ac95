// A GPU for tests, and memory on it with guard bytes around.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace quarot::cuda_test {

// Skips, loudly, where no GPU is present.
class OnGpu : public testing::Test {
  protected:
    void SetUp() override;
};

void synchronize();  // a failed kernel fails the test here

// Device memory of one test, filled with 0xA5 and followed and preceded by guard bytes, so that an
// output left out and a write outside are both seen.
class Memory {
  public:
    explicit Memory(int64_t bytes);
    explicit Memory(std::span<const std::byte> host);
    Memory(Memory&& other) noexcept;
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;
    Memory& operator=(Memory&&) = delete;
    ~Memory();

    template <typename T>
    T* as() const {
        return static_cast<T*>(data());
    }
    void* data() const;
    int64_t bytes() const { return bytes_; }
    void poison();                    // back to 0xA5
    void upload(const void* host);    // all of bytes()
    void download(void* host) const;  // all of bytes()
    bool guards_intact() const;

  private:
    std::byte* base_ = nullptr;
    int64_t bytes_ = 0;
};

template <typename T>
Memory upload(const std::vector<T>& values) {
    return Memory(std::as_bytes(std::span(values)));
}

template <typename T>
std::vector<T> download(const Memory& memory) {
    std::vector<T> values(static_cast<size_t>(memory.bytes()) / sizeof(T));
    memory.download(values.data());
    return values;
}

}  // namespace quarot::cuda_test

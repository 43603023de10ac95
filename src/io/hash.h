// Digests: SHA-256 for whole files (as model hubs publish), XXH3 for tensors at load.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace quarot::io {

std::string sha256_of_file(const std::string& path);  // lower-case hex
std::string sha256_of_text(const std::string& text);
std::string sha256_of_bytes(std::span<const std::byte> data);
std::string xxh3_128(std::span<const std::byte> data);  // lower-case hex, high half first

// xxh3_128 of data that comes in pieces. Move-only.
class Xxh3 {
  public:
    Xxh3();
    void add(std::span<const std::byte> data);
    std::string hex() const;

  private:
    std::unique_ptr<void, void (*)(void*)> state_;
};

}  // namespace quarot::io

// SHA-256 by OpenSSL, streamed; XXH3 by xxHash.
#include "io/hash.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <memory>
#include <vector>

#include "core/error.h"
#include "io/file.h"

namespace quarot::io {

namespace {

class Sha256 {
  public:
    Sha256() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
        check(context_ != nullptr && EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1);
    }

    void add(std::span<const std::byte> data) {
        check(EVP_DigestUpdate(context_.get(), data.data(), data.size()) == 1);
    }

    std::string hex() {
        std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
        unsigned int size = 0;
        check(EVP_DigestFinal_ex(context_.get(), digest.data(), &size) == 1);
        std::string text;
        for (unsigned int i = 0; i < size; ++i) text += fmt::format("{:02x}", digest[i]);
        return text;
    }

  private:
    static void check(bool ok) {
        if (!ok) fail(ErrorCode::Internal, "OpenSSL cannot compute SHA-256");
    }

    std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

std::string hex_of(XXH128_hash_t hash) {
    return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

}  // namespace

std::string sha256_of_file(const std::string& path) {
    constexpr int64_t kChunkBytes = int64_t{1} << 20;
    const File file(path);
    Sha256 sha;
    std::vector<std::byte> chunk(static_cast<size_t>(std::min(file.size(), kChunkBytes)));
    for (int64_t offset = 0; offset < file.size(); offset += kChunkBytes) {
        const int64_t n = std::min(kChunkBytes, file.size() - offset);
        const std::span<std::byte> part(chunk.data(), static_cast<size_t>(n));
        file.read(offset, part);
        sha.add(part);
    }
    return sha.hex();
}

std::string sha256_of_text(const std::string& text) {
    return sha256_of_bytes(std::as_bytes(std::span(text)));
}

std::string sha256_of_bytes(std::span<const std::byte> data) {
    Sha256 sha;
    sha.add(data);
    return sha.hex();
}

std::string xxh3_128(std::span<const std::byte> data) {
    return hex_of(XXH3_128bits(data.data(), data.size()));
}

Xxh3::Xxh3()
    : state_(XXH3_createState(),
             [](void* state) { XXH3_freeState(static_cast<XXH3_state_t*>(state)); }) {
    if (!state_) fail(ErrorCode::OutOfMemory, "cannot allocate the state of a hash");
    XXH3_128bits_reset(static_cast<XXH3_state_t*>(state_.get()));
}

void Xxh3::add(std::span<const std::byte> data) {
    XXH3_128bits_update(static_cast<XXH3_state_t*>(state_.get()), data.data(), data.size());
}

std::string Xxh3::hex() const {
    return hex_of(XXH3_128bits_digest(static_cast<const XXH3_state_t*>(state_.get())));
}

}  // namespace quarot::io

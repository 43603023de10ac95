// What a page of the KV cache looks like in the reference backend: one byte a code, scales in fp32,
// of F16 too, and fp32 values where nothing is quantized.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <initializer_list>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <vector>

#include "core/checked_math.h"
#include "core/error.h"
#include "kernels/ops.h"

namespace quarot::kernels {

// Zeros from the system: pages of memory that nobody writes take none.
template <typename T>
struct UntouchedZeros {
    using value_type = T;
    UntouchedZeros() = default;
    template <typename U>
    UntouchedZeros(const UntouchedZeros<U>&) {}
    T* allocate(std::size_t n) {
        void* data = std::calloc(n, sizeof(T));
        if (data == nullptr) throw std::bad_alloc();
        return static_cast<T*>(data);
    }
    void deallocate(T* data, std::size_t) { std::free(data); }
    template <typename U>
    void construct(U*) {}  // they are zeros
    bool operator==(const UntouchedZeros&) const { return true; }
};
template <typename T>
using ZeroArray = std::vector<T, UntouchedZeros<T>>;

// As many as the product of dims; Error{OutOfMemory} where they do not fit.
template <typename T>
void allocate_zeros(ZeroArray<T>& to, std::initializer_list<int64_t> dims) {
    const auto count = checked_product(std::span(dims.begin(), dims.size()));
    try {
        if (!count || *count > std::numeric_limits<int64_t>::max() / 8) throw std::bad_alloc();
        to.resize(static_cast<size_t>(*count));
    } catch (const std::bad_alloc&) {
        fail(ErrorCode::OutOfMemory, "the KV cache does not fit into host memory; lower its size");
    }
}

// Which vector of the cache.
struct KvPlace {
    int64_t layer = 0;
    int64_t page = 0;
    int64_t slot = 0;
    int64_t head = 0;
};

// That of a sequence's position in any layer and head.
KvPlace place_of(const KvStore& kv, const BatchView& batch, int64_t sequence, int64_t position);

// All K vectors or all V vectors. Slots of different places may be written by different threads.
class KvVectors {
  public:
    // Error{Unsupported} for a format outside the contract, Error{OutOfMemory} for too many pages.
    KvVectors(const KvDescriptor& descriptor, const KvFormat& format, int64_t n_pages);

    // Stores values[head_dim] of a token at `position` of its sequence. False: a NaN or Inf was to
    // be quantized; its group holds zeros then.
    bool put(const KvPlace& place, int64_t position, std::span<const float> values);
    // values[head_dim] as attention sees them.
    void get(const KvPlace& place, std::span<float> values) const;
    KvStore::Entry entry(const KvPlace& place) const;
    int64_t bytes() const;

  private:
    bool quantize_group(std::span<const float> values, int64_t group, uint8_t* codes);
    int64_t vector_index(const KvPlace& place) const;
    int64_t float_index(const KvPlace& place) const;
    int64_t group_size() const { return format_.group_size == 0 ? head_dim_ : format_.group_size; }
    int64_t n_groups() const { return head_dim_ / group_size(); }

    KvFormat format_;
    int64_t n_pages_, page_tokens_, n_heads_, head_dim_;
    int64_t float_slots_;          // first slots of every page that have room for fp32 values
    ZeroArray<uint8_t> codes_;     // [vectors, head_dim]
    ZeroArray<float> scales_;      // [vectors, n_groups]
    ZeroArray<int16_t> zeros_;     // [vectors, n_groups]
    ZeroArray<float> values_;      // [layers, pages, float_slots, heads, head_dim]
    ZeroArray<uint8_t> is_float_;  // [vectors]: the vector stands in values_
};

// As Backend::kv_bytes.
std::optional<int64_t> reference_kv_bytes(const KvDescriptor& descriptor, int64_t n_pages);

class ChannelKeys;

class ReferenceKvStore final : public KvStore {
  public:
    ReferenceKvStore(const KvDescriptor& descriptor, int64_t n_pages);
    ~ReferenceKvStore() override;
    int64_t bytes() const override;
    Entry read(KvKind kind, int64_t layer, int64_t page, int64_t slot, int64_t head) const override;
    // Keys by channel; null: they are vectors.
    ChannelKeys* channel_keys() const { return channel_keys_.get(); }
    KvVectors& vectors(KvKind kind) { return kind == KvKind::Key ? *k_ : v_; }
    const KvVectors& vectors(KvKind kind) const { return kind == KvKind::Key ? *k_ : v_; }

  private:
    std::unique_ptr<ChannelKeys> channel_keys_;
    std::optional<KvVectors> k_;
    KvVectors v_;
};

}  // namespace quarot::kernels

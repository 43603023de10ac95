// Pages of K and V as the cpu backend keeps them, one block a layer, page and head.
//
// K stands by dimension and V by position, so that both are read along vectors (KvBlock in
// isa_kernels.h draws the bytes). Appending writes one column of K and one row of V.
#pragma once

#include "kernels/cpu/cpu_context.h"
#include "kernels/ops.h"
#include "tensor/affine.h"

namespace quarot::kernels::cpu {

// Where the parts of one head's K or V lie in a page.
struct KvLayout {
    KvLayout(KvKind kind, const KvFormat& format, int64_t head_dim, int64_t page_tokens);

    KvKind kind;
    int bits;
    int64_t head_dim;
    int64_t slots;  // positions, padded to whole vectors
    int64_t dims;   // V: head_dim, padded to what one step unpacks
    int64_t scales_at, zeros_at, bytes;
};

struct KvPlace {
    int64_t layer, page, head;
};

class CpuKvStore final : public KvStore {
  public:
    // Error{Unsupported} for groups inside a head and exempt positions.
    CpuKvStore(const KvDescriptor& descriptor, int64_t n_pages);

    int64_t bytes() const override { return memory_.bytes(); }
    Entry read(KvKind kind, int64_t layer, int64_t page, int64_t slot, int64_t head) const override;

    const KvLayout& layout(KvKind kind) const { return kind == KvKind::Key ? k_ : v_; }
    KvBlock block(KvKind kind, const KvPlace& place) const;

    // Codes of one vector (a byte each), or its values at 16 bits.
    void write_codes(KvKind kind, const KvPlace& place, int64_t slot, const uint8_t* codes,
                     Affine affine);
    void write_values(KvKind kind, const KvPlace& place, int64_t slot, const float* values);

  private:
    std::byte* at(KvKind kind, const KvPlace& place) const;

    KvLayout k_, v_;
    MappedMemory memory_;
};

// As Backend::kv_bytes.
std::optional<int64_t> cpu_kv_bytes(const KvDescriptor& descriptor, int64_t n_pages);

// Quantizes and writes the K and V rows of one token; false if one held a NaN or Inf.
bool append_token(CpuKvStore& store, const IsaKernels& isa, const AppendKvArgs& args, int64_t token,
                  Scratch& scratch);

}  // namespace quarot::kernels::cpu

// Pages of K and V as the cpu backend keeps them, one block a layer, page and head.
//
// K stands by dimension and V by position, so that both are read along vectors (KvBlock in
// isa_kernels.h draws the bytes). Appending writes one column of K and one row of V. Keys by
// channel wait in the newest block of their sequence, by dimension too, until it is full.
#pragma once

#include "kernels/channel_keys.h"
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
    int64_t block;                       // positions of a block of keys by channel; else 0
    int64_t slots;                       // positions, padded to whole vectors
    int64_t dims;                        // V: head_dim, padded to what one step unpacks
    bool half_scales;                    // F16, by token
    int64_t scales_at, zeros_at, bytes;  // by channel: F16, [blocks, head_dim] each
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
    // `n` slots of it; of keys by channel, a block.
    KvBlock part(KvKind kind, const KvPlace& place, int64_t first_slot, int64_t n) const;
    // Keys by channel as they came, [head_dim, block] fp32: the newest of a seat, and the block
    // that the step of the layer that runs has left.
    float* newest_keys(int64_t layer, int64_t seat, int64_t head) const;
    float* left_keys(int64_t seat, int64_t head) const {
        return newest_keys(descriptor().n_layers, seat, head);
    }

    // Codes of one vector (a byte each), or its values at 16 bits.
    void write_codes(KvKind kind, const KvPlace& place, int64_t slot, const uint8_t* codes,
                     Affine affine);
    // Those of a block of keys by channel; false if F16 does not hold a channel's scale.
    bool write_channels(const IsaKernels& isa, const KvPlace& place, int64_t first_slot,
                        const float* keys, Scratch& scratch);
    void write_values(KvKind kind, const KvPlace& place, int64_t slot, const float* values);

  private:
    std::byte* at(KvKind kind, const KvPlace& place) const;

    KvLayout k_, v_;
    MappedMemory memory_;  // pages, then the newest blocks
};

// As Backend::kv_bytes.
std::optional<int64_t> cpu_kv_bytes(const KvDescriptor& descriptor, int64_t n_pages);

// Quantizes and writes the K and V rows of one token, K by channel left out; false if one held a
// NaN or Inf.
bool append_token(CpuKvStore& store, const IsaKernels& isa, const AppendKvArgs& args, int64_t token,
                  Scratch& scratch);

// Keys by channel of one sequence and head. Notes the tokens that cannot be quantized.
void append_channel_keys(CpuKvStore& store, const IsaKernels& isa, const AppendKvArgs& args,
                         int64_t sequence, int64_t head, Scratch& scratch);

}  // namespace quarot::kernels::cpu

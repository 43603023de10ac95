// A KV cache on the device with random keys and values, attention over it, and the same in double
// on the host.
#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "cuda/gpu.h"
#include "kernels/cuda/attention.h"
#include "kernels/cuda/kv_append.h"
#include "kernels/cuda/kv_layout.h"

namespace quarot::cuda_test {

struct KvForm {
    int64_t n_heads = 4;
    int64_t n_kv_heads = 2;
    int64_t head_dim = 128;
    int64_t page_tokens = 64;
    int k_bits = 4;
    int v_bits = 4;
    DType rows = DType::F16;
    int64_t max_pages = 8;    // of a sequence
    float value_size = 1.0f;  // of V's entries
    bool key_bias = false;    // which the cache leaves out

    kernels::KvDescriptor descriptor() const;
    DType values() const { return rows == DType::F32 ? DType::F32 : DType::F16; }
    int64_t max_context() const { return max_pages * page_tokens; }
};
std::string describe(const KvForm& form);

// Tokens first .. first + count - 1 of a sequence; a negative `first`: padding.
struct Piece {
    int64_t sequence = 0;
    int64_t first = 0;
    int64_t count = 1;
};

// The arrays of a batch in device memory. Pages of a sequence are scattered over the cache, and are
// the same in every batch; its seat is its number.
class DeviceBatch {
  public:
    DeviceBatch(const std::vector<Piece>& pieces, int64_t max_pages);
    const kernels::cuda::KvBatch& view() const { return view_; }
    static int64_t page_of(int64_t sequence, int64_t index, int64_t max_pages) {
        return sequence * max_pages + (max_pages - 1 - index);
    }

  private:
    kernels::cuda::KvBatch view_;
    std::vector<Memory> arrays_;
};

// Floats as `dtype` holds them.
std::vector<float> rounded(DType dtype, std::span<const float> values);
// Rows of floats in device memory; `padding` elements follow each.
Memory upload_rows(DType dtype, std::span<const float> values, int64_t cols, int64_t padding);
std::vector<float> download_rows(DType dtype, const Memory& memory, int64_t cols, int64_t padding);

// What varies between calls over one cache.
struct AttentionOptions {
    int64_t window = 0;
    float score_cap = 0.0f;
    float scale_factor = 1.0f;  // on 1 / sqrt(head_dim)
};

class KvCase {
  public:
    // Sequence s has lengths[s] tokens in the cache. Bytes that no token owns are 0xFF: NaNs.
    KvCase(const KvForm& form, std::vector<int64_t> lengths, uint32_t seed);

    // Outputs of the tokens of `pieces`, in order, [n_tokens, n_heads * head_dim]. Fails the test
    // where something outside the output was written.
    std::vector<float> attend(const std::vector<Piece>& pieces, const AttentionOptions& options,
                              kernels::cuda::AttentionPath expected_path);
    // In double, over the dequantized cache.
    std::vector<double> expected(int64_t sequence, int64_t position,
                                 const AttentionOptions& options) const;

    kernels::KvStore::Entry entry(kernels::KvKind kind, int64_t sequence, int64_t position,
                                  int64_t head) const;
    std::span<const float> vector(kernels::KvKind kind, int64_t sequence, int64_t position,
                                  int64_t head) const;
    std::vector<std::byte> cache_bytes() const;
    int64_t out_cols() const { return form_.n_heads * form_.head_dim; }

  private:
    std::span<const float> query(int64_t sequence, int64_t position) const;
    void make_bias(std::mt19937& random);
    void append_all();
    void read_back();
    const float* dequantized(kernels::KvKind kind, int64_t sequence, int64_t position,
                             int64_t head) const;

    KvForm form_;
    std::vector<int64_t> lengths_;
    kernels::cuda::KvView view_;
    Memory cache_;
    Memory basis_, cos_, sin_;  // of the part of keys that the cache leaves out
    std::vector<double> bias_;  // that part, [max_context, n_kv_heads, head_dim]
    // [sequence][position][heads * head_dim], as the rows' dtype holds them.
    std::vector<std::vector<float>> q_, k_, v_;
    std::vector<std::vector<float>> stored_k_, stored_v_;  // dequantized
};

}  // namespace quarot::cuda_test

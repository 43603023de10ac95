// An orthogonal transform of rows, prepared for the device: which kernel serves it, and its tables.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/cuda/stream.h"
#include "linalg/mixer.h"
#include "tensor/dtype.h"

namespace quarot::kernels::cuda {

// Packed results carry this factor, which keeps sums of 32 rows below the largest half.
inline constexpr double kPackedMagnitude = 0.25;

// A row of K * 2^m values as a matrix [K, 2^m]: tensor cores transform the low bits of the column
// index, fp32 additions those from the eighth, and tensor cores mix the K rows by a sign matrix.
struct TensorPlan {
    int rows = 0;         // K, at most 176; 0: the general kernel serves this transform
    int column_bits = 0;  // m, 6..10
    int row_tiles = 0;    // ceil(K / 16)
    int warp_tiles = 0;   // tiles of 16 rows a warp owns
    bool packed = false;  // results wait for the row's maximum as halves
    float factor = 0.0f;  // from what the kernel sums to the transform's values

    bool usable() const { return rows > 0; }
    int warps_along_rows() const { return (row_tiles + warp_tiles - 1) / warp_tiles; }
    int warps() const { return warps_along_rows() << (column_bits - 6); }
    int shared_bytes() const { return (rows + 1) * (2 << column_bits); }
};

// The plan for T (x) I_inner over whole rows, if there is one.
TensorPlan make_tensor_plan(const linalg::Mixer& mixer, int64_t inner);

// T (x) I_inner on every run of n * inner elements of a row; tables in device memory. Immutable.
class Rotation {
  public:
    // storage as in Backend::prepare_transform: F32, or F16 for halves between the parts, which
    // the general kernel serves. Error{OutOfMemory, Device}.
    Rotation(const linalg::Mixer& mixer, int64_t inner, DType storage = DType::F32);

    int64_t n() const { return n_; }
    int64_t inner() const { return inner_; }
    int64_t block() const { return n_ * inner_; }
    bool identity() const { return identity_; }
    bool half_storage() const { return half_storage_; }
    int64_t dense_order() const { return dense_order_; }
    float sylvester_factor() const { return sylvester_factor_; }
    const TensorPlan& tensor_plan() const { return plan_; }

    // The dense factor transposed, [dense_order, dense_stride()], zeros past its rows; the
    // normalization is in it where sylvester_factor() is 1.
    const float* dense() const { return dense_; }
    int64_t dense_stride() const { return (dense_order_ + 7) / 8 * 8; }
    // [3][32][4]: the tile of the first product as halves and as bfloat16, that of the second.
    const uint32_t* tiles() const { return tiles_; }
    // [tiles of all warps][ceil(row_tiles / 4)][32]: bit 4 s + q + 16 p of a lane's word is the
    // sign of element p of word q of its fragment in the s-th of four steps.
    const uint32_t* signs() const { return signs_; }

    // "tensor cores 28 x 2^9" or "general": what bench prints.
    std::string path() const;

  private:
    struct Free {
        void operator()(void* memory) const;
    };
    int64_t n_, inner_;
    bool identity_, half_storage_;
    int64_t dense_order_;
    float sylvester_factor_ = 1.0f;
    TensorPlan plan_;
    std::unique_ptr<void, Free> memory_;
    const float* dense_ = nullptr;
    const uint32_t* tiles_ = nullptr;
    const uint32_t* signs_ = nullptr;
};

}  // namespace quarot::kernels::cuda

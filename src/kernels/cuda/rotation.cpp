#include "kernels/cuda/rotation.h"

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "core/check.h"
#include "kernels/cuda/status.h"
#include "tensor/float_convert.h"

namespace quarot::kernels::cuda {

namespace {

constexpr int kMaxRows = 176;
constexpr int kMaxWarps = 20;
constexpr int kMinColumnBits = 6;
constexpr int kLanes = 32;

int log2_of(int64_t power) {
    return std::countr_zero(static_cast<uint64_t>(power));
}

bool is_power_of_two(int64_t n) {
    return std::has_single_bit(static_cast<uint64_t>(n));
}

// K and m where the kernel has registers and warps for them; rows = 0 otherwise.
TensorPlan plan_of(int64_t rows, int column_bits) {
    TensorPlan plan;
    if (rows < 1 || rows > kMaxRows || column_bits < kMinColumnBits) return plan;
    const auto tiles = static_cast<int>((rows + 15) / 16);
    plan = {.rows = static_cast<int>(rows), .column_bits = column_bits, .row_tiles = tiles};
    plan.packed = column_bits > 8;
    if (plan.packed && tiles != 2) return {};
    plan.warp_tiles = plan.packed || tiles > 3 ? 2 : 1;
    // A warp takes 256 values at a time.
    if (((rows << column_bits) % 256) != 0 || plan.warps() > kMaxWarps) return {};
    return plan;
}

// The bits of a column index that each of the two products transforms: bit i of an index into its
// 16 x 16 matrix is this bit of the column (kernels/cuda/rotate_tensor.cu has the picture).
constexpr std::array<int, 4> kFirstBits = {0, 4, 3, 1};
constexpr std::array<int, 4> kSecondBits = {5, 6, 7, 2};
// Row m of the matrix as the lanes hold it is this row of the transform, bit by bit, so that every
// lane ends with 16 neighbouring columns.
constexpr std::array<int, 4> kFirstRows = {0, 3, 2, 1};
constexpr std::array<int, 4> kSecondRows = {3, 1, 2, 0};

// One of the two constant matrices: Sylvester in the bits that are transformed, identity in the
// others, times a power of two near the normalization.
struct SmallTransform {
    int mask = 0;  // index bits that are transformed
    float magnitude = 1.0f;

    float at(int row, int column) const {
        if (((row ^ column) & ~mask) != 0) return 0.0f;
        return std::popcount(static_cast<unsigned>(row & column & mask)) % 2 != 0 ? -magnitude
                                                                                  : magnitude;
    }
};

SmallTransform small_transform(const std::array<int, 4>& bits, int first_bit, int end_bit) {
    SmallTransform small;
    for (int i = 0; i < 4; ++i) {
        if (bits[static_cast<size_t>(i)] >= first_bit && bits[static_cast<size_t>(i)] < end_bit) {
            small.mask |= 1 << i;
        }
    }
    const int n_bits = std::popcount(static_cast<unsigned>(small.mask));
    small.magnitude = std::exp2f(static_cast<float>(-(n_bits + 1) / 2));
    return small;
}

SmallTransform first_transform(int inner_bits, int column_bits) {
    return small_transform(kFirstBits, inner_bits, column_bits);
}
SmallTransform second_transform(int inner_bits, int column_bits) {
    return small_transform(kSecondBits, inner_bits, column_bits);
}

int permuted(int index, const std::array<int, 4>& places) {
    int out = 0;
    for (int i = 0; i < 4; ++i) out |= (index >> i & 1) << places[static_cast<size_t>(i)];
    return out;
}

// Row and column of a 16 x 16 tile that element p of word q of a lane holds (operand A, m16n8k16).
struct TilePlace {
    int row, column;
};
TilePlace tile_place(int lane, int word, int element) {
    return {lane / 4 + 8 * (word % 2), 2 * (lane % 4) + 8 * (word / 2) + element};
}

enum class Format { Half, Bfloat16 };

uint32_t bits_of(float value, Format format) {
    return format == Format::Half ? f32_to_f16(value) : std::bit_cast<uint32_t>(value) >> 16;
}

void append_tile(std::vector<uint32_t>& out, const SmallTransform& small,
                 const std::array<int, 4>& rows, Format format) {
    for (int lane = 0; lane < kLanes; ++lane) {
        for (int word = 0; word < 4; ++word) {
            uint32_t packed = 0;
            for (int element = 0; element < 2; ++element) {
                const auto [row, column] = tile_place(lane, word, element);
                packed |= bits_of(small.at(permuted(row, rows), column), format) << (16 * element);
            }
            out.push_back(packed);
        }
    }
}

// D (x) S of the high bits that the mixer's Sylvester factor leaves to the rows.
bool is_negative(const linalg::Mixer& mixer, int row_bits, int row, int column) {
    const int mask = (1 << row_bits) - 1;
    const double dense = mixer.dense_order == 1
                             ? 1.0
                             : mixer.dense[static_cast<size_t>(
                                   (row >> row_bits) * mixer.dense_order + (column >> row_bits))];
    const bool sylvester = std::popcount(static_cast<unsigned>(row & column & mask)) % 2 != 0;
    return (dense < 0.0) != sylvester;
}

void append_signs(std::vector<uint32_t>& out, const linalg::Mixer& mixer, const TensorPlan& plan) {
    const int row_bits = log2_of(plan.rows / mixer.dense_order);
    const int n_tiles = plan.warps_along_rows() * plan.warp_tiles;
    const int n_words = (plan.row_tiles + 3) / 4;
    for (int i = 0; i < n_tiles * n_words * kLanes; ++i) {
        const int tile = i / kLanes / n_words, word = i / kLanes % n_words, lane = i % kLanes;
        uint32_t signs = 0;
        for (int bit = 0; bit < 32; ++bit) {
            const int step = 4 * word + bit % 16 / 4, element = bit / 16;
            const auto [r, c] = tile_place(lane, bit % 4, element);
            const int row = 16 * tile + r, column = 16 * step + c;
            const bool inside = row < plan.rows && column < plan.rows;
            if (inside && is_negative(mixer, row_bits, row, column)) signs |= 1u << bit;
        }
        out.push_back(signs);
    }
}

std::vector<float> transposed_dense(const linalg::Mixer& mixer, double scale, int64_t stride) {
    const int64_t order = mixer.dense_order;
    std::vector<float> out(static_cast<size_t>(order * stride));
    for (int64_t row = 0; row < order; ++row) {
        for (int64_t column = 0; column < order; ++column) {
            const double entry = mixer.dense[static_cast<size_t>(row * order + column)];
            out[static_cast<size_t>(column * stride + row)] = static_cast<float>(entry * scale);
        }
    }
    return out;
}

}  // namespace

TensorPlan make_tensor_plan(const linalg::Mixer& mixer, int64_t inner) {
    if (mixer.kind != linalg::MixerKind::Hadamard || !is_power_of_two(inner)) return {};
    const int inner_bits = log2_of(inner);
    const int bits = log2_of(mixer.sylvester_order()) + inner_bits;
    const auto candidate = [&](int column_bits) {
        if (column_bits > bits || inner_bits > std::min(column_bits, 8)) return TensorPlan{};
        return plan_of(mixer.dense_order << (bits - column_bits), column_bits);
    };
    TensorPlan plan;
    for (const int column_bits : {10, 9, 8, 7, 6}) {  // wide rows, but tiles of 16 rows well filled
        if (plan.rows >= 12) break;
        if (const TensorPlan next = candidate(column_bits); next.usable()) plan = next;
    }
    if (!plan.usable()) return plan;
    const double applied = first_transform(inner_bits, plan.column_bits).magnitude *
                           second_transform(inner_bits, plan.column_bits).magnitude *
                           (plan.packed ? kPackedMagnitude : 1.0);
    plan.factor = static_cast<float>(1.0 / (std::sqrt(static_cast<double>(mixer.n)) * applied));
    return plan;
}

void Rotation::Free::operator()(void* memory) const {
    cudaFree(memory);
}

Rotation::Rotation(const linalg::Mixer& mixer, int64_t inner, DType storage)
    : n_(mixer.n),
      inner_(inner),
      identity_(mixer.kind == linalg::MixerKind::Identity),
      half_storage_(storage == DType::F16),
      dense_order_(mixer.dense_order) {
    QUAROT_CHECK(inner >= 1 && (storage == DType::F32 || storage == DType::F16), "inner {}, {}",
                 inner, name_of(storage));
    if (identity_) return;
    const double scale = 1.0 / std::sqrt(static_cast<double>(n_));
    const bool scale_first = half_storage_ || dense_order_ == 1;
    if (scale_first) sylvester_factor_ = static_cast<float>(scale);
    std::vector<float> dense;
    if (dense_order_ > 1) {
        dense = transposed_dense(mixer, scale_first ? 1.0 : scale, dense_stride());
    }
    std::vector<uint32_t> tables;
    if (!half_storage_) plan_ = make_tensor_plan(mixer, inner);
    if (plan_.usable()) {
        const int inner_bits = log2_of(inner);
        const SmallTransform first = first_transform(inner_bits, plan_.column_bits);
        append_tile(tables, first, kFirstRows, Format::Half);
        append_tile(tables, first, kFirstRows, Format::Bfloat16);
        append_tile(tables, second_transform(inner_bits, plan_.column_bits), kSecondRows,
                    Format::Half);
        append_signs(tables, mixer, plan_);
    }
    const size_t dense_bytes = dense.size() * sizeof(float);
    const size_t table_bytes = tables.size() * sizeof(uint32_t);
    if (table_bytes + dense_bytes == 0) return;
    void* memory = nullptr;
    check(cudaMalloc(&memory, table_bytes + dense_bytes), "cudaMalloc");
    memory_.reset(memory);
    auto* words = static_cast<uint32_t*>(memory);
    check(cudaMemcpy(words, tables.data(), table_bytes, cudaMemcpyHostToDevice), "cudaMemcpy");
    check(cudaMemcpy(words + tables.size(), dense.data(), dense_bytes, cudaMemcpyHostToDevice),
          "cudaMemcpy");
    tiles_ = words;
    signs_ = words + 3 * kLanes * 4;
    dense_ = reinterpret_cast<const float*>(words + tables.size());
}

std::string Rotation::path() const {
    if (identity_) return "identity";
    if (!plan_.usable()) return "general";
    return fmt::format("tensor cores {} x 2^{}", plan_.rows, plan_.column_bits);
}

}  // namespace quarot::kernels::cuda

#include <cuda_runtime.h>

#include "core/checked_math.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/weight_layout.h"

namespace quarot::kernels::cuda {

namespace {

constexpr int kThreads = 256;

// Element `col` of a row's little-endian bit string.
__device__ uint32_t canonical_code(const uint32_t* row, int64_t col, int bits) {
    const int64_t bit = col * bits;
    const int offset = static_cast<int>(bit % 32);
    const uint32_t* word = row + bit / 32;
    uint32_t value = word[0] >> offset;
    if (offset + bits > 32) value |= word[1] << (32 - offset);
    return value & ((1u << bits) - 1);
}

__device__ int64_t words_per_row(const WeightShape& shape) {
    return (shape.cols * shape.bits + 31) / 32;
}

// One thread makes one word of a unit: four bytes, each of one code or of two nibbles.
__global__ void pack_codes(CanonicalRows from, WeightView to, int64_t n_words) {
    const WeightShape& shape = to.shape;
    const int64_t index = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
    if (index >= n_words) return;
    const int words = shape.unit_bytes() / 4;
    const int64_t unit = index / words;
    const int place = static_cast<int>(index % words);
    const int step = place / 512, lane = place / 4 % 32, warp = place / 128 % 4, j = place % 4;
    const int64_t row = unit / shape.units_per_block() * 64 + 16 * warp + lane / 4 + 8 * (j % 2);
    const int64_t col =
        unit % shape.units_per_block() * 64 + 32 * step + 16 * (j / 2) + 4 * (lane % 4);
    uint32_t word = 0;
    if (row < from.count) {
        const uint32_t* codes = from.packed + row * words_per_row(shape);
        for (int b = 0; b < 4; ++b) {
            uint32_t byte = col + b < shape.cols ? canonical_code(codes, col + b, shape.bits) : 0;
            if (shape.bits <= 4 && col + b + 32 < shape.cols) {
                byte |= canonical_code(codes, col + b + 32, shape.bits) << 4;
            }
            word |= byte << (8 * b);
        }
    }
    const int64_t first_unit = from.first / 64 * shape.units_per_block();
    reinterpret_cast<uint32_t*>(to.codes + first_unit * shape.unit_bytes())[index] = word;
}

// One warp sums one group of one row.
__global__ void pack_groups(CanonicalRows from, WeightView to, int64_t n_rows) {
    const WeightShape& shape = to.shape;
    const int64_t index = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) / 32;
    const int lane = threadIdx.x % 32;
    const int64_t row = index % n_rows, group = index / n_rows;
    if (group >= shape.n_groups()) return;
    const int64_t width = shape.cols / shape.n_groups();
    int32_t sum = 0, zero = 0;
    float scale = 0.0f;
    if (row < from.count) {
        scale = from.scales[row * shape.n_groups() + group];
        zero = from.zeros[row * shape.n_groups() + group];
        const uint32_t* codes = from.packed + row * words_per_row(shape);
        for (int64_t c = lane; c < width; c += 32) {
            sum +=
                static_cast<int32_t>(canonical_code(codes, group * width + c, shape.bits)) - zero;
        }
    }
    sum = __reduce_add_sync(~0u, sum);
    if (lane > 0) return;
    const int64_t to_index = shape.group_index(from.first + row, group);
    to.scales[to_index] = scale;
    to.sums[to_index] = sum;
    to.zeros[to_index] = static_cast<uint8_t>(zero);
}

unsigned blocks_for(int64_t threads) {
    return static_cast<unsigned>(ceil_div(threads, kThreads));
}

}  // namespace

int64_t weight_bytes(const WeightShape& shape) {
    return shape.code_bytes() + (2 * 4 + 1) * shape.n_groups() * shape.padded_rows();
}

WeightView place_weights(void* memory, const WeightShape& shape) {
    auto* bytes = static_cast<uint8_t*>(memory);
    const int64_t numbers = shape.n_groups() * shape.padded_rows();
    auto* scales = reinterpret_cast<float*>(bytes + shape.code_bytes());
    auto* sums = reinterpret_cast<int32_t*>(scales + numbers);
    return {shape, bytes, scales, sums, reinterpret_cast<uint8_t*>(sums + numbers)};
}

void pack_weights(const CanonicalRows& from, const WeightView& to, Stream stream) {
    const WeightShape& shape = to.shape;
    const bool last = from.first + from.count == shape.rows;
    require(from.first % 64 == 0 && (last || from.count % 64 == 0), "pack_weights: ragged rows");
    const int64_t n_words =
        ceil_div(from.count, 64) * shape.units_per_block() * (shape.unit_bytes() / 4);
    launch("pack_codes", pack_codes, {.grid = blocks_for(n_words), .block = kThreads}, stream, from,
           to, n_words);
    const int64_t n_rows = last ? shape.padded_rows() - from.first : from.count;
    launch("pack_groups", pack_groups,
           {.grid = blocks_for(n_rows * shape.n_groups() * 32), .block = kThreads}, stream, from,
           to, n_rows);
}

}  // namespace quarot::kernels::cuda

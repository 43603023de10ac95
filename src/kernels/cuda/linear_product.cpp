#include "kernels/cuda/linear_product.h"

#include <algorithm>
#include <array>
#include <limits>

#include "core/check.h"
#include "core/checked_math.h"
#include "kernels/cuda/linear_kernels.h"

namespace quarot::kernels::cuda {

namespace {

constexpr std::array kKernels = {
    LinearKernel::Streamed,     LinearKernel::Tile32,      LinearKernel::Tile32Split,
    LinearKernel::Tile64,       LinearKernel::Tile64Split, LinearKernel::Tile128,
    LinearKernel::Tile128Split, LinearKernel::Tile256,     LinearKernel::General};

// 255 * 255 * columns stays below 2^31: exact sums of whole rows fit.
constexpr int64_t kMaxColumns = 32768;

bool is_split(LinearKernel kernel) {
    return kernel == LinearKernel::Tile32Split || kernel == LinearKernel::Tile64Split ||
           kernel == LinearKernel::Tile128Split;
}

bool has_whole_rows(const LinearProduct& p) {
    return p.in.n_groups() == 1 && p.weight.shape.n_groups() == 1 && p.in.bases == nullptr &&
           p.in.cols <= kMaxColumns;
}

// The copy engine writes 16-bit outputs in runs of 16 bytes, whole ones even at the end of a row.
bool has_aligned_output(const LinearProduct& p) {
    return p.out_dtype == DType::F32 || (p.out_stride % 8 == 0 && p.weight.shape.rows % 8 == 0 &&
                                         reinterpret_cast<uintptr_t>(p.out) % 16 == 0);
}

struct TileShape {
    LinearKernel kernel;
    int64_t tokens;
    int64_t split;
};
constexpr std::array kTiles = {
    TileShape{LinearKernel::Tile32, 32, 1},        TileShape{LinearKernel::Tile64, 64, 1},
    TileShape{LinearKernel::Tile128, 128, 1},      TileShape{LinearKernel::Tile256, 256, 1},
    TileShape{LinearKernel::Tile32Split, 32, 2},   TileShape{LinearKernel::Tile64Split, 64, 2},
    TileShape{LinearKernel::Tile128Split, 128, 2},
};

// Clocks that a tile kernel takes, from what was measured on an H200 (docs/cuda.md): a stage of 128
// columns takes 4 clocks a token on the tensor cores, and its weights arrive at 1 / 132 of the
// memory's speed; a tile ends with its outputs, and a split one with the exchange of its sums.
double estimated_clocks(const TileShape& tile, const LinearProduct& p, const DeviceInfo& device) {
    const auto n = [](int64_t value) { return static_cast<double>(value); };
    const int64_t tiles = ceil_div(p.weight.shape.rows, 128) * ceil_div(p.in.rows, tile.tokens);
    const int64_t waves = ceil_div(tiles * tile.split, int64_t{device.multiprocessors});
    const double stages = n(ceil_div(p.weight.shape.units_per_block() / 2, tile.split));
    const double share = n(std::min(tiles * tile.split, int64_t{device.multiprocessors})) /
                         n(device.multiprocessors);
    const double memory = tile.tokens <= 64 ? 440.0 * share : 0.0;
    const double stage = std::max(4.2 * n(tile.tokens), memory);
    const double end = 1500.0 + 10.0 * n(tile.tokens) + (tile.split > 1 ? 1200.0 : 0.0);
    return n(waves) * (stages * stage + end);
}

LinearKernel choose_tile(const LinearProduct& p, const DeviceInfo& device) {
    const auto best = std::ranges::min_element(kTiles, {}, [&](const TileShape& tile) {
        const double clocks = estimated_clocks(tile, p, device);
        return can_run(tile.kernel, p, device) ? clocks : std::numeric_limits<double>::infinity();
    });
    return best->kernel;
}

}  // namespace

std::span<const LinearKernel> all_linear_kernels() {
    return kKernels;
}

const char* name_of(LinearKernel kernel) {
    static constexpr std::array kNames = {"streamed",      "tile32",       "tile32-split",
                                          "tile64",        "tile64-split", "tile128",
                                          "tile128-split", "tile256",      "general"};
    return kNames[static_cast<size_t>(kernel)];
}

bool can_run(LinearKernel kernel, const LinearProduct& p, const DeviceInfo& device) {
    if (kernel == LinearKernel::General) return true;
    if (!has_whole_rows(p)) return false;
    if (kernel == LinearKernel::Streamed) return is_streamed(p.in.rows);
    const int64_t stages = p.weight.shape.units_per_block() / 2;
    return device.compute_capability == 90 && !is_streamed(p.in.rows) && p.weight.shape.bits <= 4 &&
           has_aligned_output(p) && stages >= (is_split(kernel) ? 2 : 1);
}

LinearKernel choose_kernel(const LinearProduct& p, const DeviceInfo& device) {
    if (can_run(LinearKernel::Streamed, p, device)) return LinearKernel::Streamed;
    const LinearKernel tile = choose_tile(p, device);
    return can_run(tile, p, device) ? tile : LinearKernel::General;
}

void multiply(const LinearProduct& p, LinearKernel kernel, Stream stream) {
    QUAROT_CHECK(p.in.cols == p.weight.shape.cols && p.out_stride >= p.weight.shape.rows,
                 "{} columns, {} inputs, stride {}", p.in.cols, p.weight.shape.cols, p.out_stride);
    QUAROT_CHECK(p.in.stride >= activation_stride(p.in.cols), "stride {}", p.in.stride);
    QUAROT_CHECK(can_run(kernel, p, current_device()), "{}", name_of(kernel));
    if (p.in.rows == 0) return;
    switch (kernel) {
        case LinearKernel::General:
            return launch_general(p, stream);
        case LinearKernel::Streamed:
            return launch_stream(p, stream);
        default:
            return launch_tile(p, kernel, stream);
    }
}

void multiply(const LinearProduct& p, Stream stream) {
    multiply(p, choose_kernel(p, current_device()), stream);
}

}  // namespace quarot::kernels::cuda

#include "kernels/cuda/linear_product.h"

#include <algorithm>
#include <array>
#include <limits>

#include "core/check.h"
#include "core/checked_math.h"
#include "kernels/cuda/linear_group_pieces.h"
#include "kernels/cuda/linear_kernels.h"

namespace quarot::kernels::cuda {

namespace {

constexpr std::array kKernels = {LinearKernel::StreamedFew,
                                 LinearKernel::Streamed,
                                 LinearKernel::Tile32,
                                 LinearKernel::Tile32Split,
                                 LinearKernel::Tile64,
                                 LinearKernel::Tile64Split,
                                 LinearKernel::Tile128,
                                 LinearKernel::Tile128Split,
                                 LinearKernel::Tile256,
                                 LinearKernel::StreamedGroups,
                                 LinearKernel::Groups128,
                                 LinearKernel::TileGroups,
                                 LinearKernel::StreamedMultiples,
                                 LinearKernel::TileMultiples,
                                 LinearKernel::WarpgroupMultiples,
                                 LinearKernel::General};

// 255 * 255 * columns stays below 2^31: exact sums of whole rows fit.
constexpr int64_t kMaxColumns = 32768;

bool is_split(LinearKernel kernel) {
    return kernel == LinearKernel::Tile32Split || kernel == LinearKernel::Tile64Split ||
           kernel == LinearKernel::Tile128Split;
}

bool has_whole_rows(const LinearProduct& p) {
    return p.in.n_groups() == 1 && p.weight.shape.n_groups() == 1 && p.in.cols <= kMaxColumns;
}

bool has_groups(const LinearProduct& p, int64_t size) {
    return p.weight.shape.group_size == size && p.in.group_size == size && is_symmetric(p) &&
           p.weight.shape.bits <= 4;
}

// Then by no other kernel, which would give other bits.
bool multiplies_multiples(const LinearProduct& p, const DeviceInfo& device) {
    return has_multiples(p) && device.shared_bytes >= kMultipleBytes;
}

bool is_of_multiples(LinearKernel kernel) {
    return kernel == LinearKernel::StreamedMultiples || kernel == LinearKernel::TileMultiples ||
           kernel == LinearKernel::WarpgroupMultiples;
}

// The copy engine writes 16-bit outputs in runs of 16 bytes, whole ones even at the end of a row.
bool has_aligned_output(const LinearProduct& p) {
    return p.out_dtype == DType::F32 || (p.out_stride % 8 == 0 && p.weight.shape.rows % 8 == 0 &&
                                         reinterpret_cast<uintptr_t>(p.out) % 16 == 0);
}

bool can_run_multiples(LinearKernel kernel, const LinearProduct& p, const DeviceInfo& device) {
    if (is_streamed(p.in.rows)) return kernel == LinearKernel::StreamedMultiples;
    if (kernel == LinearKernel::TileMultiples) return true;
    return kernel == LinearKernel::WarpgroupMultiples && device.compute_capability == 90 &&
           has_aligned_output(p);
}

// WarpgroupMultiples leaves multiprocessors without work up to so many tokens.
constexpr int64_t kFewForWarpgroups = 64;

// Clocks of a tile kernel on an H200 (docs/cuda.md).
struct TileCost {
    LinearKernel kernel;
    int64_t tokens;
    int64_t split;
    double stage;  // of 128 columns
    double end;    // outputs; of a split tile the exchange of its sums too
};
constexpr std::array kTiles = {
    TileCost{LinearKernel::Tile32, 32, 1, 350, 1300},
    TileCost{LinearKernel::Tile64, 64, 1, 420, 1600},
    TileCost{LinearKernel::Tile128, 128, 1, 540, 2300},
    TileCost{LinearKernel::Tile256, 256, 1, 1050, 3600},
    TileCost{LinearKernel::Tile32Split, 32, 2, 350, 4300},
    TileCost{LinearKernel::Tile64Split, 64, 2, 420, 5100},
    TileCost{LinearKernel::Tile128Split, 128, 2, 540, 6700},
};

double estimated_clocks(const TileCost& tile, std::span<const LinearProduct> products,
                        const DeviceInfo& device) {
    const LinearProduct& first = products.front();
    int64_t row_tiles = 0;
    for (const LinearProduct& p : products) row_tiles += ceil_div(p.weight.shape.rows, 128);
    const int64_t tiles = row_tiles * ceil_div(first.in.rows, tile.tokens);
    const int64_t waves = ceil_div(tiles * tile.split, int64_t{device.multiprocessors});
    const int64_t stages = ceil_div(first.weight.shape.units_per_block() / 2, tile.split);
    return static_cast<double>(waves) * (static_cast<double>(stages) * tile.stage + tile.end);
}

bool can_run(LinearKernel kernel, std::span<const LinearProduct> products,
             const DeviceInfo& device) {
    return std::ranges::all_of(products,
                               [&](const LinearProduct& p) { return can_run(kernel, p, device); });
}

LinearKernel choose_tile(std::span<const LinearProduct> products, const DeviceInfo& device) {
    const auto best = std::ranges::min_element(kTiles, {}, [&](const TileCost& tile) {
        const double clocks = estimated_clocks(tile, products, device);
        return can_run(tile.kernel, products, device) ? clocks
                                                      : std::numeric_limits<double>::infinity();
    });
    return best->kernel;
}

// The kernel that runs all of them, General if no other does.
LinearKernel choose_kernel(std::span<const LinearProduct> products, const DeviceInfo& device) {
    const bool few = products.front().in.rows <= kFewForWarpgroups;
    for (const LinearKernel kernel :
         {LinearKernel::StreamedMultiples, LinearKernel::WarpgroupMultiples,
          LinearKernel::TileMultiples, LinearKernel::StreamedFew, LinearKernel::Streamed,
          LinearKernel::StreamedGroups, LinearKernel::Groups128, LinearKernel::TileGroups}) {
        if (few && kernel == LinearKernel::WarpgroupMultiples) continue;
        if (can_run(kernel, products, device)) return kernel;
    }
    const LinearKernel tile = choose_tile(products, device);
    return can_run(tile, products, device) ? tile : LinearKernel::General;
}

// One launch takes them. Kernels of groups ask once for all rows whether there are zero points.
bool go_together(std::span<const LinearProduct> products) {
    const WeightShape& first = products.front().weight.shape;
    const bool whole_rows = first.group_size == 0 && products.front().in.group_size == 0;
    return std::ssize(products) <= kMostTogether &&
           std::ranges::all_of(products, [&](const LinearProduct& p) {
               const WeightShape& shape = p.weight.shape;
               return (shape.bits > 4) == (first.bits > 4) &&
                      shape.group_size == first.group_size &&
                      (whole_rows || shape.symmetric == first.symmetric);
           });
}

void launch_all(std::span<const LinearProduct> products, LinearKernel kernel, Stream stream) {
    switch (kernel) {
        case LinearKernel::General:
            for (const LinearProduct& p : products) launch_general(p, stream);
            return;
        case LinearKernel::StreamedFew:
            return launch_few(products, stream);
        case LinearKernel::Streamed:
            return launch_stream(products, stream);
        case LinearKernel::StreamedGroups:
            return launch_group_stream(products, stream);
        case LinearKernel::TileGroups:
            for (const LinearProduct& p : products) launch_group_tile(p, stream);
            return;
        case LinearKernel::StreamedMultiples:
            return launch_multiple_stream(products, stream);
        case LinearKernel::TileMultiples:
            for (const LinearProduct& p : products) launch_multiple_tile(p, stream);
            return;
        case LinearKernel::WarpgroupMultiples:
            return launch_multiples_sm90(products, stream);
        case LinearKernel::Groups128:
            for (const LinearProduct& p : products) launch_groups(p, stream);
            return;
        default:
            launch_tile(products, kernel, stream);
    }
}

void check_shapes(const LinearProduct& p) {
    QUAROT_CHECK(p.in.cols == p.weight.shape.cols && p.out_stride >= p.weight.shape.rows,
                 "{} columns, {} inputs, stride {}", p.in.cols, p.weight.shape.cols, p.out_stride);
    QUAROT_CHECK(p.in.stride >= activation_stride(p.in.cols), "stride {}", p.in.stride);
}

}  // namespace

std::span<const LinearKernel> all_linear_kernels() {
    return kKernels;
}

const char* name_of(LinearKernel kernel) {
    static constexpr std::array kNames = {"streamed-few",
                                          "streamed",
                                          "tile32",
                                          "tile32-split",
                                          "tile64",
                                          "tile64-split",
                                          "tile128",
                                          "tile128-split",
                                          "tile256",
                                          "streamed-groups",
                                          "groups128",
                                          "tile-groups",
                                          "streamed-multiples",
                                          "tile-multiples",
                                          "warpgroup-multiples",
                                          "general"};
    return kNames[static_cast<size_t>(kernel)];
}

bool can_run(LinearKernel kernel, const LinearProduct& p, const DeviceInfo& device) {
    if (multiplies_multiples(p, device)) return can_run_multiples(kernel, p, device);
    if (is_of_multiples(kernel)) return false;
    if (kernel == LinearKernel::General) return true;
    if (kernel == LinearKernel::StreamedGroups) return takes_group_stream(p, device);
    if (kernel == LinearKernel::TileGroups) return takes_group_tile(p, device);
    if (kernel == LinearKernel::Groups128) {
        return device.compute_capability == 90 && !is_streamed(p.in.rows) && has_groups(p, 128) &&
               has_aligned_output(p);
    }
    if (!has_whole_rows(p)) return false;
    if (kernel == LinearKernel::StreamedFew) return takes_few(p, device);
    if (kernel == LinearKernel::Streamed) return is_streamed(p.in.rows);
    if (device.compute_capability != 90 || is_streamed(p.in.rows) || !has_aligned_output(p)) {
        return false;
    }
    if (p.weight.shape.bits > 4) return kernel == LinearKernel::Tile128;
    if (kernel == LinearKernel::Tile256) return is_symmetric(p);
    return !is_split(kernel) || p.weight.shape.units_per_block() >= 4;
}

bool is_symmetric(const LinearProduct& p) {
    return p.weight.shape.symmetric && p.in.offsets == nullptr && p.in.bases == nullptr;
}

LinearKernel choose_kernel(const LinearProduct& p, const DeviceInfo& device) {
    return choose_kernel({&p, 1}, device);
}

void multiply(const LinearProduct& p, LinearKernel kernel, Stream stream) {
    check_shapes(p);
    QUAROT_CHECK(can_run(kernel, p, current_device()), "{}", name_of(kernel));
    if (p.in.rows > 0) launch_all({&p, 1}, kernel, stream);
}

void multiply(std::span<const LinearProduct> products, Stream stream) {
    for (const LinearProduct& p : products) check_shapes(p);
    if (products.front().in.rows == 0) return;
    const LinearKernel kernel =
        go_together(products) ? choose_kernel(products, current_device()) : LinearKernel::General;
    if (kernel != LinearKernel::General || products.size() == 1) {
        return launch_all(products, kernel, stream);
    }
    for (const LinearProduct& p : products) multiply({&p, 1}, stream);
}

}  // namespace quarot::kernels::cuda

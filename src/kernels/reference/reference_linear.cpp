#include "kernels/reference/reference_linear.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <span>
#include <vector>

#include "core/check.h"
#include "kernels/reference/reference_weights.h"

namespace quarot::kernels {

namespace {

// A task is kOutTile rows of W times kRowTile rows of activations.
constexpr int64_t kOutTile = 64;
constexpr int64_t kRowTile = 32;
// Differences of codes and zero points are below 32256 for activations and 255 for weights in
// magnitude, so this many products always fit int32.
constexpr int64_t kExactRun = 256;
// Outputs whose double sums run side by side.
constexpr int64_t kLanes = 16;

int32_t short_dot(const int16_t* a, const int16_t* b, int64_t n) {
    int32_t sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += static_cast<int32_t>(a[i]) * static_cast<int32_t>(b[i]);
    return sum;
}

int64_t exact_dot(const int16_t* a, const int16_t* b, int64_t n) {
    int64_t sum = 0;
    for (int64_t i = 0; i < n; i += kExactRun) {
        sum += short_dot(a + i, b + i, std::min(kExactRun, n - i));
    }
    return sum;
}

int64_t group_size_of(const QuantizedRows& rows) {
    return rows.format.group_size == 0 ? rows.cols : rows.format.group_size;
}

// code - offset of one row.
void row_integers(const QuantizedRows& rows, int64_t row, int16_t* out) {
    const int64_t group_size = group_size_of(rows);
    const int8_t* codes = rows.row_codes(row);
    for (int64_t g = 0; g < rows.n_groups(); ++g) {
        const int32_t offset =
            rows.offsets == nullptr ? 0 : rows.offsets[row * rows.n_groups() + g];
        for (int64_t c = g * group_size; c < (g + 1) * group_size; ++c) {
            out[c] = static_cast<int16_t>(codes[c] - offset);
        }
    }
}

int64_t exact_sum(const int16_t* w, int64_t n) {
    return std::accumulate(w, w + n, int64_t{0});
}

// Sums end at every border of a group of either side.
float quantized_dot(const QuantizedRows& in, int64_t row, const int16_t* a,
                    const IntegerLinear& weight, int64_t out) {
    const int64_t a_group = group_size_of(in), w_group = weight.group_size();
    const int16_t* w = weight.integers(out);
    float y = 0.0f;
    for (int64_t start = 0; start < in.cols;) {
        const int64_t ga = start / a_group, gw = start / w_group;
        const int64_t end = std::min((ga + 1) * a_group, (gw + 1) * w_group);
        const int64_t sum = exact_dot(a + start, w + start, end - start);
        const float scale_a = in.scales[row * in.n_groups() + ga], scale_w = weight.scale(out, gw);
        float part = (static_cast<float>(sum) * scale_w) * scale_a;
        if (in.bases != nullptr) {
            const int64_t w_sum = exact_sum(w + start, end - start);
            part += (static_cast<float>(w_sum) * scale_w) * in.bases[row * in.n_groups() + ga];
        }
        y += part;
        start = end;
    }
    return y;
}

void store(const LinearArgs& args, const ReferenceLinear& weight, int64_t row, int64_t out,
           float product) {
    float& to = args.out.f32(row)[out];
    const float y = product + weight.bias(out);
    to = args.accumulate ? to + y : y;
}

// One tile of a product.
struct Tile {
    int64_t first_row, n_rows, first_out, n_outs;
};

void multiply_integers(const LinearArgs& args, const QuantizedRows& in, const IntegerLinear& weight,
                       const Tile& tile) {
    std::vector<int16_t> a(static_cast<size_t>(tile.n_rows * in.cols));
    for (int64_t r = 0; r < tile.n_rows; ++r) {
        row_integers(in, tile.first_row + r, a.data() + r * in.cols);
    }
    for (int64_t out = tile.first_out; out < tile.first_out + tile.n_outs; ++out) {
        for (int64_t r = 0; r < tile.n_rows; ++r) {
            const int64_t row = tile.first_row + r;
            const float y = quantized_dot(in, row, a.data() + r * in.cols, weight, out);
            store(args, weight, row, out, y);
        }
    }
}

void row_values(const Operand& in, int64_t row, std::span<float> out) {
    if (const auto* floats = std::get_if<Rows>(&in.rows)) {
        std::copy_n(floats->f32(row), out.size(), out.begin());
        return;
    }
    const auto& quantized = std::get<QuantizedRows>(in.rows);
    std::vector<int16_t> integers(out.size());
    row_integers(quantized, row, integers.data());
    const float* scales = quantized.scales + row * quantized.n_groups();
    const int64_t group_size = group_size_of(quantized);
    const float* bases =
        quantized.bases == nullptr ? nullptr : quantized.bases + row * quantized.n_groups();
    for (size_t c = 0; c < out.size(); ++c) {
        const int64_t g = static_cast<int64_t>(c) / group_size;
        out[c] = scales[g] * static_cast<float>(integers[c]);
        if (bases != nullptr) out[c] += bases[g];
    }
}

// kLanes rows of W side by side, wide[in, kLanes]; missing rows are zeros.
void widen_lanes(const ReferenceLinear& weight, int64_t first, int64_t count,
                 std::vector<double>& wide) {
    std::vector<float> row(static_cast<size_t>(weight.in_features()));
    std::fill(wide.begin(), wide.end(), 0.0);
    for (int64_t lane = 0; lane < count; ++lane) {
        weight.values(first + lane, row);
        for (size_t k = 0; k < row.size(); ++k) {
            wide[k * kLanes + static_cast<size_t>(lane)] = row[k];
        }
    }
}

// Sums in order of k.
std::array<double, kLanes> dot_lanes(const float* x, const std::vector<double>& wide, size_t n) {
    std::array<double, kLanes> sums{};
    for (size_t k = 0; k < n; ++k) {
        const double value = x[k];
        const double* w = wide.data() + k * kLanes;
        for (size_t lane = 0; lane < kLanes; ++lane) sums[lane] += value * w[lane];
    }
    return sums;
}

void multiply_floats(const LinearArgs& args, const ReferenceLinear& weight, const Tile& tile) {
    const auto n = static_cast<size_t>(weight.in_features());
    std::vector<float> x(static_cast<size_t>(tile.n_rows) * n);
    for (int64_t r = 0; r < tile.n_rows; ++r) {
        row_values(args.in, tile.first_row + r,
                   std::span(x).subspan(static_cast<size_t>(r) * n, n));
    }
    std::vector<double> wide(n * kLanes);
    for (int64_t out = 0; out < tile.n_outs; out += kLanes) {
        const int64_t lanes = std::min(kLanes, tile.n_outs - out);
        widen_lanes(weight, tile.first_out + out, lanes, wide);
        for (int64_t r = 0; r < tile.n_rows; ++r) {
            const auto sums = dot_lanes(x.data() + static_cast<size_t>(r) * n, wide, n);
            for (int64_t lane = 0; lane < lanes; ++lane) {
                store(args, weight, tile.first_row + r, tile.first_out + out + lane,
                      static_cast<float>(sums[static_cast<size_t>(lane)]));
            }
        }
    }
}

int64_t columns_of(const Operand& in) {
    return std::visit([](const auto& rows) { return rows.cols; }, in.rows);
}

}  // namespace

void reference_linear(ThreadPool& pool, const LinearArgs& args) {
    const auto& weight = static_cast<const ReferenceLinear&>(args.weight);
    const int64_t rows = args.in.n_rows(), outs = weight.out_features();
    QUAROT_CHECK(columns_of(args.in) == weight.in_features(), "{} columns, {} inputs",
                 columns_of(args.in), weight.in_features());
    QUAROT_CHECK(args.out.rows == rows && args.out.cols == outs && args.out.dtype == DType::F32);
    const auto* integers = dynamic_cast<const IntegerLinear*>(&weight);
    const auto* codes = std::get_if<QuantizedRows>(&args.in.rows);
    const int64_t out_tiles = ceil_div(outs, kOutTile);
    pool.parallel_for(out_tiles * ceil_div(rows, kRowTile), [&](int64_t task, int) {
        const int64_t row = task / out_tiles * kRowTile, out = task % out_tiles * kOutTile;
        const Tile tile{row, std::min(kRowTile, rows - row), out, std::min(kOutTile, outs - out)};
        if (integers != nullptr && codes != nullptr) {
            multiply_integers(args, *codes, *integers, tile);
        } else {
            multiply_floats(args, weight, tile);
        }
    });
}

}  // namespace quarot::kernels

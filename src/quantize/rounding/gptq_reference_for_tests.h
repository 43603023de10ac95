// GPTQ as its paper first derives it, for comparison: the inverse Hessian written out, one column
// at a time, a rounded column eliminated from the inverse. No blocks, no Cholesky factor.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <random>
#include <span>
#include <utility>
#include <vector>

#include "quantize/rounding/clip_search.h"
#include "quantize/rounding/quantizer.h"
#include "tensor/dtype.h"

namespace quarot::quantize {

using Matrix = std::vector<std::vector<double>>;

struct ReferenceResult {
    std::vector<std::vector<int>> codes;     // [rows][n_codes], as stored
    std::vector<std::vector<float>> values;  // [rows][n_cols], dequantized, then the rest
};

// values: [n, n] of the mean, given to the backend as the sums of three tokens.
inline Hessian hessian_of(std::span<const double> values, int64_t n, kernels::Backend& backend) {
    std::vector<double> sums(values.begin(), values.end());
    for (double& sum : sums) sum *= 3.0;
    const int64_t bytes = n * n * static_cast<int64_t>(sizeof(double));
    kernels::Buffer memory = backend.allocate(bytes);
    backend.upload(memory.data(), sums.data(), bytes);
    return {std::move(memory), n, 3, backend};
}

// Inputs that share a few strong directions, heavier in some columns: mean of x x^T.
inline std::vector<double> correlated_hessian(int64_t n, uint32_t seed, int64_t n_tokens = 0) {
    if (n_tokens == 0) n_tokens = 2 * n;
    std::mt19937 engine(seed);
    std::normal_distribution<double> normal;
    const int64_t rank = std::max<int64_t>(1, n / 16);
    std::vector<double> directions(rank * n), strength(n), x(n), hessian(n * n, 0.0);
    for (double& d : directions) d = normal(engine);
    for (double& s : strength) s = std::exp(0.5 * normal(engine));
    for (int64_t token = 0; token < n_tokens; ++token) {
        for (double& value : x) value = normal(engine);
        for (int64_t k = 0; k < rank; ++k) {
            const double share = normal(engine);
            for (int64_t i = 0; i < n; ++i) x[i] += share * directions[k * n + i];
        }
        for (int64_t i = 0; i < n; ++i) x[i] *= strength[i];
        for (int64_t i = 0; i < n; ++i) {
            const double xi = x[i] / static_cast<double>(n_tokens);
            for (int64_t j = 0; j < n; ++j) hessian[i * n + j] += xi * x[j];
        }
    }
    for (int64_t i = 0; i < n; ++i) {
        for (int64_t j = 0; j < i; ++j) hessian[i * n + j] = hessian[j * n + i];
    }
    return hessian;
}

inline std::vector<float> random_weights(int64_t count, uint32_t seed) {
    std::mt19937 engine(seed);
    std::student_t_distribution<float> heavy_tails(5.0f);
    std::vector<float> weights(count);
    for (float& w : weights) w = 0.02f * heavy_tails(engine);
    return weights;
}

// By Gauss and Jordan without pivoting, which positive definite matrices do not need.
inline Matrix inverse_of(Matrix a) {
    const size_t n = a.size();
    Matrix inverse(n, std::vector<double>(n, 0.0));
    for (size_t i = 0; i < n; ++i) inverse[i][i] = 1.0;
    for (size_t k = 0; k < n; ++k) {
        const double pivot = a[k][k];
        for (size_t j = 0; j < n; ++j) {
            a[k][j] /= pivot;
            inverse[k][j] /= pivot;
        }
        for (size_t i = 0; i < n; ++i) {
            const double factor = a[i][k];
            if (i == k || factor == 0.0) continue;
            for (size_t j = k; j < n; ++j) a[i][j] -= factor * a[k][j];
            for (size_t j = 0; j <= k; ++j) inverse[i][j] -= factor * inverse[k][j];
        }
    }
    return inverse;
}

class ReferenceGptq {
  public:
    ReferenceGptq(const WeightInputs& inputs, const WeightFormat& format)
        : n_(inputs.n_cols), n_codes_(inputs.n_codes), damp_(format.damp), dead_(n_) {
        Matrix h(n_, std::vector<double>(n_));
        for (int64_t i = 0; i < n_; ++i) {
            for (int64_t j = 0; j < n_; ++j) h[i][j] = inputs.hessian[i * n_ + j];
            diagonal_.push_back(h[i][i]);
            dead_[i] = h[i][i] == 0.0;
            if (dead_[i]) h[i][i] = 1.0;
        }
        order_.resize(n_);
        std::iota(order_.begin(), order_.end(), int64_t{0});
        if (format.act_order) {
            // By insertion, so that equal columns keep their order.
            for (int64_t i = 1; i < n_codes_; ++i) {
                for (int64_t k = i; k > 0; --k) {
                    if (h[order_[k]][order_[k]] <= h[order_[k - 1]][order_[k - 1]]) break;
                    std::swap(order_[k], order_[k - 1]);
                }
            }
        }
        double mean = 0.0;
        const auto n_live = static_cast<double>(std::count(dead_.begin(), dead_.end(), false));
        for (int64_t i = 0; i < n_; ++i) mean += dead_[i] ? 0.0 : h[i][i] / n_live;
        Matrix sorted(n_, std::vector<double>(n_));
        for (int64_t i = 0; i < n_; ++i) {
            for (int64_t j = 0; j < n_; ++j) sorted[i][j] = h[order_[i]][order_[j]];
            sorted[i][i] += damp_ * mean;
        }
        eliminate(inverse_of(std::move(sorted)));
    }

    // The factor may serve formats that differ in bits, symmetry, groups and group scales.
    ReferenceResult quantize(const WeightMatrix& rows, const WeightFormat& format) const {
        ReferenceResult result;
        for (int64_t r = 0; r < rows.rows; ++r) {
            const auto row = rows.values.subspan(r * n_, n_);
            quantize_row({row.begin(), row.end()}, format, result);
        }
        return result;
    }

  private:
    // moves_[i][j]: how far column j > i moves for an error of 1 in column i.
    void eliminate(Matrix inverse) {
        moves_.assign(n_, std::vector<double>(n_, 0.0));
        for (int64_t i = 0; i < n_codes_; ++i) {
            for (int64_t j = i + 1; j < n_; ++j) moves_[i][j] = inverse[i][j] / inverse[i][i];
            for (int64_t k = i + 1; k < n_; ++k) {
                for (int64_t j = i + 1; j < n_; ++j) inverse[k][j] -= inverse[k][i] * moves_[i][j];
            }
        }
    }

    void quantize_row(const std::vector<float>& row, const WeightFormat& format,
                      ReferenceResult& result) const {
        const GridFormat wanted{.bits = format.bits,
                                .symmetric = format.symmetric,
                                .clip_search = format.clip_search,
                                .scale = format.group_size == 0 ? DType::F32 : DType::F16};
        const int64_t width = format.group_size == 0 ? n_codes_ : format.group_size;
        std::vector<Grid> grids;
        const auto weighted = [&](int64_t column) -> std::span<const double> {
            if (format.scale_search == ScaleSearch::Power) return {};
            return {diagonal_.data() + column, static_cast<size_t>(width)};
        };
        for (int64_t g = 0; g < n_codes_; g += width) {
            const std::span group(row.data() + g, static_cast<size_t>(width));
            grids.push_back(choose_grid(group, wanted, weighted(g)));
        }
        std::vector<double> w(n_);
        for (int64_t i = 0; i < n_; ++i) {
            w[i] = dead_[order_[i]] && i < n_codes_ ? 0.0 : static_cast<double>(row[order_[i]]);
        }
        const bool follow = format.group_size != 0 && !format.act_order;
        const bool block_start = format.group_scales == GroupScales::BlockStart;
        std::vector<int> codes(n_codes_);
        std::vector<float> values(n_);
        std::vector<double> at_block_start;
        for (int64_t i = 0; i < n_codes_; ++i) {
            if (i % 128 == 0) at_block_start = w;
            if (follow && i % width == 0) {
                const std::vector<double>& source = block_start ? at_block_start : w;
                const std::vector<float> group(source.begin() + i, source.begin() + i + width);
                grids[i / width] = choose_grid(group, wanted, weighted(i));
            }
            const int64_t column = order_[i];
            const Grid& grid = grids[column / width];
            const double scale = grid.scale;
            const double q = std::clamp(std::nearbyint(w[i] / scale), static_cast<double>(grid.low),
                                        static_cast<double>(grid.high));
            codes[column] = static_cast<int>(q - static_cast<double>(grid.low));
            values[column] = static_cast<float>(scale * q);
            for (int64_t j = i + 1; j < n_; ++j) w[j] -= (w[i] - scale * q) * moves_[i][j];
        }
        for (int64_t i = n_codes_; i < n_; ++i) values[i] = static_cast<float>(w[i]);
        result.codes.push_back(std::move(codes));
        result.values.push_back(std::move(values));
    }

    int64_t n_, n_codes_;
    double damp_;
    std::vector<bool> dead_;
    std::vector<double> diagonal_;  // of H by column
    std::vector<int64_t> order_;
    Matrix moves_;
};

// tr((W - Q) H (W - Q)^T), Q as `values` has it.
inline double weighted_error(const WeightMatrix& w, const std::vector<std::vector<float>>& values,
                             std::span<const double> hessian) {
    double sum = 0.0;
    std::vector<double> d(w.cols);
    for (int64_t r = 0; r < w.rows; ++r) {
        for (int64_t i = 0; i < w.cols; ++i) {
            d[i] =
                static_cast<double>(w.values[r * w.cols + i]) - static_cast<double>(values[r][i]);
        }
        for (int64_t i = 0; i < w.cols; ++i) {
            for (int64_t j = 0; j < w.cols; ++j) sum += d[i] * hessian[i * w.cols + j] * d[j];
        }
    }
    return sum;
}

}  // namespace quarot::quantize

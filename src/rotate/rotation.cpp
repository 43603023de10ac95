#include "rotate/rotation.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "core/check.h"
#include "core/error.h"
#include "core/setting.h"
#include "linalg/blas.h"
#include "linalg/orthogonal.h"

namespace quarot::rotate {
namespace {

using model::Basis;
using model::ModelConfig;

bool mixes(const std::optional<linalg::Mixer>& mixer) {
    return mixer && mixer->kind != linalg::MixerKind::Identity;
}

// x <- (I (x) T (x) I_inner) x: the mixer on every run of n * inner consecutive elements.
void apply_to_runs(const std::optional<linalg::Mixer>& mixer, std::span<double> x, int64_t inner) {
    if (!mixes(mixer)) return;
    const int64_t run = mixer->n * inner;
    const auto size = static_cast<int64_t>(x.size());
    QUAROT_CHECK(size % run == 0, "{} elements, runs of {}", size, run);
    for (int64_t start = 0; start < size; start += run) {
        linalg::apply_strided(*mixer, x.subspan(start, run), inner);
    }
}

void apply_signs(std::span<const double> signs, std::span<double> x, int64_t inner) {
    if (signs.empty()) return;
    QUAROT_CHECK(x.size() == signs.size() * inner, "{} elements, {} signs", x.size(), signs.size());
    for (size_t i = 0; i < signs.size(); ++i) {
        for (double& value : x.subspan(i * inner, inner)) value *= signs[i];
    }
}

// Rows of w [n_rows, order] times T^T, in tiles of one shape, so that no row's bits depend on how
// many follow it.
void multiply_rows_by_dense(const Rotation& rotation, std::span<double> w) {
    const int64_t order = rotation.residual_order;
    const int64_t tile = kRotationRows * order;
    const auto size = static_cast<int64_t>(w.size());
    std::vector<double> in(tile);
    std::vector<double> out(tile);
    for (int64_t start = 0; start < size; start += tile) {
        const int64_t count = std::min(tile, size - start);
        std::copy_n(&w[start], count, in.begin());
        std::fill(in.begin() + count, in.end(), 0.0);
        linalg::multiply(false, true, kRotationRows, order, order, in.data(),
                         rotation.residual_dense.data(), out.data());
        std::copy_n(out.begin(), count, &w[start]);
    }
}

// T times every block of `order` rows of w [hidden, n_cols].
void multiply_dense_by_columns(const Rotation& rotation, std::span<double> w, int64_t n_cols) {
    const int64_t order = rotation.residual_order;
    const int64_t block = order * n_cols;
    std::vector<double> out(block);
    for (int64_t start = 0; start < static_cast<int64_t>(w.size()); start += block) {
        linalg::multiply(false, false, order, n_cols, order, rotation.residual_dense.data(),
                         &w[start], out.data());
        std::copy(out.begin(), out.end(), &w[start]);
    }
}

// x <- (T (x) I_inner) x of each head of V, or of the query heads that read it.
void apply_to_heads(const Rotation& rotation, int64_t layer, const ModelConfig& config,
                    std::span<double> x, int64_t inner) {
    if (!rotation.aligned_values) return apply_to_runs(rotation.head_dim, x, inner);
    const auto at = static_cast<size_t>(layer);
    QUAROT_CHECK(at < rotation.value_heads.size(), "R2 is found on a text before it is applied");
    const std::vector<double>& matrices = rotation.value_heads[at];
    const int64_t d = config.head_dim, run = d * inner;
    const int64_t n_heads = std::ssize(x) / run;
    QUAROT_CHECK(n_heads == config.n_heads || n_heads == config.n_kv_heads, "{} heads", n_heads);
    const int64_t n_sharing = n_heads / config.n_kv_heads;
    std::vector<double> out(static_cast<size_t>(run));
    for (int64_t head = 0; head < n_heads; ++head) {
        double* values = x.data() + head * run;
        linalg::multiply(false, false, d, inner, d, &matrices[head / n_sharing * d * d], values,
                         out.data());
        std::copy(out.begin(), out.end(), values);
    }
}

// x <- (T (x) I_inner) x, T the basis change of one vector; a dense R1 stands apart.
void apply_structured(const Rotation& rotation, Space space, const ModelConfig& config,
                      std::span<double> x, int64_t inner) {
    switch (space.basis) {
        case Basis::Plain:
            return;
        case Basis::Residual:
            apply_signs(rotation.signs, x, inner);
            apply_to_runs(rotation.residual, x, inner);
            return;
        case Basis::ValueHeads:
            apply_to_heads(rotation, space.layer, config, x, inner);
            return;
        case Basis::MixedHeads:
            apply_to_heads(rotation, space.layer, config, x, inner);
            apply_to_runs(rotation.online.head_mix, x, config.head_dim * inner);
            return;
        case Basis::Ffn:
            apply_to_runs(rotation.online.ffn, x, inner);
            return;
        case Basis::ExpertFfn:
            apply_to_runs(rotation.online.expert_ffn, x, inner);
            return;
    }
}

bool is_dense(const Rotation& rotation, Basis basis) {
    const bool found =
        rotation.residual_kind != ResidualRotation::Aligned || !rotation.residual_dense.empty();
    QUAROT_CHECK(found || basis != Basis::Residual, "R1 is found on a text before it is applied");
    return basis == Basis::Residual && !rotation.residual_dense.empty();
}

void transpose(std::vector<double>& matrix, int64_t order) {
    for (int64_t row = 0; row < order; ++row) {
        for (int64_t column = 0; column < row; ++column) {
            std::swap(matrix[row * order + column], matrix[column * order + row]);
        }
    }
}

// Q that rotates the residual stream as a whole matrix.
std::vector<double> dense_residual(const RotationSpec& spec, int64_t order,
                                   std::vector<double> residual) {
    if (spec.residual == ResidualRotation::Random) {
        return linalg::random_orthogonal(order, spec.seed);
    }
    if (spec.residual == ResidualRotation::Aligned && residual.empty()) return residual;
    if (std::ssize(residual) != order * order) {
        fail(ErrorCode::Usage,
             "residual rotation: R1 is a matrix from a file, of which {} elements are given, "
             "expected {} x {}",
             residual.size(), order, order);
    }
    return residual;
}

int64_t residual_order(const RotationSpec& spec, const ModelConfig& config) {
    if (spec.residual_block == 0) return config.hidden;
    if (spec.residual_block < 0 || config.hidden % spec.residual_block != 0) {
        fail(ErrorCode::Usage,
             "residual rotation: the block size is {}, expected a divisor of the model's hidden "
             "size {}",
             spec.residual_block, config.hidden);
    }
    return spec.residual_block;
}

// A whole matrix is folded or nothing.
void refuse_dense_online(const RotationSpec& spec, const ModelConfig& config) {
    if (!spec.has_dense_residual() || !config.norms_outputs()) return;
    fail(ErrorCode::Unsupported,
         "residual rotation: {} has norms between its linears and the residual stream, so R1 runs "
         "at the inputs of each layer, which only a Hadamard R1 does",
         config.architecture);
}

// A scale of up passes through a product with a gate, and through nothing else.
void refuse_balance(const RotationSpec& spec, const ModelConfig& config) {
    if (spec.up_balance == 0.0 || (config.gated && !config.has_mixtures())) return;
    fail(ErrorCode::Unsupported,
         "{} {} scales what up gives before a gate multiplies it, and {} has {}",
         Setting{"rotation.up_balance"}, spec.up_balance, config.architecture,
         config.gated ? "mixtures of experts" : "no gate");
}

}  // namespace

Rotation make_rotation(const RotationSpec& spec, const ModelConfig& config,
                       std::vector<double> residual) {
    if (spec.residual != ResidualRotation::None && !spec.fold_norms) {
        fail(ErrorCode::Usage,
             "residual rotation: the norm gains are kept apart, but they must be folded into the "
             "weights before the residual stream is rotated");
    }
    refuse_dense_online(spec, config);
    refuse_balance(spec, config);
    Rotation rotation;
    rotation.residual_kind = spec.residual;
    rotation.residual_order = residual_order(spec, config);
    const int64_t order = rotation.residual_order;
    if (spec.residual == ResidualRotation::Hadamard && config.norms_outputs()) {
        rotation.residual = model::residual_mixer(spec, config);
    } else if (spec.residual == ResidualRotation::Hadamard) {
        rotation.signs = linalg::random_signs(config.hidden, spec.seed);
        rotation.residual = model::residual_mixer(spec, config);
    } else if (spec.has_dense_residual()) {
        set_residual(rotation, dense_residual(spec, order, std::move(residual)));
    }
    rotation.aligned_values = spec.aligned_values;
    rotation.balances_up = spec.up_balance > 0.0;
    if (spec.value_heads && !spec.aligned_values) {
        rotation.head_dim = linalg::make_mixer(config.head_dim);
    }
    rotation.online = model::make_online_transforms(spec, config);
    return rotation;
}

void set_residual(Rotation& rotation, std::vector<double> q) {
    rotation.residual_dense = std::move(q);
    if (!rotation.residual_dense.empty()) {
        transpose(rotation.residual_dense, rotation.residual_order);
    }
}

void add_value_heads(Rotation& rotation, std::vector<std::vector<double>> q) {
    std::vector<double>& all = rotation.value_heads.emplace_back();
    for (std::vector<double>& head : q) {
        transpose(head, std::llround(std::sqrt(static_cast<double>(head.size()))));
        all.insert(all.end(), head.begin(), head.end());
    }
}

bool changes(const Rotation& rotation, Basis basis) {
    switch (basis) {
        case Basis::Plain:
            return false;
        case Basis::Residual:
            return rotation.residual_kind != ResidualRotation::None;
        case Basis::ValueHeads:
            return rotation.aligned_values || mixes(rotation.head_dim);
        case Basis::MixedHeads:
            return rotation.aligned_values || mixes(rotation.head_dim) ||
                   mixes(rotation.online.head_mix);
        case Basis::Ffn:
            return mixes(rotation.online.ffn);
        case Basis::ExpertFfn:
            return mixes(rotation.online.expert_ffn);
    }
    return false;
}

void rotate_input(const Rotation& rotation, Space space, const ModelConfig& config,
                  std::span<const double> gain, std::span<double> w, int64_t n_rows) {
    if (n_rows == 0) return;
    QUAROT_CHECK(w.size() % n_rows == 0, "{} elements, {} rows", w.size(), n_rows);
    const size_t cols = w.size() / n_rows;
    QUAROT_CHECK(gain.empty() || gain.size() == cols, "{} gains, {} columns", gain.size(), cols);
    for (size_t start = 0; start < w.size() && !gain.empty(); start += cols) {
        for (size_t c = 0; c < cols; ++c) w[start + c] *= gain[c];
    }
    if (!changes(rotation, space.basis)) return;
    if (is_dense(rotation, space.basis)) return multiply_rows_by_dense(rotation, w);
    for (size_t start = 0; start < w.size(); start += cols) {
        apply_structured(rotation, space, config, w.subspan(start, cols), 1);
    }
}

void centre_rows(std::span<double> w, int64_t n_rows) {
    if (n_rows == 0) return;
    const size_t cols = w.size() / static_cast<size_t>(n_rows);
    QUAROT_CHECK(w.size() % n_rows == 0, "{} elements, {} rows", w.size(), n_rows);
    for (size_t start = 0; start < w.size(); start += cols) {
        const auto row = w.subspan(start, cols);
        const double mean =
            std::accumulate(row.begin(), row.end(), 0.0) / static_cast<double>(cols);
        for (double& x : row) x -= mean;
    }
}

void centre_columns(std::span<double> w, int64_t n_cols) {
    if (n_cols == 0) return;
    const auto cols = static_cast<size_t>(n_cols);
    QUAROT_CHECK(w.size() % cols == 0, "{} elements, {} columns", w.size(), n_cols);
    const size_t rows = w.size() / cols;
    std::vector<double> means(cols);
    for (size_t i = 0; i < w.size(); ++i) means[i % cols] += w[i];
    for (double& mean : means) mean /= static_cast<double>(rows);
    for (size_t i = 0; i < w.size(); ++i) w[i] -= means[i % cols];
}

void rotate_output(const Rotation& rotation, Space space, const ModelConfig& config,
                   std::span<double> w, int64_t n_cols) {
    if (n_cols == 0 || !changes(rotation, space.basis)) return;
    QUAROT_CHECK(w.size() % n_cols == 0, "{} elements, {} columns", w.size(), n_cols);
    if (is_dense(rotation, space.basis)) return multiply_dense_by_columns(rotation, w, n_cols);
    apply_structured(rotation, space, config, w, n_cols);
}

}  // namespace quarot::rotate

#include "kernels/reference/reference_rows.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>
#include <span>
#include <vector>

#include "core/check.h"
#include "kernels/reference/reference_half_transform.h"

namespace quarot::kernels {

namespace {

// One run of n values; out may be in.
void norm_run(const NormArgs& args, const float* in, int64_t n, float* out) {
    const auto count = static_cast<double>(n);
    double mean = 0.0, sum = 0.0;
    if (args.kind == NormKind::Layer) mean = std::accumulate(in, in + n, 0.0) / count;
    for (int64_t c = 0; c < n; ++c) sum += (in[c] - mean) * (in[c] - mean);
    const double inverse = 1.0 / std::sqrt(sum / count + static_cast<double>(args.eps));
    for (int64_t c = 0; c < n; ++c) {
        const double gain = args.gain == nullptr ? 1.0 : args.gain[c];
        const double bias = args.bias == nullptr ? 0.0 : args.bias[c];
        out[c] = static_cast<float>((in[c] - mean) * inverse * gain + bias);
    }
}

double activated(Activation activation, double x) {
    switch (activation) {
        case Activation::Silu:
            return x / (1.0 + std::exp(-x));
        case Activation::GeluTanh:
            return x / (1.0 + std::exp(-2.0 * std::sqrt(2.0 / std::numbers::pi) *
                                       (x + 0.044715 * x * x * x)));
        case Activation::Gelu:  // erfc keeps the digits of what is left far below 0
            return 0.5 * x * std::erfc(-x / std::numbers::sqrt2);
        case Activation::Relu:
            return x < 0.0 ? 0.0 : x;
    }
    check_failed(__FILE__, __LINE__, "a known activation",
                 fmt::format("{}", static_cast<int>(activation)));
}

// Turns every pair (i, i + head_dim/2) of every head of one row.
void rope_row(float* row, int64_t cols, int64_t head_dim, const float* cos, const float* sin) {
    const int64_t half = head_dim / 2;
    for (int64_t head = 0; head < cols; head += head_dim) {
        for (int64_t i = 0; i < half; ++i) {
            float& first = row[head + i];
            float& second = row[head + half + i];
            const double a = first, b = second, c = cos[i], s = sin[i];
            first = static_cast<float>(a * c - b * s);
            second = static_cast<float>(b * c + a * s);
        }
    }
}

}  // namespace

void reference_norm(ThreadPool& pool, const NormArgs& args) {
    QUAROT_CHECK(args.in.rows == args.out.rows && args.in.cols == args.out.cols);
    const int64_t cols = args.in.cols, group = args.group == 0 ? cols : args.group;
    QUAROT_CHECK(cols % group == 0, "{} {}", cols, group);
    pool.parallel_for(args.in.rows, [&](int64_t row, int) {
        for (int64_t c = 0; c < cols; c += group) {
            norm_run(args, args.in.f32(row) + c, group, args.out.f32(row) + c);
        }
    });
}

void reference_scale(ThreadPool& pool, const ScaleArgs& args) {
    QUAROT_CHECK(args.in.rows == args.out.rows && args.in.cols == args.out.cols);
    pool.parallel_for(args.in.rows, [&](int64_t row, int) {
        for (int64_t c = 0; c < args.in.cols; ++c) {
            const double x = static_cast<double>(args.scale) * args.in.f32(row)[c];
            const double y = args.cap == 0.0f ? x : args.cap * std::tanh(x / args.cap);
            args.out.f32(row)[c] = static_cast<float>(y);
        }
    });
}

void reference_add(ThreadPool& pool, const Rows& to, const Rows& from) {
    QUAROT_CHECK(to.rows == from.rows && to.cols == from.cols);
    pool.parallel_for(to.rows, [&](int64_t row, int) {
        for (int64_t c = 0; c < to.cols; ++c) to.f32(row)[c] += from.f32(row)[c];
    });
}

void reference_find_non_finite(ThreadPool& pool, const Rows& in, SiteNote note) {
    pool.parallel_for(in.rows, [&](int64_t row, int) {
        const float* x = in.f32(row);
        if (!std::all_of(x, x + in.cols, [](float v) { return std::isfinite(v); })) {
            note_row(note, row);
        }
    });
}

void reference_rope(ThreadPool& pool, const RopeArgs& args) {
    const int64_t half = args.head_dim / 2;
    QUAROT_CHECK(args.head_dim > 0 && args.head_dim % 2 == 0, "head_dim {}", args.head_dim);
    QUAROT_CHECK(args.q.rows == args.batch.n_tokens && args.k.rows == args.batch.n_tokens);
    QUAROT_CHECK(args.q.cols % args.head_dim == 0 && args.k.cols % args.head_dim == 0);
    pool.parallel_for(args.batch.n_tokens, [&](int64_t token, int) {
        const int64_t position = args.batch.positions[token];
        if (position < 0) return;
        QUAROT_CHECK(position < args.table.n_positions, "position {}", position);
        const float* cos = args.table.cos + position * half;
        const float* sin = args.table.sin + position * half;
        rope_row(args.q.f32(token), args.q.cols, args.head_dim, cos, sin);
        rope_row(args.k.f32(token), args.k.cols, args.head_dim, cos, sin);
    });
}

void reference_activate(ThreadPool& pool, const ActivateArgs& args) {
    const int64_t rows = args.out.rows, cols = args.out.cols;
    QUAROT_CHECK(args.gate.rows == rows && args.gate.cols == cols);
    QUAROT_CHECK(!args.up || (args.up->rows == rows && args.up->cols == cols));
    pool.parallel_for(rows, [&](int64_t row, int) {
        const float* gate = args.gate.f32(row);
        const float* up = args.up ? args.up->f32(row) : nullptr;
        float* out = args.out.f32(row);
        for (int64_t c = 0; c < cols; ++c) {
            const double y = activated(args.activation, gate[c]);
            out[c] = static_cast<float>(up == nullptr ? y : y * up[c]);
        }
    });
}

void reference_transform(ThreadPool& pool, const ReferenceTransform& transform, const Rows& rows) {
    const int64_t block = transform.n() * transform.inner();
    QUAROT_CHECK(rows.cols % block == 0, "{} columns in blocks of {}", rows.cols, block);
    if (transform.mixer().kind == linalg::MixerKind::Identity) return;
    pool.parallel_for(rows.rows, [&](int64_t row, int) {
        float* values = rows.f32(row);
        std::vector<double> wide(values, values + rows.cols);
        for (int64_t start = 0; start < rows.cols; start += block) {
            const auto part =
                std::span(wide).subspan(static_cast<size_t>(start), static_cast<size_t>(block));
            if (transform.storage() == DType::F16) {
                transform_in_half(transform.mixer(), part, transform.inner());
            } else {
                linalg::apply_strided(transform.mixer(), part, transform.inner());
            }
        }
        for (int64_t c = 0; c < rows.cols; ++c) {
            values[c] = static_cast<float>(wide[static_cast<size_t>(c)]);
        }
    });
}

}  // namespace quarot::kernels

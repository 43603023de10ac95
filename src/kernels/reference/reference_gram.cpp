#include "kernels/reference/reference_gram.h"

#include "core/check.h"

namespace quarot::kernels {

void reference_gram(ThreadPool& pool, const Rows& in, double* gram) {
    QUAROT_CHECK(in.dtype == DType::F32 && in.cols >= 1, "{} columns", in.cols);
    const int64_t n = in.cols;
    pool.parallel_for(n, [&](int64_t i, int) {
        for (int64_t row = 0; row < in.rows; ++row) {
            const float* x = in.f32(row);
            const double xi = x[i];
            for (int64_t j = 0; j <= i; ++j) gram[i * n + j] += xi * x[j];
        }
    });
    pool.parallel_for(n, [&](int64_t j, int) {
        for (int64_t i = j + 1; i < n; ++i) gram[j * n + i] = gram[i * n + j];
    });
}

void reference_cross_gram(ThreadPool& pool, const Rows& a, const Rows& b, double* gram) {
    QUAROT_CHECK(a.dtype == DType::F32 && b.dtype == DType::F32 && a.rows == b.rows, "{} {}",
                 a.rows, b.rows);
    pool.parallel_for(a.cols, [&](int64_t i, int) {
        double* sums = gram + i * b.cols;
        for (int64_t row = 0; row < a.rows; ++row) {
            const double x = a.f32(row)[i];
            const float* y = b.f32(row);
            for (int64_t j = 0; j < b.cols; ++j) sums[j] += x * y[j];
        }
    });
}

}  // namespace quarot::kernels

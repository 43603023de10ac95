// Matrices of floats and codes on the GPU, in the dtypes and layouts of the kernels.
#pragma once

#include <cstdint>
#include <vector>

#include "backend/subject.h"
#include "cuda/gpu.h"
#include "kernels/cuda/quantize_rows.h"
#include "kernels/cuda/rows_view.h"

namespace quarot::cuda_test {

using backend_test::Codes;
using backend_test::Matrix;

// The matrix with every element rounded to the dtype.
Matrix rounded(const Matrix& matrix, DType dtype);

// Rows on the GPU, `padding` elements of poison after each.
class DeviceRows {
  public:
    DeviceRows(const Matrix& matrix, DType dtype, int64_t padding = 0);
    DeviceRows(int64_t rows, int64_t cols, DType dtype, int64_t padding = 0);  // poison

    const kernels::cuda::RowsView& view() const { return view_; }
    Matrix download() const;
    // Nothing outside the rows was written.
    bool padding_intact() const;

  private:
    Memory memory_;
    kernels::cuda::RowsView view_;
};

// Memory for quantized rows; sites start at kNoSite, row r stands at position r.
class DeviceCodes {
  public:
    DeviceCodes(int64_t rows, int64_t cols, const kernels::ActivationFormat& format);

    kernels::cuda::QuantizeTarget target(int32_t site = 0) const;
    // Signed codes as the reference backend has them; fails the test where padding is not 0, or
    // multiples are not what the codes stand for.
    Codes download() const;
    std::vector<int32_t> sites() const { return cuda_test::download<int32_t>(sites_); }

  private:
    kernels::ActivationFormat format_;
    int64_t rows_, cols_, stride_, n_groups_;
    bool has_multiples() const;
    // Whether the planes of multiples hold these codes' values, each within a twentieth of its
    // row's unit, and zeros behind them.
    testing::AssertionResult multiples_are(const Codes& codes) const;
    int planes() const { return kernels::cuda::multiple_planes(format_.widest_bits()); }

    Memory codes_, scales_, offsets_, bases_, sums_, sites_, positions_, multiples_, units_;
};

// What the reference backend makes of the same floats.
Codes reference_codes(const Matrix& matrix, const kernels::ActivationFormat& format);

// Codes differ by one step at most, on fewer than one in a thousand; scales within 2^-10.
testing::AssertionResult nearly_same(const Codes& expected, const Codes& actual);

// Equal codes, scales, offsets, bases and sums.
testing::AssertionResult same_codes(const Codes& expected, const Codes& actual);

}  // namespace quarot::cuda_test

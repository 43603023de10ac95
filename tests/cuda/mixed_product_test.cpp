// Do quantized weights times rows of halves on tensor cores agree with fp64, at every width, group,
// dtype of results and number of rows, and does a row's result depend on that row alone?
#include "kernels/cuda/mixed_product.h"

#include <fmt/format.h>

#include <cmath>

#include "cuda/device_rows.h"
#include "kernels/cuda/cuda_linear.h"

namespace quarot::cuda_test {
namespace {

using namespace kernels;
using backend_test::normal_matrix;
using backend_test::normal_vector;
using backend_test::random_quantized;
using backend_test::Rng;
using backend_test::same;

struct MixedForm {
    int64_t tokens = 1, rows = 64, cols = 64;
    int bits = 4;
    int64_t group = 0;
    bool bias = false;
    bool accumulate = false;
    DType out = DType::F32;
};

std::string describe(const MixedForm& f) {
    return fmt::format("{} tokens, {} x {}, W{} group {}{}{}, out {}", f.tokens, f.rows, f.cols,
                       f.bits, f.group, f.bias ? " bias" : "", f.accumulate ? " accumulate" : "",
                       name_of(f.out));
}

// Operands of one product, and its results.
class MixedCase {
  public:
    MixedCase(const MixedForm& form, uint32_t seed)
        : form_(form),
          rng_(seed),
          in_(rounded(normal_matrix(form.tokens, form.cols, rng_), DType::F16)),
          before_(rounded(normal_matrix(form.tokens, form.rows, rng_), form.out)),
          linear_(LinearWeights{make_weights()}, matrices_, nullptr),
          bias_(form.bias ? normal_vector(form.rows, rng_) : std::vector<float>{}),
          device_bias_(upload(bias_.empty() ? std::vector<float>(1) : bias_)) {}

    // Of `count` tokens from `first` on.
    Matrix run(int64_t first, int64_t count) const {
        const DeviceRows in(in_.slice(first, count), DType::F16, 4);
        const DeviceRows out(before_.slice(first, count), form_.out, 3);
        const cuda::FloatProduct product{.in = in.view(),
                                         .weight = linear_.codes(),
                                         .bias = form_.bias ? device_bias_.as<float>() : nullptr,
                                         .out = out.view(),
                                         .accumulate = form_.accumulate};
        EXPECT_TRUE(cuda::multiply_mixed_tensor(in.view(), linear_.codes(), product, nullptr));
        synchronize();
        EXPECT_TRUE(out.padding_intact());
        return out.download();
    }

    testing::AssertionResult agrees(const Matrix& actual) const {
        const double eps = form_.out == DType::F32 ? 0x1p-23 : 0x1p-10;
        for (int64_t t = 0; t < form_.tokens; ++t) {
            for (int64_t r = 0; r < form_.rows; ++r) {
                double sum = form_.bias ? bias_[static_cast<size_t>(r)] : 0.0, size = 0.0;
                for (int64_t c = 0; c < form_.cols; ++c) {
                    const double term = static_cast<double>(weights_.row(r)[c]) * in_.row(t)[c];
                    sum += term;
                    size += std::abs(term);
                }
                if (form_.accumulate) sum += before_.row(t)[r];
                const double error = std::abs(actual.row(t)[r] - sum);
                if (!(error <= eps * std::abs(sum) + 0x1p-20 * size)) {
                    return testing::AssertionFailure() << "token " << t << " row " << r << ": "
                                                       << actual.row(t)[r] << " instead of " << sum;
                }
            }
        }
        return testing::AssertionSuccess();
    }

  private:
    QuantizedMatrix make_weights() {
        QuantizedMatrix matrix =
            random_quantized(form_.rows, form_.cols, form_.bits, form_.group, true, rng_);
        weights_ = normal_matrix(form_.rows, form_.cols, rng_);
        for (int64_t r = 0; r < form_.rows; ++r) {
            matrix.dequantize_row(r, std::span(weights_.row(r), static_cast<size_t>(form_.cols)));
        }
        return matrix;
    }

    MixedForm form_;
    Rng rng_;
    Matrix in_, before_, weights_;
    cuda::DenseMatrices matrices_{DType::F16};
    cuda::CudaLinear linear_;
    std::vector<float> bias_;
    Memory device_bias_;
};

class MixedTensor : public OnGpu {};

TEST_F(MixedTensor, EveryWidthAndGroupAgreesWithDoubles) {
    struct Shape {
        int64_t rows, cols, group;
    };
    const Shape shapes[] = {{64, 64, 0},    {100, 192, 0},   {31, 68, 0},      {256, 576, 64},
                            {48, 1024, 0},  {1000, 192, 64}, {130, 2048, 128}, {5000, 512, 256},
                            {17, 11008, 0}, {96, 960, 192}};
    uint32_t seed = 1;
    for (const Shape& shape : shapes) {
        for (const int64_t tokens : {1, 7, 8, 9, 33}) {
            for (const int bits : {2, 3, 4, 5, 8}) {
                const MixedForm form{.tokens = tokens,
                                     .rows = shape.rows,
                                     .cols = shape.cols,
                                     .bits = bits,
                                     .group = shape.group,
                                     .bias = seed % 2 == 0,
                                     .accumulate = seed % 3 == 0,
                                     .out = seed % 5 == 0 ? DType::F16 : DType::F32};
                SCOPED_TRACE(describe(form));
                const MixedCase c(form, ++seed);
                ASSERT_TRUE(c.agrees(c.run(0, tokens)));
            }
        }
    }
}

TEST_F(MixedTensor, ARowsBitsDependOnThatRowAlone) {
    for (const int bits : {4, 8}) {
        for (const int64_t group : {0, 128}) {
            const MixedForm form{
                .tokens = 70, .rows = 333, .cols = 1408, .bits = bits, .group = group};
            SCOPED_TRACE(describe(form));
            const MixedCase c(form, 3);
            const Matrix all = c.run(0, 70);
            for (const auto& [first, count] : {std::pair{0, 1}, {5, 2}, {40, 9}, {69, 1}}) {
                EXPECT_TRUE(same(all.slice(first, count).values, c.run(first, count).values));
            }
        }
    }
}

TEST_F(MixedTensor, LeavesOtherOperandsToOthers) {
    Rng rng(1);
    cuda::DenseMatrices matrices(DType::F16);
    const auto takes = [&](DType dtype, int64_t cols, bool symmetric, int64_t padding) {
        const cuda::CudaLinear linear(
            LinearWeights{random_quantized(64, cols, 4, 0, symmetric, rng)}, matrices, nullptr);
        const DeviceRows in(normal_matrix(2, cols, rng), dtype, padding), out(2, 64, DType::F32);
        const cuda::FloatProduct product{
            .in = in.view(), .weight = linear.codes(), .out = out.view()};
        const bool took = cuda::multiply_mixed_tensor(in.view(), linear.codes(), product, nullptr);
        synchronize();
        return took;
    };
    EXPECT_TRUE(takes(DType::F16, 64, true, 0));
    EXPECT_FALSE(takes(DType::F32, 64, true, 0));
    EXPECT_FALSE(takes(DType::F16, 64, false, 0));
    EXPECT_FALSE(takes(DType::F16, 66, true, 0));
    EXPECT_FALSE(takes(DType::F16, 64, true, 2));  // rows that start between four halves
}

}  // namespace
}  // namespace quarot::cuda_test

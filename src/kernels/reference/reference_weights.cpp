#include "kernels/reference/reference_weights.h"

#include "core/error.h"
#include "tensor/float_convert.h"

namespace quarot::kernels {

void DenseLinear::values(int64_t row, std::span<float> out) const {
    const DType dtype = matrix_->dtype();
    widen(dtype, matrix_->data() + row * in_features() * size_of(dtype), out);
}

IntegerLinear::IntegerLinear(const QuantizedMatrix& matrix, std::vector<float> bias)
    : ReferenceLinear(matrix.rows, matrix.cols, matrix.bits, std::move(bias)),
      group_size_(matrix.group_size == 0 ? matrix.cols : matrix.group_size),
      integers_(matrix.rows * matrix.cols * size_of(DType::I16)) {
    auto* to = reinterpret_cast<int16_t*>(integers_.data());
    std::vector<uint8_t> stored(static_cast<size_t>(matrix.cols));
    for (int64_t r = 0; r < matrix.rows; ++r) {
        matrix.unpack_row(r, stored);
        for (int64_t c = 0; c < matrix.cols; ++c) {
            const int q = static_cast<int>(stored[static_cast<size_t>(c)]) + matrix.q_min();
            *to++ = static_cast<int16_t>(q - matrix.zero(r, c / group_size_));
        }
        for (int64_t g = 0; g < matrix.n_groups(); ++g) scales_.push_back(matrix.scale(r, g));
    }
}

void IntegerLinear::values(int64_t row, std::span<float> out) const {
    const int16_t* from = integers(row);
    float* to = out.data();
    for (int64_t g = 0; g < in_features() / group_size_; ++g) {
        const float group_scale = scale(row, g);
        for (int64_t i = 0; i < group_size_; ++i) *to++ = group_scale * static_cast<float>(*from++);
    }
}

std::unique_ptr<Linear> prepare_reference_linear(LinearWeights weights) {
    if (const auto* quantized = std::get_if<QuantizedMatrix>(&weights.matrix)) {
        return std::make_unique<IntegerLinear>(*quantized, std::move(weights.bias));
    }
    auto dense = std::get<std::shared_ptr<const Tensor>>(std::move(weights.matrix));
    QUAROT_CHECK(dense != nullptr && dense->shape().size() == 2);
    if (!is_float_weight(dense->dtype())) {
        fail(ErrorCode::Unsupported, "a weight matrix is {}, expected F32, F16 or BF16",
             name_of(dense->dtype()));
    }
    return std::make_unique<DenseLinear>(std::move(dense), std::move(weights.bias));
}

}  // namespace quarot::kernels

#include "kernels/cuda/cuda_linear.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/check.h"
#include "core/error.h"
#include "kernels/cuda/cast.h"
#include "kernels/cuda/cuda_memory.h"
#include "kernels/cuda/float_product.h"
#include "kernels/cuda/hessian_copy.h"
#include "kernels/cuda/status.h"
#include "tensor/float_convert.h"

namespace quarot::kernels::cuda {

namespace {

constexpr int64_t kManyRows = 512;      // from which fp32 matrices are multiplied by cuBLAS
constexpr int64_t kStagingRows = 4096;  // rows of a weight that travel at a time; a multiple of 64

void copy_to_device(void* to, const void* from, int64_t bytes, Stream stream) {
    check(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyHostToDevice, stream),
          "cudaMemcpyAsync");
}

void wait_for(Stream stream) {
    check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
}

template <typename T>
Buffer on_device(const std::vector<T>& values, Stream stream) {
    if (values.empty()) return {};
    const auto bytes = static_cast<int64_t>(values.size() * sizeof(T));
    Buffer buffer = allocate_device(bytes);
    copy_to_device(buffer.data(), values.data(), bytes, stream);
    wait_for(stream);
    return buffer;
}

std::vector<uint16_t> in_16_bits(const std::vector<float>& values, DType dtype) {
    std::vector<uint16_t> out(values.size());
    std::transform(values.begin(), values.end(), out.begin(),
                   dtype == DType::BF16 ? f32_to_bf16 : f32_to_f16);
    return out;
}

// Of a QuantizedMatrix or a CodesForm.
template <typename Form>
WeightShape shape_of(const Form& form) {
    return {.rows = form.rows,
            .cols = form.cols,
            .bits = form.bits,
            .group_size = form.group_size,
            .symmetric = form.symmetric};
}

// Scales and zero points, as stored values that mean 0, of rows [first, first + count).
struct Groups {
    std::vector<float> scales;
    std::vector<int32_t> zeros;
};
Groups groups_of(const QuantizedMatrix& m, int64_t first, int64_t count) {
    Groups groups;
    for (int64_t row = first; row < first + count; ++row) {
        for (int64_t g = 0; g < m.n_groups(); ++g) {
            groups.scales.push_back(m.scale(row, g));
            groups.zeros.push_back(m.zero(row, g) - m.q_min());
        }
    }
    return groups;
}

// Rows travel in their stored form and are packed on the device.
void upload_weights(const QuantizedMatrix& m, const WeightView& to, Stream stream) {
    const int64_t words = packed_words(m.cols, m.bits);
    const int64_t rows = std::min(m.rows, kStagingRows);
    const Buffer codes = allocate_device(rows * words * 4);
    const Buffer scales = allocate_device(rows * m.n_groups() * 4);
    const Buffer zeros = allocate_device(rows * m.n_groups() * 4);
    for (int64_t first = 0; first < m.rows; first += rows) {
        const int64_t count = std::min(rows, m.rows - first);
        const Groups groups = groups_of(m, first, count);
        copy_to_device(codes.data(), m.packed.as<uint32_t>() + first * words, count * words * 4,
                       stream);
        copy_to_device(scales.data(), groups.scales.data(), count * m.n_groups() * 4, stream);
        copy_to_device(zeros.data(), groups.zeros.data(), count * m.n_groups() * 4, stream);
        pack_weights({.packed = static_cast<const uint32_t*>(codes.data()),
                      .scales = static_cast<const float*>(scales.data()),
                      .zeros = static_cast<const int32_t*>(zeros.data()),
                      .first = first,
                      .count = count},
                     to, stream);
        wait_for(stream);
    }
}

int64_t rows_of(const LinearWeights& weights) {
    const auto* dense = std::get_if<std::shared_ptr<const Tensor>>(&weights.matrix);
    return dense != nullptr ? (*dense)->rows() : std::get<QuantizedMatrix>(weights.matrix).rows;
}
int64_t cols_of(const LinearWeights& weights) {
    const auto* dense = std::get_if<std::shared_ptr<const Tensor>>(&weights.matrix);
    return dense != nullptr ? (*dense)->cols() : std::get<QuantizedMatrix>(weights.matrix).cols;
}
int bits_of(const LinearWeights& weights) {
    const auto* quantized = std::get_if<QuantizedMatrix>(&weights.matrix);
    return quantized != nullptr ? quantized->bits : 16;
}

}  // namespace

int64_t codes_bytes(const CodesForm& form) {
    return weight_bytes(shape_of(form));
}

DType DenseMatrices::device_dtype(DType stored) const {
    return work_ == DType::F16 && stored == DType::BF16 ? DType::F16 : stored;
}

std::shared_ptr<const Buffer> DenseMatrices::upload(const std::shared_ptr<const Tensor>& tensor,
                                                    Stream stream) {
    if (const auto known = known_.find(tensor.get()); known != known_.end()) {
        auto memory = known->second.memory.lock();
        if (memory != nullptr && !known->second.tensor.expired()) return memory;
    }
    auto buffer = std::make_shared<const Buffer>(allocate_device(tensor->bytes()));
    copy_to_device(buffer->data(), tensor->data(), tensor->bytes(), stream);
    const DType dtype = device_dtype(tensor->dtype());
    if (dtype != tensor->dtype()) {
        const RowsView stored = {buffer->data(), tensor->dtype(), tensor->rows(), tensor->cols(),
                                 tensor->cols()};
        const Buffer flag = on_device(std::vector<int32_t>{0}, stream);
        auto cast = std::make_shared<const Buffer>(allocate_device(
            tensor->rows() * tensor->cols() * static_cast<int64_t>(size_of(dtype))));
        cast_rows(stored, {cast->data(), dtype, stored.rows, stored.cols, stored.cols},
                  static_cast<int32_t*>(flag.data()), stream);
        int32_t overflow = 0;
        check(cudaMemcpyAsync(&overflow, flag.data(), sizeof(overflow), cudaMemcpyDeviceToHost,
                              stream),
              "cudaMemcpyAsync");
        wait_for(stream);
        if (overflow != 0) {
            fail(ErrorCode::Unsupported,
                 "a weight of [{}, {}] in {} holds values beyond the range of halves, in which the "
                 "cuda backend multiplies",
                 tensor->rows(), tensor->cols(), name_of(tensor->dtype()));
        }
        buffer = std::move(cast);
    }
    wait_for(stream);
    known_[tensor.get()] = {tensor, buffer};
    return buffer;
}

CudaLinear::CudaLinear(LinearWeights weights, DenseMatrices& matrices, Stream stream)
    : Linear(rows_of(weights), cols_of(weights), bits_of(weights)),
      any_rows_(weights.batch_invariant) {
    if (const auto* dense = std::get_if<std::shared_ptr<const Tensor>>(&weights.matrix)) {
        const DType dtype = matrices.device_dtype((*dense)->dtype());
        auto memory = matrices.upload(*dense, stream);
        const RowsView rows = {memory->data(), dtype, out_features(), in_features(), in_features()};
        weight_ = Dense{std::move(memory), rows};
        bias16_ = on_device(in_16_bits(weights.bias, dtype), stream);
    } else {
        const auto& matrix = std::get<QuantizedMatrix>(weights.matrix);
        const WeightShape shape = shape_of(matrix);
        Quantized quantized;
        quantized.memory = allocate_device(weight_bytes(shape));
        quantized.view = place_weights(quantized.memory.data(), shape);
        upload_weights(matrix, quantized.view, stream);
        weight_ = std::move(quantized);
    }
    bias_ = on_device(weights.bias, stream);
}

CudaLinear::CudaLinear(const HessianSums& hessian, Stream stream)
    : Linear(hessian.n, hessian.n, 16) {
    auto memory = std::make_shared<const Buffer>(
        allocate_device(hessian.n * hessian.n * size_of(DType::F32)));
    round_hessian(hessian, static_cast<float*>(memory->data()), stream);
    wait_for(stream);
    const RowsView rows = {memory->data(), DType::F32, hessian.n, hessian.n, hessian.n};
    weight_ = Dense{std::move(memory), rows};
}

bool CudaLinear::wants_dense_multiplier() const {
    const auto* dense = std::get_if<Dense>(&weight_);
    return dense != nullptr && (dense->rows.dtype != DType::F32 || !any_rows_);
}

void CudaLinear::multiply(const LinearArgs& args, DenseMultiplier* dense, Stream stream) const {
    const auto* bias = static_cast<const float*>(bias_.data());
    const auto* floats = std::get_if<Rows>(&args.in.rows);
    const auto* matrix = std::get_if<Dense>(&weight_);
    if (floats != nullptr && matrix != nullptr) {
        multiply_dense(*matrix, view_of(*floats), args, dense, stream);
    } else if (floats != nullptr) {
        cuda::multiply(FloatProduct{.in = view_of(*floats),
                                    .weight = std::get<Quantized>(weight_).view,
                                    .bias = bias,
                                    .out = view_of(args.out),
                                    .accumulate = args.accumulate},
                       stream);
    } else if (matrix != nullptr) {
        cuda::multiply(FloatProduct{.in = view_of(std::get<QuantizedRows>(args.in.rows)),
                                    .weight = matrix->rows,
                                    .bias = bias,
                                    .out = view_of(args.out),
                                    .accumulate = args.accumulate},
                       stream);
    } else {
        const LinearProduct product = integer_product(args);
        cuda::multiply({&product, 1}, stream);
    }
}

bool CudaLinear::is_quantized() const {
    return std::holds_alternative<Quantized>(weight_);
}

LinearProduct CudaLinear::integer_product(const LinearArgs& args) const {
    return {.in = view_of(std::get<QuantizedRows>(args.in.rows)),
            .weight = std::get<Quantized>(weight_).view,
            .bias = static_cast<const float*>(bias_.data()),
            .out = args.out.data,
            .out_dtype = args.out.dtype,
            .out_stride = args.out.stride,
            .accumulate = args.accumulate};
}

void CudaLinear::multiply_dense(const Dense& weight, const RowsView& in, const LinearArgs& args,
                                DenseMultiplier* dense, Stream stream) const {
    const DType out = args.out.dtype;
    const bool alike = in.dtype == weight.rows.dtype && (out == DType::F32 || out == in.dtype);
    // Below, the own kernel's bits do not depend on the rows beside a row.
    const bool many = in.dtype != DType::F32 || (in.rows >= kManyRows && !any_rows_);
    if (!alike || !many) {
        cuda::multiply(FloatProduct{.in = in,
                                    .weight = weight.rows,
                                    .bias = static_cast<const float*>(bias_.data()),
                                    .out = view_of(args.out),
                                    .accumulate = args.accumulate},
                       stream);
        return;
    }
    dense->multiply({.in = in.data,
                     .weight = weight.rows.data,
                     .bias = out == DType::F32 ? bias_.data() : bias16_.data(),
                     .out = args.out.data,
                     .rows = in.rows,
                     .in_features = in_features(),
                     .out_features = out_features(),
                     .in_stride = in.stride,
                     .out_stride = args.out.stride,
                     .dtype = in.dtype,
                     .out_dtype = out,
                     .accumulate = args.accumulate,
                     .same_bits_for_any_rows = any_rows_},
                    stream);
}

}  // namespace quarot::kernels::cuda

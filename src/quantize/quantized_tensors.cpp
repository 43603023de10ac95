#include "quantize/quantized_tensors.h"

#include <cstring>
#include <utility>

#include "core/error.h"
#include "folder/stored_linear.h"
#include "folder/value_checks.h"
#include "tensor/float_convert.h"

namespace quarot::quantize {
namespace {

constexpr const char* kOrigin = "a finished layer";  // for messages

Tensor shape_tensor(int64_t rows, int64_t cols) {
    Tensor shape(DType::I64, {2});
    shape.as<int64_t>()[0] = rows;
    shape.as<int64_t>()[1] = cols;
    return shape;
}

}  // namespace

Tensor copy_of(const Tensor& tensor) {
    Tensor copy(tensor.dtype(), tensor.shape());
    std::memcpy(copy.data(), tensor.data(), static_cast<size_t>(tensor.bytes()));
    return copy;
}

void copy_named(const std::vector<NamedTensor>& tensors, const std::string& name, Tensor& to) {
    for (const NamedTensor& entry : tensors) {
        if (entry.name != name) continue;
        if (entry.tensor.dtype() != to.dtype() || entry.tensor.shape() != to.shape()) break;
        std::memcpy(to.data(), entry.tensor.data(), static_cast<size_t>(to.bytes()));
        return;
    }
    fail(
        ErrorCode::Corrupt,
        "{} lacks the tensor {} in the shape of this recipe; remove the work folder and start over",
        kOrigin, name);
}

QuantizedMatrix copy_of(const QuantizedMatrix& matrix) {
    QuantizedMatrix copy = make_quantized_matrix(matrix.rows, matrix.cols, matrix.bits,
                                                 matrix.group_size, matrix.symmetric);
    copy.packed = copy_of(matrix.packed);
    copy.scales = copy_of(matrix.scales);
    if (!matrix.symmetric) copy.zero_points = copy_of(matrix.zero_points);
    return copy;
}

std::shared_ptr<const Tensor> in_halves(const QuantizedMatrix& matrix, ThreadPool& pool) {
    auto halves = std::make_shared<Tensor>(DType::F16, Shape{matrix.rows, matrix.cols});
    pool.parallel_for(matrix.rows, [&](int64_t row, int) {
        std::vector<float> values(static_cast<size_t>(matrix.cols));
        matrix.dequantize_row(row, values);
        narrow(DType::F16, values, halves->data() + row * matrix.cols * size_of(DType::F16));
    });
    return halves;
}

QuantizedMatrix rows_of(const QuantizedMatrix& whole, int64_t first, int64_t count) {
    QuantizedMatrix part =
        make_quantized_matrix(count, whole.cols, whole.bits, whole.group_size, whole.symmetric);
    const auto copy = [&](const Tensor& from, Tensor& to) {
        if (to.bytes() == 0) return;
        std::memcpy(to.data(), from.data() + first * (from.bytes() / whole.rows),
                    static_cast<size_t>(to.bytes()));
    };
    copy(whole.packed, part.packed);
    copy(whole.scales, part.scales);
    copy(whole.zero_points, part.zero_points);
    return part;
}

void put_rows(const QuantizedMatrix& part, int64_t first, QuantizedMatrix& whole) {
    const auto put = [&](const Tensor& from, Tensor& to) {
        if (from.bytes() == 0) return;
        std::memcpy(to.data() + first * (to.bytes() / whole.rows), from.data(),
                    static_cast<size_t>(from.bytes()));
    };
    put(part.packed, whole.packed);
    put(part.scales, whole.scales);
    put(part.zero_points, whole.zero_points);
}

void append_tensors(const std::string& linear, QuantizedMatrix matrix,
                    std::vector<NamedTensor>& tensors) {
    const folder::QuantizedNames names(linear);
    tensors.push_back({names.shape, shape_tensor(matrix.rows, matrix.cols)});
    tensors.push_back({names.packed, std::move(matrix.packed)});
    tensors.push_back({names.scale, std::move(matrix.scales)});
    if (!matrix.symmetric) tensors.push_back({names.zero_point, std::move(matrix.zero_points)});
}

QuantizedMatrix matrix_from(const std::vector<NamedTensor>& tensors, const std::string& linear,
                            int64_t rows, int64_t cols, const WeightFormat& format) {
    const folder::QuantizedNames names(linear);
    QuantizedMatrix matrix =
        make_quantized_matrix(rows, cols, format.bits, format.group_size, format.symmetric);
    copy_named(tensors, names.packed, matrix.packed);
    copy_named(tensors, names.scale, matrix.scales);
    folder::check_scales(matrix, {kOrigin, linear});
    if (format.symmetric) return matrix;
    copy_named(tensors, names.zero_point, matrix.zero_points);
    folder::check_zero_points(matrix, {kOrigin, linear});
    return matrix;
}

float input_clip_from(const std::vector<NamedTensor>& tensors, const std::string& linear) {
    const folder::QuantizedNames names(linear);
    Tensor clip(DType::F32, {1});
    copy_named(tensors, names.input_clip, clip);
    folder::check_clip(*clip.as<float>(), {kOrigin, names.input_clip});
    return *clip.as<float>();
}

std::vector<int32_t> column_order_from(const std::vector<NamedTensor>& tensors,
                                       const std::string& linear, int64_t n) {
    const folder::QuantizedNames names(linear);
    Tensor order(DType::I32, {n});
    copy_named(tensors, names.column_order, order);
    folder::check_permutation(order, {kOrigin, names.column_order});
    return {order.as<int32_t>(), order.as<int32_t>() + n};
}

}  // namespace quarot::quantize

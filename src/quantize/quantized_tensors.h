// A quantized weight as the named tensors of a file, and back.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/thread_pool.h"
#include "quantize/job/layer_file.h"
#include "recipe/recipe.h"
#include "tensor/quantized_matrix.h"

namespace quarot::quantize {

QuantizedMatrix copy_of(const QuantizedMatrix& matrix);
Tensor copy_of(const Tensor& tensor);

// What it stands for, rounded to halves.
std::shared_ptr<const Tensor> in_halves(const QuantizedMatrix& matrix, ThreadPool& pool);

// Rows [first, first + count).
QuantizedMatrix rows_of(const QuantizedMatrix& whole, int64_t first, int64_t count);

// The rows of `part` become rows first, first + 1 .. of `whole`. Threads may put different rows.
void put_rows(const QuantizedMatrix& part, int64_t first, QuantizedMatrix& whole);

// linear: the name without ".weight".
void append_tensors(const std::string& linear, QuantizedMatrix matrix,
                    std::vector<NamedTensor>& tensors);

// Error{Corrupt} if one is missing, has another shape or type than the format asks for, or holds
// scales or zero points that no quantizer makes.
QuantizedMatrix matrix_from(const std::vector<NamedTensor>& tensors, const std::string& linear,
                            int64_t rows, int64_t cols, const WeightFormat& format);

// The clip ratio of a linear's inputs; Error{Corrupt} likewise.
float input_clip_from(const std::vector<NamedTensor>& tensors, const std::string& linear);

// Of a linear with n inputs; Error{Corrupt} unless it names each of them once.
std::vector<int32_t> column_order_from(const std::vector<NamedTensor>& tensors,
                                       const std::string& linear, int64_t n);

// The values of one of them into a tensor of the expected shape and type; Error{Corrupt} likewise.
void copy_named(const std::vector<NamedTensor>& tensors, const std::string& name, Tensor& to);

}  // namespace quarot::quantize

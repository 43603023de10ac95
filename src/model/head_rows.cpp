#include "model/head_rows.h"

#include <memory>
#include <utility>

#include "core/check.h"
#include "tensor/slice.h"

namespace quarot::model {

namespace {

// Of all heads of n_rows rows.
std::vector<int32_t> repeated(const std::vector<int32_t>& order, int64_t n_rows) {
    const auto head_dim = std::ssize(order);
    QUAROT_CHECK(n_rows % head_dim == 0, "{} {}", n_rows, head_dim);
    std::vector<int32_t> rows;
    rows.reserve(static_cast<size_t>(n_rows));
    for (int64_t head = 0; head < n_rows; head += head_dim) {
        for (const int32_t row : order) rows.push_back(static_cast<int32_t>(head) + row);
    }
    return rows;
}

std::vector<float> ordered(const std::vector<float>& values, const std::vector<int32_t>& order) {
    std::vector<float> result;
    result.reserve(values.size());
    for (const int32_t at : repeated(order, std::ssize(values))) {
        result.push_back(values[static_cast<size_t>(at)]);
    }
    return result;
}

// Of all tables of a model.
std::vector<int32_t> order_of(const ModelConfig& config) {
    if (config.ropes.empty()) return {};
    std::vector<int32_t> order = head_row_order(config.ropes.front(), config.head_dim);
    for (const RopeConfig& rope : config.ropes) {
        QUAROT_CHECK(head_row_order(rope, config.head_dim) == order, "RoPE of one row order");
    }
    return order;
}

}  // namespace

std::vector<int32_t> head_row_order(const RopeConfig& rope, int64_t head_dim) {
    const int64_t dim = rope.rotary_dim == 0 ? head_dim : rope.rotary_dim;
    QUAROT_CHECK(dim > 0 && dim % 2 == 0 && dim <= head_dim, "{} {}", dim, head_dim);
    if (dim == head_dim && rope.pairs == RopePairs::Halves) return {};
    const int64_t half = head_dim / 2;
    std::vector<int32_t> order(static_cast<size_t>(head_dim));
    for (int64_t i = 0; i < half; ++i) {
        int64_t first = dim + (i - dim / 2), second = first + (head_dim - dim) / 2;  // at rest
        if (i < dim / 2) {
            const bool halves = rope.pairs == RopePairs::Halves;
            first = halves ? i : 2 * i;
            second = halves ? i + dim / 2 : 2 * i + 1;
        }
        order[static_cast<size_t>(i)] = static_cast<int32_t>(first);
        order[static_cast<size_t>(half + i)] = static_cast<int32_t>(second);
    }
    return order;
}

void order_head_rows(LinearRole role, const ModelConfig& config, kernels::LinearWeights& weights) {
    if (role != LinearRole::Q && role != LinearRole::K) return;
    const std::vector<int32_t> order = order_of(config);
    if (order.empty()) return;
    if (const auto* codes = std::get_if<QuantizedMatrix>(&weights.matrix)) {
        weights.matrix = rows_at(*codes, repeated(order, codes->rows));
    } else {
        const Tensor& dense = *std::get<0>(weights.matrix);
        weights.matrix =
            std::make_shared<const Tensor>(rows_at(dense, repeated(order, dense.rows())));
    }
    weights.bias = ordered(weights.bias, order);
}

void order_head_gain(NormRole role, const ModelConfig& config, std::vector<float>& gain) {
    if (role != NormRole::Query && role != NormRole::Key) return;
    const std::vector<int32_t> order = order_of(config);
    if (!order.empty()) gain = ordered(gain, order);
}

}  // namespace quarot::model

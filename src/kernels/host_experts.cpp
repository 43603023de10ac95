#include "kernels/host_experts.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <span>
#include <utility>

#include "core/check.h"

namespace quarot::kernels {

namespace {

// The k largest in order, of equal ones the lower expert first; values [k] is scratch.
void largest(std::span<const float> logits, int64_t k, float* values, int32_t* experts) {
    int64_t n = 0;
    for (size_t expert = 0; expert < logits.size(); ++expert) {
        const float logit = logits[expert];
        if (n == k && !(logit > values[k - 1])) continue;
        int64_t place = n < k ? n++ : k - 1;
        for (; place > 0 && logit > values[place - 1]; --place) {
            values[place] = values[place - 1];
            experts[place] = experts[place - 1];
        }
        values[place] = logit;
        experts[place] = static_cast<int32_t>(expert);
    }
}

// Rows [first, first + n) of quantized ones, in the default layout.
QuantizedRows slice_of(QuantizedRows rows, int64_t first, int64_t n) {
    const int64_t at = first * rows.n_groups();
    rows.codes = rows.row_codes(first);
    rows.scales += at;
    rows.row_sums += at;
    if (rows.offsets != nullptr) rows.offsets += at;
    if (rows.bases != nullptr) rows.bases += at;
    if (rows.token_of != nullptr) {
        rows.token_of += first;
    } else if (rows.positions != nullptr) {
        rows.positions += first;
    }
    rows.rows = n;
    return rows;
}

Operand slice_of(const Operand& in, int64_t first, int64_t n) {
    if (const auto* floats = std::get_if<Rows>(&in.rows)) return {floats->slice(first, n)};
    return {slice_of(std::get<QuantizedRows>(in.rows), first, n)};
}

}  // namespace

void check_route(const RouteArgs& args) {
    const Routing& routing = args.routing;
    QUAROT_CHECK(args.logits.dtype == DType::F32 && args.logits.rows == routing.n_tokens &&
                     args.logits.cols == routing.n_experts,
                 "[{}, {}] logits", args.logits.rows, args.logits.cols);
    QUAROT_CHECK(routing.top_k >= 1 && routing.top_k <= routing.n_experts, "{} of {} experts",
                 routing.top_k, routing.n_experts);
}

void check_combine(const CombineArgs& args) {
    QUAROT_CHECK(args.rows.rows == args.routing.n_rows() && args.out.rows == args.routing.n_tokens,
                 "{} rows to {}", args.rows.rows, args.out.rows);
    QUAROT_CHECK(args.rows.cols == args.out.cols && args.rows.dtype == DType::F32 &&
                 args.out.dtype == DType::F32);
}

void check_gather_codes(const QuantizedRows& in, const QuantizedRows& out) {
    QUAROT_CHECK(in.cols == out.cols && in.stride == out.stride && in.n_groups() == out.n_groups(),
                 "{} columns in {} groups to {} in {}", in.cols, in.n_groups(), out.cols,
                 out.n_groups());
    QUAROT_CHECK((in.offsets == nullptr) == (out.offsets == nullptr) &&
                 (in.bases == nullptr) == (out.bases == nullptr));
}

void route_token(const RouteArgs& args, int64_t token) {
    const Routing& routing = args.routing;
    const std::span<const float> logits(args.logits.f32(token),
                                        static_cast<size_t>(routing.n_experts));
    int32_t* experts = routing.experts + token * routing.top_k;
    float* weights = routing.weights + token * routing.top_k;
    largest(logits, routing.top_k, weights, experts);
    const double highest = weights[0];
    std::sort(experts, experts + routing.top_k);
    const auto power = [&](int64_t expert) {
        return std::exp(static_cast<double>(logits[static_cast<size_t>(expert)]) - highest);
    };
    double chosen = 0.0, all = 0.0;
    for (int64_t j = 0; j < routing.top_k; ++j) chosen += power(experts[j]);
    for (int64_t expert = 0; expert < routing.n_experts; ++expert) all += power(expert);
    const double whole = args.renormalize ? chosen : all;
    for (int64_t j = 0; j < routing.top_k; ++j) {
        weights[j] = static_cast<float>(power(experts[j]) / whole);
    }
    const auto finite = [](float logit) { return std::isfinite(logit); };
    if (!std::all_of(logits.begin(), logits.end(), finite)) note_row(args.note, token);
}

// A counting sort, which keeps tokens in order. first_row is the count, then the next free row, of
// the expert before.
void group_rows(const Routing& routing) {
    int32_t* const next = routing.first_row + 1;
    std::fill_n(routing.first_row, routing.n_experts + 1, 0);
    for (int64_t i = 0; i < routing.n_rows(); ++i) ++next[routing.experts[i]];
    int32_t before = 0;
    for (int64_t expert = 0; expert < routing.n_experts; ++expert) {
        before += std::exchange(next[expert], before);
    }
    for (int64_t i = 0; i < routing.n_rows(); ++i) {
        const int32_t row = next[routing.experts[i]]++;
        routing.row_of[i] = row;
        routing.token_of[row] = static_cast<int32_t>(i / routing.top_k);
    }
}

void gather_codes_row(const QuantizedRows& in, int64_t from, const QuantizedRows& out,
                      int64_t row) {
    QUAROT_CHECK(from >= 0 && from < in.rows, "row {} of {}", from, in.rows);
    const int64_t n_groups = in.n_groups();
    std::memcpy(out.row_codes(row), in.row_codes(from), static_cast<size_t>(in.stride));
    const auto copy = [&](const auto* source, auto* target) {
        if (source != nullptr) {
            std::copy_n(source + from * n_groups, n_groups, target + row * n_groups);
        }
    };
    copy(in.scales, out.scales);
    copy(in.offsets, out.offsets);
    copy(in.bases, out.bases);
    copy(in.row_sums, out.row_sums);
}

void combine_token(const CombineArgs& args, int64_t token) {
    const Routing& routing = args.routing;
    float* out = args.out.f32(token);
    for (int64_t j = 0; j < routing.top_k; ++j) {
        const int64_t at = token * routing.top_k + j;
        const float weight = routing.weights[at];
        const float* row = args.rows.f32(routing.row_of[at]);
        for (int64_t c = 0; c < args.out.cols; ++c) {
            const float product = weight * row[c];
            out[c] = j == 0 ? product : out[c] + product;
        }
    }
}

void linear_group_by_expert(Backend& backend, const ExpertGroupArgs& args) {
    const size_t n = args.weights.size();
    QUAROT_CHECK(n >= 1 && n <= kMaxExpertLinears && args.outs.size() == n, "{} roles", n);
    QUAROT_CHECK(args.in.n_rows() == args.routing.n_rows(), "{} rows", args.in.n_rows());
    std::array<const Linear*, kMaxExpertLinears> weights{};
    std::array<Rows, kMaxExpertLinears> outs;
    for (int64_t expert = 0; expert < args.routing.n_experts; ++expert) {
        const int64_t first = args.routing.first_row[expert];
        const int64_t n_rows = args.routing.first_row[expert + 1] - first;
        if (n_rows == 0) continue;
        for (size_t i = 0; i < n; ++i) {
            weights[i] = args.weights[i][static_cast<size_t>(expert)].get();
            QUAROT_CHECK(weights[i] != nullptr, "expert {}", expert);
            outs[i] = args.outs[i].slice(first, n_rows);
        }
        backend.linear_group({.in = slice_of(args.in, first, n_rows),
                              .weights = std::span(weights).first(n),
                              .outs = std::span(outs).first(n)});
    }
}

}  // namespace quarot::kernels

#include "kernels/cpu/cpu_logits.h"

#include <algorithm>
#include <span>

#include "core/check.h"
#include "tensor/log_softmax.h"

namespace quarot::kernels::cpu {

namespace {

std::span<const float> row_of(const Rows& rows, int64_t row) {
    return {rows.f32(row), static_cast<size_t>(rows.cols)};
}

// values and ids [k] of the largest seen so far, in order; each logit goes to its place among them.
void largest(std::span<const float> logits, int64_t k, float* values, int32_t* ids) {
    int64_t n = 0;
    for (size_t id = 0; id < logits.size(); ++id) {
        const float logit = logits[id];
        if (n == k && !(logit > values[k - 1])) continue;
        int64_t place = n < k ? n++ : k - 1;
        for (; place > 0 && logit > values[place - 1]; --place) {
            values[place] = values[place - 1];
            ids[place] = ids[place - 1];
        }
        values[place] = logit;
        ids[place] = static_cast<int32_t>(id);
    }
}

}  // namespace

void log_probabilities(CpuContext& context, const LogProbabilityArgs& args) {
    context.parallel(args.logits.rows, [&](int64_t row, int) {
        const int64_t target = args.targets[row];
        QUAROT_CHECK(target < args.logits.cols, "target {}", target);
        const std::span<const float> logits = row_of(args.logits, row);
        args.out[row] = target < 0 ? 0.0
                                   : static_cast<double>(logits[static_cast<size_t>(target)]) -
                                         log_sum_exp(logits);
    });
}

void top_k(CpuContext& context, const TopKArgs& args) {
    QUAROT_CHECK(args.k >= 1 && args.k <= args.logits.cols, "k {}", args.k);
    context.parallel(args.logits.rows, [&](int64_t row, int) {
        largest(row_of(args.logits, row), args.k, args.values + row * args.k,
                args.ids + row * args.k);
    });
}

void divergence(CpuContext& context, const DivergenceArgs& args) {
    QUAROT_CHECK(args.base.rows == args.model.rows && args.base.cols == args.model.cols, "{} {}",
                 args.base.rows, args.model.rows);
    context.parallel(args.base.rows, [&](int64_t row, int) {
        const std::span<const float> base = row_of(args.base, row);
        const std::span<const float> model = row_of(args.model, row);
        args.out[row] = kl_divergence(base, log_sum_exp(base), model, log_sum_exp(model));
    });
}

}  // namespace quarot::kernels::cpu

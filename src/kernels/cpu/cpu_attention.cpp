#include "kernels/cpu/cpu_attention.h"

#include <limits>

#include "core/check.h"
#include "kernels/cpu/cpu_kv_store.h"

namespace quarot::kernels::cpu {

namespace {

// Query rows that share an expanded page: enough to pay for expanding it, few enough for L2.
constexpr int64_t kRowsPerTask = 192;

struct TaskMemory {
    float *q, *out, *sums, *maxima, *keys, *values, *scores;
    int32_t* limits;
};

TaskMemory carve(Carver& carver, int64_t rows, const KvLayout& k, const KvLayout& v) {
    TaskMemory m{};
    m.keys = carver.take<float>(k.slots * k.head_dim);
    m.values = carver.take<float>(v.slots * v.dims);
    m.scores = carver.take<float>(8 * k.slots);
    m.limits = carver.take<int32_t>(rows);
    m.maxima = carver.take<float>(rows);
    m.sums = carver.take<float>(16 * rows);
    m.q = carver.take<float>(rows * k.head_dim);
    m.out = carver.take<float>(rows * v.dims);
    return m;
}

TaskMemory task_memory(Scratch& scratch, int64_t rows, const KvLayout& k, const KvLayout& v) {
    Carver measure(nullptr);
    carve(measure, rows, k, v);
    Carver place(scratch.get(measure.used()));
    return carve(place, rows, k, v);
}

}  // namespace

void CpuAttention::list_tasks(const AttentionArgs& args) {
    tasks_.clear();
    const int64_t n_kv_heads = args.kv.descriptor().n_kv_heads;
    const int64_t tokens_per_task =
        std::clamp(kRowsPerTask / (args.n_heads / n_kv_heads), int64_t{8}, kRowsPerTask);
    for (int64_t s = 0; s < args.batch.n_sequences; ++s) {
        const int64_t first = args.batch.first_token[s], last = args.batch.first_token[s + 1];
        // Last queries first: they see the most positions, and the long tasks should not come last.
        for (int64_t end = last; end > first; end -= tokens_per_task) {
            const int64_t start = std::max(first, end - tokens_per_task);
            for (int64_t h = 0; h < n_kv_heads; ++h) tasks_.push_back({s, h, start, end - start});
        }
    }
}

void CpuAttention::run(CpuContext& context, const AttentionArgs& args) {
    const auto& store = static_cast<const CpuKvStore&>(args.kv);
    const KvDescriptor& d = store.descriptor();
    const BatchView& batch = args.batch;
    QUAROT_CHECK(args.n_heads % d.n_kv_heads == 0, "{} {}", args.n_heads, d.n_kv_heads);
    const KvLayout &k = store.layout(KvKind::Key), &v = store.layout(KvKind::Value);
    const int64_t group = args.n_heads / d.n_kv_heads, head_dim = d.head_dim;
    list_tasks(args);
    for (int64_t row = batch.first_token[batch.n_sequences]; row < args.out.rows; ++row) {
        std::fill_n(args.out.f32(row), args.out.cols, 0.0f);
    }

    const auto run_task = [&](int64_t index, int thread) {
        const Task& task = tasks_[static_cast<size_t>(index)];
        const int64_t n_rows = task.n_tokens * group;
        const TaskMemory m = task_memory(context.scratch(thread), n_rows, k, v);
        int64_t last_position = 0;
        for (int64_t t = 0; t < task.n_tokens; ++t) {
            const int64_t token = task.first_token + t;
            last_position = std::max<int64_t>(last_position, batch.positions[token]);
            const float* q = args.q.f32(token) + task.kv_head * group * head_dim;
            float* to = m.q + t * group * head_dim;
            for (int64_t i = 0; i < group * head_dim; ++i) to[i] = q[i] * args.scale;
        }
        std::fill_n(m.maxima, n_rows, -std::numeric_limits<float>::infinity());
        std::fill_n(m.sums, 16 * n_rows, 0.0f);
        std::fill_n(m.out, n_rows * v.dims, 0.0f);
        const AttentionRows rows{m.q, m.maxima, m.sums, m.out, n_rows, head_dim, v.dims};
        for (int64_t entry = 0; entry * d.page_tokens <= last_position; ++entry) {
            const int64_t page = batch.pages[batch.first_page[task.sequence] + entry];
            const KvPlace place{args.layer, page, task.kv_head};
            context.isa.expand_keys(store.block(KvKind::Key, place), m.keys);
            context.isa.expand_values(store.block(KvKind::Value, place), m.values);
            for (int64_t r = 0; r < n_rows; ++r) {
                const int64_t position = batch.positions[task.first_token + r / group];
                const int64_t seen = position + 1 - entry * d.page_tokens;
                m.limits[r] = static_cast<int32_t>(std::clamp<int64_t>(seen, 0, d.page_tokens));
            }
            context.isa.attend_page(rows, m.keys, m.values, k.slots, m.limits, m.scores);
        }
        for (int64_t r = 0; r < n_rows; ++r) {
            const int64_t head = task.kv_head * group + r % group;
            context.isa.finish_row(m.out + r * v.dims, m.sums + 16 * r, head_dim,
                                   args.out.f32(task.first_token + r / group) + head * head_dim);
        }
    };
    context.parallel(static_cast<int64_t>(tasks_.size()), run_task);
}

}  // namespace quarot::kernels::cpu

#include "kernels/cpu/cpu_attention.h"

#include <limits>

#include "core/check.h"
#include "kernels/cpu/cpu_kv_store.h"

namespace quarot::kernels::cpu {

namespace {

// Query rows that share an expanded page: enough to pay for expanding it, few enough for L2.
constexpr int64_t kRowsPerTask = 192;

struct TaskMemory {
    float *q, *q_sums, *out, *sums, *zeros, *maxima, *below_keys, *keys, *values, *scores;
    float *folded, *folded_sums;
    int32_t *limits, *starts;
};

// depth: values of a query and of a key.
TaskMemory carve(Carver& carver, int64_t rows, int64_t depth, const KvLayout& k,
                 const KvLayout& v) {
    TaskMemory m{};
    m.keys = carver.take<float>(k.slots * k.head_dim);
    m.below_keys = carver.take<float>(k.slots * (depth - k.head_dim));
    m.values = carver.take<float>(v.slots * v.dims);
    m.zeros = carver.take<float>(v.slots);
    m.scores = carver.take<float>(8 * k.slots);
    m.limits = carver.take<int32_t>(rows);
    m.starts = carver.take<int32_t>(rows);
    m.maxima = carver.take<float>(rows);
    m.sums = carver.take<float>(16 * rows);
    m.q_sums = carver.take<float>(rows);
    m.q = carver.take<float>(rows * depth);
    m.out = carver.take<float>(rows * v.dims);
    if (k.block > 0) {
        m.folded = carver.take<float>(rows * depth);
        m.folded_sums = carver.take<float>(rows);
    }
    return m;
}

TaskMemory task_memory(Scratch& scratch, int64_t rows, int64_t depth, const KvLayout& k,
                       const KvLayout& v) {
    Carver measure(nullptr);
    carve(measure, rows, depth, k, v);
    Carver place(scratch.get(measure.used()));
    return carve(place, rows, depth, k, v);
}

// The part of keys that the cache leaves out is a dot product of its own: the position's cosines
// and sines stand below the key as head_dim further values, and the query has behind it its
// products with the rows of the basis.
void extend_query(const float* basis, int64_t head_dim, float* q) {
    for (int64_t i = 0; i < head_dim; ++i) {
        float sum = 0.0f;
        for (int64_t d = 0; d < head_dim; ++d) sum += basis[i * head_dim + d] * q[d];
        q[head_dim + i] = sum;
    }
}

// In 16 lanes, so that compilers find vectors in it.
float sum_of(const float* values, int64_t n) {
    float lanes[16] = {};
    for (int64_t i = 0; i + 16 <= n; i += 16) {
        for (int64_t lane = 0; lane < 16; ++lane) lanes[lane] += values[i + lane];
    }
    for (int64_t i = n / 16 * 16; i < n; ++i) lanes[i % 16] += values[i];
    for (int64_t width = 8; width > 0; width /= 2) {
        for (int64_t lane = 0; lane < width; ++lane) lanes[lane] += lanes[lane + width];
    }
    return lanes[0];
}

// rows [head_dim, slots] of the positions from `first` on.
void extend_keys(const RopeTable& table, int64_t first, int64_t head_dim, int64_t slots,
                 float* rows) {
    const int64_t half = head_dim / 2;
    const int64_t n = std::clamp<int64_t>(table.n_positions - first, 0, slots);
    std::fill_n(rows, head_dim * slots, 0.0f);
    for (int64_t s = 0; s < n; ++s) {
        const float* cos = table.cos + (first + s) * half;
        const float* sin = table.sin + (first + s) * half;
        for (int64_t i = 0; i < half; ++i) {
            rows[i * slots + s] = cos[i];
            rows[(half + i) * slots + s] = sin[i];
        }
    }
}

// Rows [first, first + n).
AttentionRows some_of(AttentionRows rows, int64_t first, int64_t n) {
    rows.q += first * rows.head_dim;
    rows.q_sums += first;
    rows.maxima += first;
    rows.sums += 16 * first;
    rows.out += first * rows.dims;
    rows.n_rows = n;
    return rows;
}

// The keys by channel of block `index` as they came; `room` [head_dim, block] is filled with those
// that do not stand together.
KvBlock exact_keys(const CpuKvStore& store, const AttentionArgs& args, const ChannelRun& run,
                   int64_t head, int64_t index, float* room) {
    const int64_t dim = store.descriptor().head_dim, block = run.block;
    KvBlock keys = {.codes = room, .head_dim = dim, .slots = block, .bits = 16, .stride = block};
    if (index == run.newest_block()) {
        keys.codes = store.newest_keys(args.layer, run.seat, head);
        return keys;
    }
    const int64_t n_found = index == run.first_block() ? run.n_found() : 0;
    const float* found = store.left_keys(run.seat, head);
    for (int64_t c = 0; c < dim && n_found > 0; ++c) {
        std::copy_n(found + c * block, n_found, room + c * block);
    }
    for (int64_t slot = n_found; slot < block; ++slot) {
        const float* key = args.k.f32(run.token_of(index * block + slot)) + head * dim;
        for (int64_t c = 0; c < dim; ++c) room[c * block + slot] = key[c];
    }
    return keys;
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
    const float* basis = args.key_bias.basis;
    QUAROT_CHECK(d.k_bias_apart == (basis != nullptr));
    const int64_t depth = basis == nullptr ? head_dim : 2 * head_dim;
    // Positions looked at together, and their padded slots: a page, or a block of keys by channel.
    const int64_t span = k.block > 0 ? k.block : d.page_tokens;
    const int64_t slots = k.block > 0 ? k.block : k.slots;
    list_tasks(args);
    for (int64_t row = batch.first_token[batch.n_sequences]; row < args.out.rows; ++row) {
        std::fill_n(args.out.f32(row), args.out.cols, 0.0f);
    }

    const auto run_task = [&](int64_t index, int thread) {
        const Task& task = tasks_[static_cast<size_t>(index)];
        const int64_t n_rows = task.n_tokens * group;
        const TaskMemory m = task_memory(context.scratch(thread), n_rows, depth, k, v);
        int64_t last_position = 0, first_position = batch.positions[task.first_token];
        for (int64_t t = 0; t < task.n_tokens; ++t) {
            const int64_t token = task.first_token + t;
            last_position = std::max<int64_t>(last_position, batch.positions[token]);
            first_position = std::min<int64_t>(first_position, batch.positions[token]);
            const float* q = args.q.f32(token) + task.kv_head * group * head_dim;
            for (int64_t g = 0; g < group; ++g) {
                float* to = m.q + (t * group + g) * depth;
                for (int64_t i = 0; i < head_dim; ++i) to[i] = q[g * head_dim + i] * args.scale;
                m.q_sums[t * group + g] = sum_of(to, head_dim);
                if (basis == nullptr) continue;
                extend_query(basis + task.kv_head * head_dim * head_dim, head_dim, to);
            }
        }
        std::fill_n(m.maxima, n_rows, -std::numeric_limits<float>::infinity());
        std::fill_n(m.sums, 16 * n_rows, 0.0f);
        std::fill_n(m.out, n_rows * v.dims, 0.0f);
        const AttentionRows rows{m.q, m.q_sums, m.maxima, m.sums, m.out, n_rows, depth, v.dims};
        const ChannelRun run = k.block > 0 ? channel_run(d, batch, task.sequence) : ChannelRun{};
        for (int64_t entry = first_seen(first_position, args.window) / span;
             entry * span <= last_position; ++entry) {
            const int64_t first = entry * span;
            const int64_t page =
                batch.pages[batch.first_page[task.sequence] + first / d.page_tokens];
            const KvPlace place{args.layer, page, task.kv_head};
            if (basis != nullptr) {
                extend_keys(args.key_bias.table, first, head_dim, slots, m.below_keys);
            }
            int64_t n_before = 0, n_own = 0;  // rows of tokens before the block, and of its own
            for (int64_t r = 0; r < n_rows; ++r) {
                const int64_t position = batch.positions[task.first_token + r / group];
                n_before += position < first ? 1 : 0;
                n_own += position >= first && position < first + span ? 1 : 0;
                m.limits[r] =
                    static_cast<int32_t>(std::clamp<int64_t>(position + 1 - first, 0, span));
                if (args.window == 0) continue;
                const int64_t start = first_seen(position, args.window) - first;
                m.starts[r] = static_cast<int32_t>(std::clamp<int64_t>(start, 0, span));
                if (m.starts[r] >= m.limits[r]) m.limits[r] = 0;
            }
            const auto attend = [&](const KvBlock& keys, int64_t first_row, int64_t n) {
                if (n == 0) return;
                context.isa.attend_page(
                    some_of(rows, first_row, n),
                    {.k = keys,
                     .v = store.part(KvKind::Value, place, first % d.page_tokens, slots),
                     .below_keys = basis == nullptr ? nullptr : m.below_keys,
                     .starts = args.window == 0 ? nullptr : m.starts + first_row,
                     .score_cap = args.score_cap,
                     .scores = m.scores,
                     .keys = m.keys,
                     .values = m.values,
                     .zeros = m.zeros,
                     .folded = m.folded,
                     .folded_sums = m.folded_sums},
                    m.limits + first_row);
            };
            const auto stored = store.part(KvKind::Key, place, first % d.page_tokens, slots);
            if (k.block == 0) {
                attend(stored, 0, n_rows);
                continue;
            }
            if (n_own > 0) {
                attend(exact_keys(store, args, run, task.kv_head, entry, m.keys), n_before, n_own);
            }
            attend(stored, n_before + n_own, n_rows - n_before - n_own);
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

#include "kernels/cpu/cpu_attention.h"

#include <algorithm>
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

// A call's arguments as its tasks need them.
class AttentionCall {
  public:
    AttentionCall(CpuContext& context, const AttentionArgs& args)
        : context_(context),
          args_(args),
          store_(static_cast<const CpuKvStore&>(args.kv)),
          descriptor_(store_.descriptor()),
          k_(store_.layout(KvKind::Key)),
          v_(store_.layout(KvKind::Value)),
          group_(args.n_heads / descriptor_.n_kv_heads),
          depth_(has_bias() ? 2 * descriptor_.head_dim : descriptor_.head_dim),
          span_(k_.block > 0 ? k_.block : descriptor_.page_tokens),
          slots_(k_.block > 0 ? k_.block : k_.slots) {
        QUAROT_CHECK(args.n_heads % descriptor_.n_kv_heads == 0, "{} {}", args.n_heads,
                     descriptor_.n_kv_heads);
        QUAROT_CHECK(descriptor_.k_bias_apart == has_bias());
    }

    void run(const AttentionTask& task, int thread) const {
        const int64_t n_rows = task.n_tokens * group_;
        const TaskMemory m = task_memory(context_.scratch(thread), n_rows, depth_, k_, v_);
        scale_queries(task, m);
        std::fill_n(m.maxima, n_rows, -std::numeric_limits<float>::infinity());
        std::fill_n(m.sums, 16 * n_rows, 0.0f);
        std::fill_n(m.out, n_rows * v_.dims, 0.0f);
        const int32_t* positions = args_.batch.positions + task.first_token;
        const auto [first, last] = std::minmax_element(positions, positions + task.n_tokens);
        for (int64_t index = first_seen(*first, args_.window) / span_; index * span_ <= *last;
             ++index) {
            attend_span(task, m, index);
        }
        for (int64_t r = 0; r < n_rows; ++r) {
            const int64_t head = task.kv_head * group_ + r % group_;
            float* out = args_.out.f32(task.first_token + r / group_);
            context_.isa.finish_row(m.out + r * v_.dims, m.sums + 16 * r, descriptor_.head_dim,
                                    out + head * descriptor_.head_dim);
        }
    }

  private:
    // How many of a task's rows stand at positions before a span, and in it.
    struct RowCounts {
        int64_t before = 0, inside = 0;
    };

    bool has_bias() const { return args_.key_bias.basis != nullptr; }

    void scale_queries(const AttentionTask& task, const TaskMemory& m) const {
        const int64_t head_dim = descriptor_.head_dim;
        for (int64_t t = 0; t < task.n_tokens; ++t) {
            const float* q = args_.q.f32(task.first_token + t) + task.kv_head * group_ * head_dim;
            for (int64_t g = 0; g < group_; ++g) {
                float* to = m.q + (t * group_ + g) * depth_;
                for (int64_t i = 0; i < head_dim; ++i) to[i] = q[g * head_dim + i] * args_.scale;
                m.q_sums[t * group_ + g] = sum_of(to, head_dim);
                if (!has_bias()) continue;
                extend_query(args_.key_bias.basis + task.kv_head * head_dim * head_dim, head_dim,
                             to);
            }
        }
    }

    // Which slots of the span at position `first` each row sees.
    RowCounts limit_rows(const AttentionTask& task, const TaskMemory& m, int64_t first) const {
        RowCounts rows;
        for (int64_t r = 0; r < task.n_tokens * group_; ++r) {
            const int64_t position = args_.batch.positions[task.first_token + r / group_];
            rows.before += position < first ? 1 : 0;
            rows.inside += position >= first && position < first + span_ ? 1 : 0;
            m.limits[r] = slot_at(position + 1 - first);
            if (args_.window == 0) continue;
            m.starts[r] = slot_at(first_seen(position, args_.window) - first);
            if (m.starts[r] >= m.limits[r]) m.limits[r] = 0;
        }
        return rows;
    }

    int32_t slot_at(int64_t offset) const {
        return static_cast<int32_t>(std::clamp<int64_t>(offset, 0, span_));
    }

    // Positions [index * span, (index + 1) * span): a page, or a block of keys by channel.
    void attend_span(const AttentionTask& task, const TaskMemory& m, int64_t index) const {
        const BatchView& batch = args_.batch;
        const int64_t first = index * span_, n_rows = task.n_tokens * group_;
        const int64_t in_page = first % descriptor_.page_tokens;
        const int64_t page =
            batch.pages[batch.first_page[task.sequence] + first / descriptor_.page_tokens];
        const KvPlace place{args_.layer, page, task.kv_head};
        if (has_bias()) {
            extend_keys(args_.key_bias.table, first, descriptor_.head_dim, slots_, m.below_keys);
        }
        const RowCounts rows = limit_rows(task, m, first);
        const KvBlock values = store_.part(KvKind::Value, place, in_page, slots_);
        const KvBlock stored = store_.part(KvKind::Key, place, in_page, slots_);
        if (k_.block == 0) {
            attend(task, m, stored, values, 0, n_rows);
            return;
        }
        if (rows.inside > 0) {
            const ChannelRun run = channel_run(descriptor_, batch, task.sequence);
            attend(task, m, exact_keys(store_, args_, run, task.kv_head, index, m.keys), values,
                   rows.before, rows.inside);
        }
        const int64_t seen = rows.before + rows.inside;
        attend(task, m, stored, values, seen, n_rows - seen);
    }

    // Rows [first_row, first_row + n) of the task.
    void attend(const AttentionTask& task, const TaskMemory& m, const KvBlock& keys,
                const KvBlock& values, int64_t first_row, int64_t n) const {
        if (n == 0) return;
        const AttentionRows rows{m.q,    m.q_sums, m.maxima, m.sums, m.out, task.n_tokens * group_,
                                 depth_, v_.dims};
        context_.isa.attend_page(some_of(rows, first_row, n),
                                 {.k = keys,
                                  .v = values,
                                  .below_keys = has_bias() ? m.below_keys : nullptr,
                                  .starts = args_.window == 0 ? nullptr : m.starts + first_row,
                                  .score_cap = args_.score_cap,
                                  .scores = m.scores,
                                  .keys = m.keys,
                                  .values = m.values,
                                  .zeros = m.zeros,
                                  .folded = m.folded,
                                  .folded_sums = m.folded_sums},
                                 m.limits + first_row);
    }

    CpuContext& context_;
    const AttentionArgs& args_;
    const CpuKvStore& store_;
    const KvDescriptor& descriptor_;
    const KvLayout &k_, &v_;
    int64_t group_;  // query heads of a kv head
    int64_t depth_;  // values of a query: with a bias apart, head_dim further ones
    int64_t span_;   // positions looked at together
    int64_t slots_;  // those padded
};

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
    const AttentionCall call(context, args);
    list_tasks(args);
    for (int64_t row = args.batch.first_token[args.batch.n_sequences]; row < args.out.rows; ++row) {
        std::fill_n(args.out.f32(row), args.out.cols, 0.0f);
    }
    context.parallel(static_cast<int64_t>(tasks_.size()), [&](int64_t index, int thread) {
        call.run(tasks_[static_cast<size_t>(index)], thread);
    });
}

}  // namespace quarot::kernels::cpu

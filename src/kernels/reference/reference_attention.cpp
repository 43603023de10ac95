#include "kernels/reference/reference_attention.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "core/check.h"
#include "kernels/reference/reference_kv_store.h"

namespace quarot::kernels {

namespace {

constexpr int64_t kTokensPerTask = 64;

KvPlace place_of(const KvStore& kv, const BatchView& batch, int64_t sequence, int64_t position) {
    const int64_t page_tokens = kv.descriptor().page_tokens;
    const int64_t index = position / page_tokens;
    const int64_t first = batch.first_page[sequence], end = batch.first_page[sequence + 1];
    QUAROT_CHECK(position >= 0 && index < end - first, "position {}", position);
    const int64_t page = batch.pages[first + index];
    QUAROT_CHECK(page >= 0 && page < kv.n_pages(), "page {}", page);
    return {.page = page, .slot = position % page_tokens};
}

// Some tokens of one sequence against one KV head.
struct Task {
    int64_t sequence, kv_head, first_token, n_tokens;
};

std::vector<Task> split(const AttentionArgs& args) {
    std::vector<Task> tasks;
    for (int64_t s = 0; s < args.batch.n_sequences; ++s) {
        const int64_t end = args.batch.first_token[s + 1];
        for (int64_t t = args.batch.first_token[s]; t < end; t += kTokensPerTask) {
            for (int64_t h = 0; h < args.kv.descriptor().n_kv_heads; ++h) {
                tasks.push_back({s, h, t, std::min(kTokensPerTask, end - t)});
            }
        }
    }
    return tasks;
}

// K transposed, so that the sums over head_dim run side by side for all positions.
struct Context {
    std::vector<double> k;  // [head_dim, n]
    std::vector<double> v;  // [n, head_dim]
    int64_t first = 0;      // position
    int64_t n = 0;
};

// key += what the cache leaves out of the key at `position`.
void add_key_bias(const KeyBias& bias, int64_t kv_head, int64_t position, std::span<double> key) {
    if (bias.basis == nullptr) return;
    QUAROT_CHECK(position < bias.table.n_positions, "position {}", position);
    const auto dim = static_cast<int64_t>(key.size()), half = dim / 2;
    const float* basis = bias.basis + kv_head * dim * dim;
    for (int64_t i = 0; i < half; ++i) {
        const double cos = bias.table.cos[position * half + i];
        const double sin = bias.table.sin[position * half + i];
        for (int64_t d = 0; d < dim; ++d) {
            key[static_cast<size_t>(d)] +=
                cos * basis[i * dim + d] + sin * basis[(half + i) * dim + d];
        }
    }
}

// Of positions [first, first + n).
Context read_context(const AttentionArgs& args, const Task& task, int64_t first, int64_t n) {
    const auto& store = static_cast<const ReferenceKvStore&>(args.kv);
    const int64_t dim = args.kv.descriptor().head_dim;
    Context context;
    context.first = first;
    context.n = n;
    context.k.resize(static_cast<size_t>(n * dim));
    context.v.resize(static_cast<size_t>(n * dim));
    std::vector<float> values(static_cast<size_t>(dim));
    std::vector<double> key(values.size());
    for (int64_t p = 0; p < n; ++p) {
        KvPlace place = place_of(args.kv, args.batch, task.sequence, first + p);
        place.layer = args.layer;
        place.head = task.kv_head;
        store.vectors(KvKind::Key).get(place, values);
        key.assign(values.begin(), values.end());
        add_key_bias(args.key_bias, task.kv_head, first + p, key);
        for (int64_t i = 0; i < dim; ++i) {
            context.k[static_cast<size_t>(i * n + p)] = key[static_cast<size_t>(i)];
        }
        store.vectors(KvKind::Value).get(place, values);
        std::copy(values.begin(), values.end(), context.v.begin() + p * dim);
    }
    return context;
}

// Positions that a token sees, counted from the context's first.
struct Visible {
    int64_t first, n;
};

// weights[n] = exp(score - max) of visible positions; returns their sum.
double softmax_weights(const float* q, const AttentionArgs& args, const Context& context,
                       int64_t first, std::span<double> weights) {
    std::fill(weights.begin(), weights.end(), 0.0);
    for (int64_t i = 0; i < args.kv.descriptor().head_dim; ++i) {
        const double qi = q[i];
        const double* k = context.k.data() + i * context.n + first;
        for (size_t p = 0; p < weights.size(); ++p) weights[p] += qi * k[p];
    }
    for (double& weight : weights) {
        weight *= args.scale;
        if (args.score_cap != 0.0f) weight = args.score_cap * std::tanh(weight / args.score_cap);
    }
    const double max = *std::max_element(weights.begin(), weights.end());
    double sum = 0.0;
    for (double& weight : weights) {
        weight = std::exp(weight - max);
        sum += weight;
    }
    return sum;
}

void attend(const float* q, const AttentionArgs& args, const Context& context,
            const Visible& visible, float* out) {
    const int64_t dim = args.kv.descriptor().head_dim;
    std::vector<double> weights(static_cast<size_t>(visible.n));
    const double sum = softmax_weights(q, args, context, visible.first, weights);
    std::vector<double> mixed(static_cast<size_t>(dim), 0.0);
    for (size_t p = 0; p < weights.size(); ++p) {
        const double weight = weights[p];
        const double* v = context.v.data() + (visible.first + static_cast<int64_t>(p)) * dim;
        for (int64_t i = 0; i < dim; ++i) mixed[static_cast<size_t>(i)] += weight * v[i];
    }
    for (int64_t i = 0; i < dim; ++i) {
        out[i] = static_cast<float>(mixed[static_cast<size_t>(i)] / sum);
    }
}

void run(const AttentionArgs& args, const Task& task) {
    const KvDescriptor& d = args.kv.descriptor();
    const int64_t queries_per_kv = args.n_heads / d.n_kv_heads;
    const int32_t* positions = args.batch.positions + task.first_token;
    const auto [lowest, highest] = std::minmax_element(positions, positions + task.n_tokens);
    const int64_t first = first_seen(*lowest, args.window);
    const Context context = read_context(args, task, first, *highest + 1 - first);
    for (int64_t t = 0; t < task.n_tokens; ++t) {
        const int64_t seen = first_seen(positions[t], args.window);
        const Visible visible = {seen - first, positions[t] + 1 - seen};
        for (int64_t h = 0; h < queries_per_kv; ++h) {
            const int64_t column = (task.kv_head * queries_per_kv + h) * d.head_dim;
            attend(args.q.f32(task.first_token + t) + column, args, context, visible,
                   args.out.f32(task.first_token + t) + column);
        }
    }
}

}  // namespace

void reference_append_kv(ThreadPool& pool, const AppendKvArgs& args) {
    const KvDescriptor& d = args.kv.descriptor();
    const int64_t width = d.n_kv_heads * d.head_dim;
    QUAROT_CHECK(args.k.cols == width && args.v.cols == width);
    QUAROT_CHECK(args.k.rows == args.batch.n_tokens && args.v.rows == args.batch.n_tokens);
    QUAROT_CHECK(args.layer >= 0 && args.layer < d.n_layers, "layer {}", args.layer);
    auto& store = static_cast<ReferenceKvStore&>(args.kv);
    const auto dim = static_cast<size_t>(d.head_dim);
    pool.parallel_for(args.batch.n_tokens, [&](int64_t token, int) {
        const int64_t position = args.batch.positions[token];
        if (position < 0) return;
        KvPlace place =
            place_of(args.kv, args.batch, args.batch.sequence_of_token[token], position);
        place.layer = args.layer;
        for (place.head = 0; place.head < d.n_kv_heads; ++place.head) {
            const int64_t column = place.head * d.head_dim;
            const std::span k(args.k.f32(token) + column, dim);
            const std::span v(args.v.f32(token) + column, dim);
            bool finite = store.vectors(KvKind::Key).put(place, position, k);
            finite &= store.vectors(KvKind::Value).put(place, position, v);
            if (!finite) note_row(args.note, token);
        }
    });
}

void reference_attention(ThreadPool& pool, const AttentionArgs& args) {
    const KvDescriptor& d = args.kv.descriptor();
    QUAROT_CHECK(args.n_heads % d.n_kv_heads == 0, "{} heads, {} KV heads", args.n_heads,
                 d.n_kv_heads);
    QUAROT_CHECK(args.q.cols == args.n_heads * d.head_dim && args.out.cols == args.q.cols);
    QUAROT_CHECK(args.q.rows == args.batch.n_tokens && args.out.rows == args.batch.n_tokens);
    QUAROT_CHECK(args.layer >= 0 && args.layer < d.n_layers, "layer {}", args.layer);
    QUAROT_CHECK(d.k_bias_apart == (args.key_bias.basis != nullptr));
    for (int64_t row = args.batch.first_token[args.batch.n_sequences]; row < args.out.rows; ++row) {
        std::fill_n(args.out.f32(row), args.out.cols, 0.0f);
    }
    const std::vector<Task> tasks = split(args);
    pool.parallel_for(static_cast<int64_t>(tasks.size()),
                      [&](int64_t i, int) { run(args, tasks[static_cast<size_t>(i)]); });
}

}  // namespace quarot::kernels

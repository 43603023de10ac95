#include "kernels/reference/reference_attention.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "core/check.h"
#include "kernels/reference/reference_channel_keys.h"
#include "kernels/reference/reference_kv_store.h"

namespace quarot::kernels {

namespace {

constexpr int64_t kTokensPerTask = 64;

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
    // Of keys by channel those as they came, [head_dim, n - first_exact]: a token sees k before its
    // own block and these from there on.
    std::vector<double> exact_k;
    int64_t first_exact = 0;  // counted from `first`, and at a border of blocks, if not 0
    int64_t block = 0;        // 0: all of k counts
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

// The keys of positions [first, first + n), transposed.
template <typename Get>
std::vector<double> read_keys(const AttentionArgs& args, int64_t kv_head, int64_t first, int64_t n,
                              const Get& get) {
    const int64_t dim = args.kv.descriptor().head_dim;
    std::vector<double> keys(static_cast<size_t>(n * dim));
    std::vector<float> values(static_cast<size_t>(dim));
    std::vector<double> key(values.size());
    for (int64_t p = 0; p < n; ++p) {
        get(first + p, values);
        key.assign(values.begin(), values.end());
        add_key_bias(args.key_bias, kv_head, first + p, key);
        for (int64_t i = 0; i < dim; ++i) {
            keys[static_cast<size_t>(i * n + p)] = key[static_cast<size_t>(i)];
        }
    }
    return keys;
}

// Of keys by channel: codes before the block of the last query, the others as they came.
void read_channel_keys(const AttentionArgs& args, const Task& task, const ChannelKeys& keys,
                       Context& context) {
    const ChannelRun run = channel_run(args.kv.descriptor(), args.batch, task.sequence);
    const int64_t end = context.first + context.n;
    const int64_t first_query = args.batch.positions[task.first_token];
    const int64_t first_exact = std::max(first_query - first_query % run.block, context.first);
    context.block = run.block;
    context.first_exact = first_exact - context.first;
    const auto from_codes = [&](int64_t position, std::span<float> values) {
        if (position / run.block == (end - 1) / run.block) return;  // no query sees them
        KvPlace place = place_of(args.kv, args.batch, task.sequence, position);
        place.layer = args.layer;
        place.head = task.kv_head;
        keys.get(place, values);
    };
    const auto as_they_came = [&](int64_t position, std::span<float> values) {
        const float* key = keys.exact(run, args.k, args.layer, task.kv_head, position);
        std::copy_n(key, values.size(), values.begin());
    };
    context.k = read_keys(args, task.kv_head, context.first, context.n, from_codes);
    context.exact_k = read_keys(args, task.kv_head, first_exact, end - first_exact, as_they_came);
}

// Of positions [first, first + n).
Context read_context(const AttentionArgs& args, const Task& task, int64_t first, int64_t n) {
    const auto& store = static_cast<const ReferenceKvStore&>(args.kv);
    const int64_t dim = args.kv.descriptor().head_dim;
    Context context;
    context.first = first;
    context.n = n;
    context.v.resize(static_cast<size_t>(n * dim));
    const auto read = [&](KvKind kind, int64_t position, std::span<float> values) {
        KvPlace place = place_of(args.kv, args.batch, task.sequence, position);
        place.layer = args.layer;
        place.head = task.kv_head;
        store.vectors(kind).get(place, values);
    };
    std::vector<float> values(static_cast<size_t>(dim));
    for (int64_t p = 0; p < n; ++p) {
        read(KvKind::Value, first + p, values);
        std::copy(values.begin(), values.end(), context.v.begin() + p * dim);
    }
    if (store.channel_keys() != nullptr) {
        read_channel_keys(args, task, *store.channel_keys(), context);
        return context;
    }
    context.k = read_keys(
        args, task.kv_head, first, n,
        [&](int64_t position, std::span<float> key) { read(KvKind::Key, position, key); });
    return context;
}

// Positions that a token sees, counted from the context's first.
struct Visible {
    int64_t first, n;
};

// sums[n] = q . k of positions from `first` on; keys [head_dim, stride].
void add_products(const float* q, int64_t dim, const std::vector<double>& keys, int64_t stride,
                  int64_t first, std::span<double> sums) {
    for (int64_t i = 0; i < dim; ++i) {
        const double qi = q[i];
        const double* k = keys.data() + i * stride + first;
        for (size_t p = 0; p < sums.size(); ++p) sums[p] += qi * k[p];
    }
}

// weights[n] = exp(score - max) of visible positions; returns their sum.
double softmax_weights(const float* q, const AttentionArgs& args, const Context& context,
                       int64_t first, std::span<double> weights) {
    std::fill(weights.begin(), weights.end(), 0.0);
    const int64_t dim = args.kv.descriptor().head_dim;
    const int64_t n = std::ssize(weights);
    int64_t n_codes = n;
    if (context.block > 0) {
        const int64_t last = context.first + first + n - 1;
        n_codes = std::clamp<int64_t>(n - 1 - last % context.block, 0, n);
        add_products(q, dim, context.exact_k, context.n - context.first_exact,
                     first + n_codes - context.first_exact,
                     weights.subspan(static_cast<size_t>(n_codes)));
    }
    add_products(q, dim, context.k, context.n, first, weights.first(static_cast<size_t>(n_codes)));
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
    ChannelKeys* const channel_keys = store.channel_keys();
    if (channel_keys != nullptr) {
        pool.parallel_for(args.batch.n_sequences * d.n_kv_heads, [&](int64_t task, int) {
            channel_keys->append(args, task / d.n_kv_heads, task % d.n_kv_heads);
        });
    }
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
            bool finite = store.vectors(KvKind::Value).put(place, position, v);
            if (channel_keys == nullptr) {
                finite &= store.vectors(KvKind::Key).put(place, position, k);
            }
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

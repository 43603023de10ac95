#include "kernels/reference/reference_backend.h"

#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include "comm/thread_comm.h"
#include "core/check.h"
#include "core/error.h"
#include "core/thread_pool.h"
#include "kernels/host_experts.h"
#include "kernels/reference/reference_attention.h"
#include "kernels/reference/reference_gram.h"
#include "kernels/reference/reference_kv_store.h"
#include "kernels/reference/reference_linear.h"
#include "kernels/reference/reference_logits.h"
#include "kernels/reference/reference_quantize.h"
#include "kernels/reference/reference_rows.h"
#include "kernels/reference/reference_weights.h"
#include "tensor/float_convert.h"

namespace quarot::kernels {

namespace {

struct ReferenceEmbedding final : Embedding {
    explicit ReferenceEmbedding(std::shared_ptr<const Tensor> t) : table(std::move(t)) {}
    std::shared_ptr<const Tensor> table;  // [vocabulary, hidden]
};

void read_row(const Embedding& embedding, int64_t row, std::span<float> out) {
    const Tensor& table = *static_cast<const ReferenceEmbedding&>(embedding).table;
    QUAROT_CHECK(table.cols() == std::ssize(out), "{} {}", table.cols(), out.size());
    QUAROT_CHECK(row >= 0 && row < table.rows(), "row {} of {}", row, table.rows());
    widen(table.dtype(), table.data() + row * table.cols() * size_of(table.dtype()), out);
}

// Takes its scratch from the heap inside operations, which the contract forbids to fast backends.
class ReferenceBackend final : public Backend {
  public:
    explicit ReferenceBackend(int n_threads) : pool_(n_threads) {}

    BackendInfo info() const override { return {"reference", "scalar", pool_.size()}; }
    BackendTraits traits() const override { return {.mixtures = true, .cross_grams = true}; }

    Buffer allocate(int64_t bytes) override {
        QUAROT_CHECK(bytes >= 0, "{} bytes", bytes);
        const auto storage = std::make_shared<Storage>(bytes);
        void* const data = storage->data();
        return {data, bytes, [storage](void*) {}};  // freed with the deleter
    }
    void upload(void* to, const void* host, int64_t bytes) override { copy(to, host, bytes); }
    void download(void* host, const void* from, int64_t bytes) override { copy(host, from, bytes); }

    std::unique_ptr<Linear> prepare_linear(LinearWeights weights) override {
        return prepare_reference_linear(std::move(weights));
    }
    std::unique_ptr<Embedding> prepare_embedding(HostMatrix matrix) override {
        auto table = as_floats(matrix);
        QUAROT_CHECK(table != nullptr && table->shape().size() == 2);
        if (!is_float_weight(table->dtype())) {
            fail(ErrorCode::Unsupported, "an embedding table is {}, expected F32, F16 or BF16",
                 name_of(table->dtype()));
        }
        return std::make_unique<ReferenceEmbedding>(std::move(table));
    }
    std::unique_ptr<Transform> prepare_transform(const linalg::Mixer& mixer, int64_t inner,
                                                 DType storage) override {
        QUAROT_CHECK(inner >= 1, "inner {}", inner);
        return std::make_unique<ReferenceTransform>(mixer, inner, storage);
    }
    std::unique_ptr<KvStore> make_kv_store(const KvDescriptor& descriptor,
                                           int64_t n_pages) override {
        return std::make_unique<ReferenceKvStore>(descriptor, n_pages);
    }
    std::optional<int64_t> kv_bytes(const KvDescriptor& descriptor,
                                    int64_t n_pages) const override {
        return reference_kv_bytes(descriptor, n_pages);
    }

    std::vector<std::unique_ptr<comm::Comm>> join(std::span<Backend* const> others) override {
        return comm::thread_comms(1 + static_cast<int>(others.size()));
    }

    void embed(const EmbedArgs& args) override;
    void gather_rows(Rows in, const int32_t* row_indices, Rows out) override;
    void gather_columns(Rows in, const int32_t* columns, Rows out) override;
    void norm(const NormArgs& args) override { reference_norm(pool_, args); }
    void transform(const Transform& transform, Rows rows) override {
        reference_transform(pool_, static_cast<const ReferenceTransform&>(transform), rows);
    }
    void add(Rows to, Rows from) override { reference_add(pool_, to, from); }
    void scale(const ScaleArgs& args) override { reference_scale(pool_, args); }
    void quantize(Rows in, QuantizedRows out, SiteNote note) override {
        reference_quantize(pool_, in, out, note);
    }
    void find_non_finite(Rows in, SiteNote note) override {
        reference_find_non_finite(pool_, in, note);
    }
    void linear(const LinearArgs& args) override { reference_linear(pool_, args); }
    void rope(const RopeArgs& args) override { reference_rope(pool_, args); }
    void append_kv(const AppendKvArgs& args) override { reference_append_kv(pool_, args); }
    void attention(const AttentionArgs& args) override { reference_attention(pool_, args); }
    void activate(const ActivateArgs& args) override { reference_activate(pool_, args); }
    void accumulate_gram(Rows in, double* gram) override { reference_gram(pool_, in, gram); }
    void accumulate_cross_gram(Rows a, Rows b, double* gram) override {
        reference_cross_gram(pool_, a, b, gram);
    }
    void route(const RouteArgs& args) override {
        check_route(args);
        pool_.parallel_for(args.logits.rows, [&](int64_t row, int) { route_token(args, row); });
        group_rows(args.routing);
    }
    void gather_codes(const QuantizedRows& in, const int32_t* rows,
                      const QuantizedRows& out) override {
        check_gather_codes(in, out);
        for (int64_t row = 0; row < out.rows; ++row) gather_codes_row(in, rows[row], out, row);
    }
    void expert_group(const ExpertGroupArgs& args) override { linear_group_by_expert(*this, args); }
    void combine_experts(const CombineArgs& args) override {
        check_combine(args);
        pool_.parallel_for(args.out.rows, [&](int64_t row, int) { combine_token(args, row); });
    }
    void log_probabilities(const LogProbabilityArgs& args) override {
        reference_log_probabilities(pool_, args);
    }
    void top_k(const TopKArgs& args) override { reference_top_k(pool_, args); }
    void divergence(const DivergenceArgs& args) override { reference_divergence(pool_, args); }

  private:
    static void copy(void* to, const void* from, int64_t bytes) {
        if (bytes > 0) std::memcpy(to, from, static_cast<size_t>(bytes));
    }

    ThreadPool pool_;
};

void ReferenceBackend::embed(const EmbedArgs& args) {
    const int64_t hidden = args.out.cols;
    QUAROT_CHECK(args.out.rows == args.batch.n_tokens);
    std::vector<float> position(static_cast<size_t>(hidden));
    for (int64_t token = 0; token < args.batch.n_tokens; ++token) {
        float* out = args.out.f32(token);
        read_row(args.table, args.batch.token_ids[token], {out, position.size()});
        const int64_t at = args.batch.positions == nullptr ? -1 : args.batch.positions[token];
        if (args.positions == nullptr || at < 0) continue;
        read_row(*args.positions, at + args.position_offset, position);
        for (size_t c = 0; c < position.size(); ++c) out[c] += position[c];
    }
}

void ReferenceBackend::gather_rows(Rows in, const int32_t* row_indices, Rows out) {
    QUAROT_CHECK(in.cols == out.cols);
    for (int64_t row = 0; row < out.rows; ++row) {
        const int64_t from = row_indices[row];
        QUAROT_CHECK(from >= 0 && from < in.rows, "row {}", from);
        copy(out.f32(row), in.f32(from), in.cols * size_of(DType::F32));
    }
}

void ReferenceBackend::gather_columns(Rows in, const int32_t* columns, Rows out) {
    QUAROT_CHECK(in.rows == out.rows, "{} {}", in.rows, out.rows);
    for (int64_t row = 0; row < out.rows; ++row) {
        for (int64_t j = 0; j < out.cols; ++j) {
            const int64_t from = columns[j];
            QUAROT_CHECK(from >= 0 && from < in.cols, "column {}", from);
            out.f32(row)[j] = in.f32(row)[from];
        }
    }
}

}  // namespace

std::unique_ptr<Backend> make_reference_backend(int n_threads) {
    return std::make_unique<ReferenceBackend>(n_threads);
}

}  // namespace quarot::kernels

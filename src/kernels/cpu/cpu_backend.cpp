#include "kernels/cpu/cpu_backend.h"

#include <cstring>

#include "comm/thread_comm.h"
#include "core/check.h"
#include "core/error.h"
#include "kernels/cpu/cpu_attention.h"
#include "kernels/cpu/cpu_gram.h"
#include "kernels/cpu/cpu_kv_store.h"
#include "kernels/cpu/cpu_linear.h"
#include "kernels/cpu/cpu_logits.h"
#include "kernels/cpu/cpu_transform.h"
#include "kernels/cpu/isa_choice.h"
#include "kernels/cpu/row_quantizer.h"
#include "kernels/host_experts.h"

namespace quarot::kernels {

namespace {

using namespace cpu;

class CpuEmbedding : public Embedding {
  public:
    // One row, fp32 [hidden].
    virtual void read_row(const IsaKernels& isa, int64_t id, float* out) const = 0;
    virtual int64_t hidden() const = 0;
};

class DenseEmbedding final : public CpuEmbedding {
  public:
    explicit DenseEmbedding(std::shared_ptr<const Tensor> table)
        : table_(std::move(table)), format_(float_format(table_->dtype())) {}

    int64_t hidden() const override { return table_->cols(); }
    void read_row(const IsaKernels& isa, int64_t id, float* out) const override {
        QUAROT_CHECK(id >= 0 && id < table_->rows(), "token {} of {}", id, table_->rows());
        isa.widen_row(table_->data() + id * hidden() * size_of(table_->dtype()), format_, hidden(),
                      out);
    }

  private:
    std::shared_ptr<const Tensor> table_;
    FloatFormat format_;
};

// Reads the panels of a linear: its own, or a tied head's.
class CodeEmbedding final : public CpuEmbedding {
  public:
    explicit CodeEmbedding(const CpuLinear& tied) : matrix_(tied) {}
    explicit CodeEmbedding(std::unique_ptr<CpuLinear> own) : own_(std::move(own)), matrix_(*own_) {}

    int64_t hidden() const override { return matrix_.in_features(); }
    void read_row(const IsaKernels&, int64_t id, float* out) const override {
        QUAROT_CHECK(id >= 0 && id < matrix_.out_features(), "token {} of {}", id,
                     matrix_.out_features());
        matrix_.read_row(id, out);
    }

  private:
    std::unique_ptr<CpuLinear> own_;
    const CpuLinear& matrix_;
};

// Row-wise operations fuse by doing everything to a row while it is in L1; each step is the same
// row kernel as in the plain operation, so fused and plain give the same bits.
class CpuBackend final : public Backend {
  public:
    explicit CpuBackend(const BackendOptions& options)
        : context_(choose_kernels(options.isa), options.n_threads) {}

    BackendInfo info() const override { return {"cpu", isa().name, context_.pool.size()}; }
    BackendTraits traits() const override {
        return {.embeds_codes = true, .mixtures = true, .cross_grams = true};
    }

    Buffer allocate(int64_t bytes) override {
        QUAROT_CHECK(bytes >= 0, "{}", bytes);
        const auto rounded = static_cast<size_t>(round_up(std::max<int64_t>(bytes, 1), 64));
        void* data = std::aligned_alloc(64, rounded);
        if (data == nullptr) fail(ErrorCode::OutOfMemory, "cannot allocate {} bytes", bytes);
        return {data, bytes, [](void* p) { std::free(p); }};
    }
    void upload(void* to, const void* host, int64_t bytes) override { copy(to, host, bytes); }
    void download(void* host, const void* from, int64_t bytes) override { copy(host, from, bytes); }

    std::unique_ptr<Linear> prepare_linear(LinearWeights weights) override {
        return std::make_unique<CpuLinear>(std::move(weights), context_);
    }
    int64_t codes_bytes(const CodesForm& form) const override { return panel_sizes(form).bytes(); }
    std::unique_ptr<Embedding> prepare_embedding(HostMatrix table) override {
        if (auto* dense = std::get_if<std::shared_ptr<const Tensor>>(&table)) {
            return std::make_unique<DenseEmbedding>(std::move(*dense));
        }
        return std::make_unique<CodeEmbedding>(
            std::make_unique<CpuLinear>(LinearWeights{std::move(table)}, context_));
    }
    TiedMatrix prepare_tied(LinearWeights weights) override {
        if (!std::holds_alternative<QuantizedMatrix>(weights.matrix)) {
            return Backend::prepare_tied(std::move(weights));
        }
        auto linear = std::make_unique<CpuLinear>(std::move(weights), context_);
        auto embedding = std::make_unique<CodeEmbedding>(*linear);
        return {std::move(linear), std::move(embedding)};
    }
    std::unique_ptr<Transform> prepare_transform(const linalg::Mixer& mixer, int64_t inner,
                                                 DType storage) override {
        return std::make_unique<CpuTransform>(mixer, inner, storage);
    }
    std::unique_ptr<KvStore> make_kv_store(const KvDescriptor& descriptor,
                                           int64_t n_pages) override {
        return std::make_unique<CpuKvStore>(descriptor, n_pages);
    }
    std::optional<int64_t> kv_bytes(const KvDescriptor& descriptor,
                                    int64_t n_pages) const override {
        return cpu_kv_bytes(descriptor, n_pages);
    }

    std::vector<std::unique_ptr<comm::Comm>> join(std::span<Backend* const> others) override {
        return comm::thread_comms(1 + static_cast<int>(others.size()));
    }

    void embed(const EmbedArgs& args) override {
        const auto& table = static_cast<const CpuEmbedding&>(args.table);
        QUAROT_CHECK(args.out.cols == table.hidden() && args.out.rows == args.batch.n_tokens);
        const auto* positions = static_cast<const CpuEmbedding*>(args.positions);
        QUAROT_CHECK(positions == nullptr || positions->hidden() == table.hidden());
        context_.for_rows(args.batch.n_tokens, [&](int64_t row, int thread) {
            table.read_row(isa(), args.batch.token_ids[row], args.out.f32(row));
            if (positions == nullptr || args.batch.positions[row] < 0) return;
            auto* position =
                reinterpret_cast<float*>(context_.scratch(thread).get(args.out.cols * 4));
            positions->read_row(isa(), args.batch.positions[row] + args.position_offset, position);
            const Rows one = {position, DType::F32, 1, args.out.cols, args.out.cols};
            add_row(args.out.slice(row, 1), one, 0);
        });
    }

    void norm(const NormArgs& args) override {
        check_same_shape(args.in, args.out);
        context_.for_rows(args.in.rows, [&](int64_t row, int) { norm_row(args, row); });
    }

    void transform(const Transform& transform, Rows rows) override {
        context_.for_rows(rows.rows, [&](int64_t row, int thread) {
            transform_row(&transform, rows, row, thread);
        });
    }

    void add(Rows to, Rows from) override {
        check_same_shape(to, from);
        context_.for_rows(to.rows, [&](int64_t row, int) { add_row(to, from, row); });
    }

    void scale(const ScaleArgs& args) override {
        check_same_shape(args.in, args.out);
        context_.for_rows(args.out.rows, [&](int64_t row, int) {
            isa().scale_row(args.in.f32(row), args.in.cols, args.scale, args.cap,
                            args.out.f32(row));
        });
    }

    void quantize(Rows in, QuantizedRows out, SiteNote note) override {
        check_quantizable(in, out);
        context_.for_rows(in.rows, [&](int64_t row, int) { quantize_row(in, &out, row, note); });
    }

    void find_non_finite(Rows in, SiteNote note) override {
        context_.for_rows(in.rows, [&](int64_t row, int) {
            if (!isa().range_of(in.f32(row), in.cols).finite) note_row(note, row);
        });
    }

    void linear(const LinearArgs& args) override {
        const Linear* weight = &args.weight;
        multiply(context_, args.in, {&weight, 1}, {&args.out, 1}, args.accumulate);
    }

    void rope(const RopeArgs& args) override {
        context_.for_rows(args.batch.n_tokens, [&](int64_t row, int) { rope_row(args, row); });
    }

    void append_kv(const AppendKvArgs& args) override {
        context_.for_rows(args.batch.n_tokens,
                          [&](int64_t row, int thread) { append_row(args, row, thread); });
        append_channels(args);
    }

    void attention(const AttentionArgs& args) override { attention_.run(context_, args); }

    void activate(const ActivateArgs& args) override {
        check_activation(args);
        context_.for_rows(args.gate.rows, [&](int64_t row, int) { activate_row(args, row); });
    }

    void gather_rows(Rows in, const int32_t* row_indices, Rows out) override {
        QUAROT_CHECK(in.cols == out.cols && in.dtype == DType::F32 && out.dtype == DType::F32);
        context_.for_rows(out.rows, [&](int64_t row, int) {
            copy(out.f32(row), in.f32(row_indices[row]), out.cols * 4);
        });
    }

    void gather_columns(Rows in, const int32_t* columns, Rows out) override {
        QUAROT_CHECK(in.rows == out.rows && in.dtype == DType::F32 && out.dtype == DType::F32,
                     "{} {}", in.rows, out.rows);
        context_.for_rows(out.rows, [&](int64_t row, int) {
            const float* from = in.f32(row);
            float* to = out.f32(row);
            for (int64_t j = 0; j < out.cols; ++j) to[j] = from[columns[j]];
        });
    }

    void accumulate_gram(Rows in, double* gram) override { add_gram(context_, in, gram); }
    void accumulate_cross_gram(Rows a, Rows b, double* gram) override {
        add_cross_gram(context_, a, b, gram);
    }

    void route(const RouteArgs& args) override {
        check_route(args);
        context_.for_rows(args.logits.rows, [&](int64_t row, int) { route_token(args, row); });
        group_rows(args.routing);
    }

    void gather_codes(const QuantizedRows& in, const int32_t* rows,
                      const QuantizedRows& out) override {
        check_gather_codes(in, out);
        context_.for_rows(out.rows,
                          [&](int64_t row, int) { gather_codes_row(in, rows[row], out, row); });
    }

    void expert_group(const ExpertGroupArgs& args) override { linear_group_by_expert(*this, args); }

    void combine_experts(const CombineArgs& args) override {
        check_combine(args);
        context_.for_rows(args.out.rows, [&](int64_t row, int) { combine_token(args, row); });
    }

    void log_probabilities(const LogProbabilityArgs& args) override {
        cpu::log_probabilities(context_, args);
    }
    void top_k(const TopKArgs& args) override { cpu::top_k(context_, args); }
    void divergence(const DivergenceArgs& args) override { cpu::divergence(context_, args); }

    void norm_quantize(const NormArgs& args, const Operand& out, SiteNote note) override {
        check_same_shape(args.in, args.out);
        const QuantizedRows* quantized = quantized_of(args.out, out);
        context_.for_rows(args.in.rows, [&](int64_t row, int) {
            norm_row(args, row);
            quantize_row(args.out, quantized, row, note);
        });
    }

    void add_norm_quantize(const AddNormArgs& args, const Operand& out, SiteNote note) override {
        check_same_shape(args.residual, args.partial);
        check_same_shape(args.residual, args.out);
        if (args.group != nullptr) args.group->sum(args.partial);
        const QuantizedRows* quantized = quantized_of(args.out, out);
        const NormArgs norm = {.in = args.residual,
                               .kind = args.kind,
                               .gain = args.gain,
                               .bias = args.bias,
                               .eps = args.eps,
                               .out = args.out};
        context_.for_rows(args.out.rows, [&](int64_t row, int) {
            add_row(args.residual, args.partial, row);
            norm_row(norm, row);
            quantize_row(args.out, quantized, row, note);
        });
    }

    void transform_quantize(const Transform* transform, Rows scratch, const Operand& out,
                            SiteNote note) override {
        const QuantizedRows* quantized = quantized_of(scratch, out);
        context_.for_rows(scratch.rows, [&](int64_t row, int thread) {
            transform_row(transform, scratch, row, thread);
            quantize_row(scratch, quantized, row, note);
        });
    }

    void activate_transform_quantize(const ActivateArgs& args, const Transform* transform,
                                     const Operand& out, SiteNote note) override {
        check_activation(args);
        const QuantizedRows* quantized = quantized_of(args.out, out);
        context_.for_rows(args.gate.rows, [&](int64_t row, int thread) {
            activate_row(args, row);
            transform_row(transform, args.out, row, thread);
            quantize_row(args.out, quantized, row, note);
        });
    }

    void rope_transform_append_kv(const RopeTransformAppendArgs& args) override {
        context_.for_rows(args.rope.batch.n_tokens, [&](int64_t row, int thread) {
            if (args.rope.table.cos != nullptr) rope_row(args.rope, row);
            transform_row(args.transform, args.rope.q, row, thread);
            transform_row(args.transform, args.rope.k, row, thread);
            append_row(args.append, row, thread);
        });
        append_channels(args.append);
    }

    void linear_group(const LinearGroupArgs& args) override {
        multiply(context_, args.in, args.weights, args.outs, false);
    }

  private:
    const IsaKernels& isa() const { return context_.isa; }

    static void copy(void* to, const void* from, int64_t bytes) {
        if (bytes > 0) std::memcpy(to, from, static_cast<size_t>(bytes));
    }

    static void check_same_shape(const Rows& a, const Rows& b) {
        QUAROT_CHECK(a.rows == b.rows && a.cols == b.cols, "[{}, {}] [{}, {}]", a.rows, a.cols,
                     b.rows, b.cols);
        QUAROT_CHECK(a.dtype == DType::F32 && b.dtype == DType::F32);
    }

    static void check_quantizable(const Rows& in, const QuantizedRows& out) {
        QUAROT_CHECK(in.rows == out.rows && in.cols == out.cols && in.dtype == DType::F32,
                     "[{}, {}] [{}, {}]", in.rows, in.cols, out.rows, out.cols);
        QUAROT_CHECK(out.format.has_offsets() == (out.offsets != nullptr) &&
                     out.format.has_bases() == (out.bases != nullptr));
        QUAROT_CHECK(out.format.scales == ActivationScales::Group || !out.format.has_offsets());
    }

    // The quantized rows that `in` goes to, or null.
    static const QuantizedRows* quantized_of(const Rows& in, const Operand& out) {
        const auto* quantized = std::get_if<QuantizedRows>(&out.rows);
        if (quantized != nullptr) check_quantizable(in, *quantized);
        return quantized;
    }

    void norm_row(const NormArgs& args, int64_t row) const {
        const int64_t cols = args.in.cols, group = args.group == 0 ? cols : args.group;
        for (int64_t c = 0; c < cols; c += group) {
            const float* in = args.in.f32(row) + c;
            float* out = args.out.f32(row) + c;
            if (args.kind == NormKind::Layer) {
                isa().layer_norm_row(in, group, args.gain, args.bias, args.eps, out);
            } else {
                isa().rms_norm_row(in, group, args.gain, args.eps, out);
            }
        }
    }

    void transform_row(const Transform* transform, const Rows& rows, int64_t row, int thread) {
        if (transform == nullptr) return;
        static_cast<const CpuTransform*>(transform)->apply(isa(), rows.f32(row), rows.cols,
                                                           context_.scratch(thread));
    }

    void quantize_row(const Rows& in, const QuantizedRows* out, int64_t row, SiteNote note) {
        if (out == nullptr) return;
        if (!quantize_activation_row(isa(), in.f32(row), *out, row)) note_row(note, row);
    }

    static void add_row(const Rows& to, const Rows& from, int64_t row) {
        float* sum = to.f32(row);
        const float* x = from.f32(row);
        for (int64_t c = 0; c < to.cols; ++c) sum[c] += x[c];
    }

    static void check_activation(const ActivateArgs& args) {
        if (args.up) check_same_shape(args.gate, *args.up);
        check_same_shape(args.gate, args.out);
    }

    void activate_row(const ActivateArgs& args, int64_t row) const {
        isa().activate_row(args.activation, args.gate.f32(row),
                           args.up ? args.up->f32(row) : nullptr, args.gate.cols,
                           args.out.f32(row));
    }

    void rope_row(const RopeArgs& args, int64_t row) const {
        const int64_t position = args.batch.positions[row], half = args.head_dim / 2;
        if (position < 0) return;
        QUAROT_CHECK(position < args.table.n_positions, "position {} of {}", position,
                     args.table.n_positions);
        const float* cos = args.table.cos + position * half;
        const float* sin = args.table.sin + position * half;
        for (const Rows* rows : {&args.q, &args.k}) {
            for (int64_t first = 0; first < rows->cols; first += args.head_dim) {
                isa().rope_head(rows->f32(row) + first, cos, sin, half);
            }
        }
    }

    void append_row(const AppendKvArgs& args, int64_t row, int thread) {
        if (args.batch.positions[row] < 0) return;
        auto& store = static_cast<CpuKvStore&>(args.kv);
        if (!append_token(store, isa(), args, row, context_.scratch(thread))) {
            note_row(args.note, row);
        }
    }

    void append_channels(const AppendKvArgs& args) {
        auto& store = static_cast<CpuKvStore&>(args.kv);
        if (!store.descriptor().k.by_channel()) return;
        const int64_t n_heads = store.descriptor().n_kv_heads;
        context_.for_rows(args.batch.n_sequences * n_heads, [&](int64_t task, int thread) {
            append_channel_keys(store, isa(), args, task / n_heads, task % n_heads,
                                context_.scratch(thread));
        });
    }

    CpuContext context_;
    CpuAttention attention_;
};

}  // namespace

std::unique_ptr<Backend> make_cpu_backend(const BackendOptions& options) {
    return std::make_unique<CpuBackend>(options);
}

}  // namespace quarot::kernels

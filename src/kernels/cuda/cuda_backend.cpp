#include "kernels/cuda/cuda_backend.h"

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/check.h"
#include "core/checked_math.h"
#include "core/error.h"
#include "kernels/column_solver.h"
#include "kernels/cuda/attention.h"
#include "kernels/cuda/cuda_activations.h"
#include "kernels/cuda/cuda_column_solver.h"
#include "kernels/cuda/cuda_comm.h"
#include "kernels/cuda/cuda_devices.h"
#include "kernels/cuda/cuda_embedding.h"
#include "kernels/cuda/cuda_kv_store.h"
#include "kernels/cuda/cuda_linear.h"
#include "kernels/cuda/cuda_memory.h"
#include "kernels/cuda/cuda_recording.h"
#include "kernels/cuda/device_info.h"
#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/fp8_product.h"
#include "kernels/cuda/gram.h"
#include "kernels/cuda/kv_append.h"
#include "kernels/cuda/logits.h"
#include "kernels/cuda/norm.h"
#include "kernels/cuda/quantize_rows.h"
#include "kernels/cuda/rotate.h"
#include "kernels/cuda/status.h"
#include "kernels/fp8_product.h"
#include "kernels/quantized_rows_layout.h"

namespace quarot::kernels {

namespace {

using namespace cuda;

class CudaTransform final : public Transform {
  public:
    CudaTransform(const linalg::Mixer& mixer, int64_t inner, DType storage)
        : Transform(mixer.n, inner), rotation_(mixer, inner, storage) {}
    const Rotation& rotation() const { return rotation_; }

  private:
    Rotation rotation_;
};

KvBatch kv_batch(const BatchView& batch) {
    return {.n_tokens = batch.n_tokens,
            .positions = batch.positions,
            .sequence_of_token = batch.sequence_of_token,
            .n_sequences = batch.n_sequences,
            .first_token = batch.first_token,
            .pages = batch.pages,
            .first_page = batch.first_page,
            .seats = batch.seats};
}

HeadTransform head_transform(const CudaTransform* transform) {
    if (transform == nullptr) return {};
    const Rotation& rotation = transform->rotation();
    if (rotation.identity()) return {};
    return {.dense_order = static_cast<int>(rotation.dense_order()),
            .dense = rotation.dense(),
            .dense_stride = static_cast<int>(rotation.dense_stride()),
            .factor = rotation.sylvester_factor()};
}

// RoPE and transform, nothing stored yet.
AppendCall append_call(const RopeArgs& args, const CudaTransform* transform) {
    AppendCall call;
    call.q = view_of(args.q);
    call.k = view_of(args.k);
    call.head_dim = args.head_dim;
    call.rope = {args.table.cos, args.table.sin};
    call.transform = head_transform(transform);
    call.batch = kv_batch(args.batch);
    return call;
}

void store_into(AppendCall& call, const AppendKvArgs& args) {
    call.k = view_of(args.k);
    call.v = view_of(args.v);
    call.head_dim = args.kv.descriptor().head_dim;
    call.kv = static_cast<const CudaKvStore&>(args.kv).view();
    call.layer = args.layer;
    call.site = args.note.site;
    call.bad_site = args.note.lowest;
}

// Codes of a row share, and what goes with them.
std::vector<PeerComm::Range> ranges_of(const QuantizedRows& rows) {
    const int64_t per_group = rows.rows * rows.n_groups() * 4;
    std::vector<PeerComm::Range> ranges = {{rows.codes, rows.rows * rows.stride},
                                           {rows.scales, per_group},
                                           {rows.row_sums, per_group}};
    if (rows.offsets != nullptr) ranges.push_back({rows.offsets, per_group});
    if (rows.bases != nullptr) ranges.push_back({rows.bases, per_group});
    return ranges;
}

// Memory that grows to the largest need seen; what the step's limits ask for is taken beforehand,
// so that no step allocates.
class Workspace {
  public:
    void* at_least(int64_t bytes) {
        if (memory_.bytes() < bytes) {
            memory_ = {};
            memory_ = allocate_device(bytes);
        }
        return memory_.data();
    }

  private:
    Buffer memory_;
};

class CudaFp8Product final : public Fp8Product {
  public:
    CudaFp8Product(std::unique_ptr<RandomFp8Product> product, Stream stream)
        : product_(std::move(product)), stream_(stream) {}
    void multiply(int64_t weights) override { product_->multiply(weights, stream_); }

  private:
    std::unique_ptr<RandomFp8Product> product_;
    Stream stream_;
};

// Every operation is enqueued on one stream, so each sees what the ones before it wrote.
class CudaBackend final : public Backend, public ColumnSolverMaker, public Fp8ProductMaker {
  public:
    CudaBackend(int ordinal, const BackendOptions& options)
        : device_(open_device(ordinal)), work_(options.work), matrices_(options.work) {
        check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreate");
    }
    ~CudaBackend() override { cudaStreamDestroy(stream_); }
    CudaBackend(const CudaBackend&) = delete;
    CudaBackend& operator=(const CudaBackend&) = delete;

    BackendInfo info() const override {
        return {"cuda", fmt::format("sm_{}", device_.compute_capability), 1};
    }
    BackendTraits traits() const override {
        return {.residual = DType::F32,
                .work = work_,
                .cache16 = cache_dtype(),
                .records = true,
                .embeds_codes = true,
                .own_memory = true,
                .step_tokens = 2048};
    }

    Buffer allocate(int64_t bytes) override {
        use_device();
        return allocate_device(bytes);
    }
    Buffer allocate_host(int64_t bytes) override {
        use_device();
        return allocate_pinned(bytes);
    }
    void upload(void* to, const void* host, int64_t bytes) override {
        if (bytes > 0) copy(to, host, bytes, cudaMemcpyHostToDevice);
    }
    void download(void* host, const void* from, int64_t bytes) override {
        if (bytes > 0) copy(host, from, bytes, cudaMemcpyDeviceToHost);
    }
    void synchronize() override { check(cudaStreamSynchronize(stream()), "cudaStreamSynchronize"); }

    void reserve(const StepLimits& limits) override;
    std::unique_ptr<Recording> record(std::function<void()> enqueue) override {
        return capture(enqueue, stream());
    }
    std::vector<std::unique_ptr<comm::Comm>> join(std::span<Backend* const> others) override;

    std::unique_ptr<Linear> prepare_linear(LinearWeights weights) override {
        auto linear = std::make_unique<CudaLinear>(std::move(weights), matrices_, stream());
        if (linear->wants_dense_multiplier() && dense_ == nullptr) {
            dense_ = std::make_unique<DenseMultiplier>();
        }
        return linear;
    }
    std::unique_ptr<Embedding> prepare_embedding(HostMatrix matrix) override {
        const auto* floats = std::get_if<std::shared_ptr<const Tensor>>(&matrix);
        if (floats == nullptr) {
            return std::make_unique<CodeEmbedding>(std::make_unique<CudaLinear>(
                LinearWeights{std::move(matrix)}, matrices_, stream()));
        }
        const Tensor& table = **floats;
        auto memory = matrices_.upload(*floats, stream());
        const RowsView rows = {memory->data(), matrices_.device_dtype(table.dtype()), table.rows(),
                               table.cols(), table.cols()};
        return std::make_unique<DenseEmbedding>(std::move(memory), rows);
    }
    TiedMatrix prepare_tied(LinearWeights weights) override {
        if (!std::holds_alternative<QuantizedMatrix>(weights.matrix)) {
            return Backend::prepare_tied(std::move(weights));
        }
        auto linear = std::make_unique<CudaLinear>(std::move(weights), matrices_, stream());
        auto embedding = std::make_unique<CodeEmbedding>(*linear);
        return {std::move(linear), std::move(embedding)};
    }
    std::unique_ptr<Transform> prepare_transform(const linalg::Mixer& mixer, int64_t inner,
                                                 DType storage) override {
        use_device();
        return std::make_unique<CudaTransform>(mixer, inner, storage);
    }
    std::unique_ptr<KvStore> make_kv_store(const KvDescriptor& descriptor,
                                           int64_t n_pages) override {
        return std::make_unique<CudaKvStore>(descriptor, n_pages, cache_dtype(), stream());
    }
    std::optional<int64_t> kv_bytes(const KvDescriptor& descriptor,
                                    int64_t n_pages) const override {
        try {
            return cuda::kv_bytes(make_kv_view(descriptor, n_pages, cache_dtype()));
        } catch (const Error& error) {
            if (error.code() != ErrorCode::OutOfMemory) throw;
            return std::nullopt;
        }
    }

    std::optional<int64_t> available_bytes() const override {
        use_device();
        return free_device_bytes();
    }

    int64_t quantized_bytes(int64_t rows, int64_t cols,
                            const ActivationFormat& format) const override;
    QuantizedRows place_quantized(void* memory, int64_t rows, int64_t cols,
                                  const ActivationFormat& format) const override;
    HostCodes read_codes(const QuantizedRows& rows) override;

    void embed(const EmbedArgs& args) override {
        static_cast<const CudaEmbedding&>(args.table)
            .read(args.batch.token_ids, view_of(args.out), stream());
        if (args.positions == nullptr) return;
        add_position_rows(static_cast<const CudaEmbedding*>(args.positions)->dense_table(),
                          args.batch.positions, args.position_offset, view_of(args.out), stream());
    }
    void norm(const NormArgs& args) override;
    void norm_quantize(const NormArgs& args, const Operand& out, SiteNote note) override;
    void add_norm_quantize(const AddNormArgs& args, const Operand& out, SiteNote note) override;
    void add(Rows to, Rows from) override {
        add_rows(view_of(from), nullptr, view_of(to), stream());
    }
    void scale(const ScaleArgs& args) override {
        scale_rows(view_of(args.in), args.scale, args.cap, view_of(args.out), stream());
    }
    void activate(const ActivateArgs& args) override {
        const RowsView up = args.up ? view_of(*args.up) : RowsView{};
        cuda::activate(args.activation, view_of(args.gate), args.up ? &up : nullptr,
                       view_of(args.out), stream());
    }
    void gather_rows(Rows in, const int32_t* row_indices, Rows out) override {
        cuda::gather_rows(view_of(in), row_indices, view_of(out), stream());
    }
    void gather_columns(Rows in, const int32_t* columns, Rows out) override {
        cuda::gather_columns(view_of(in), columns, view_of(out), stream());
    }
    void accumulate_gram(Rows in, double* gram) override {
        cuda::accumulate_gram(view_of(in), gram, stream());
    }

    std::unique_ptr<ColumnSolver> make_column_solver() override {
        return cuda::make_column_solver(*this, device_.ordinal, stream());
    }
    std::vector<double> diagonal(const HessianSums& hessian) override {
        std::vector<double> values = download_diagonal(hessian.sums, hessian.n, stream());
        for (double& value : values) value /= hessian.count;
        return values;
    }
    std::unique_ptr<Linear> prepare_hessian(const HessianSums& hessian) override {
        if (dense_ == nullptr) dense_ = std::make_unique<DenseMultiplier>();
        return std::make_unique<CudaLinear>(hessian, stream());
    }
    std::unique_ptr<Fp8Product> make_fp8_product(const Fp8Shape& shape) override {
        use_device();
        auto product = RandomFp8Product::make({.n_tokens = shape.tokens,
                                               .out_features = shape.out_features,
                                               .in_features = shape.in_features,
                                               .n_weights = shape.n_weights});
        if (product == nullptr) return nullptr;
        return std::make_unique<CudaFp8Product>(std::move(product), stream());
    }

    void find_non_finite(Rows in, SiteNote note) override {
        if (note.lowest != nullptr) {
            note_non_finite(view_of(in), note.site, note.lowest, stream());
        }
    }
    void log_probabilities(const LogProbabilityArgs& args) override {
        cuda::log_probabilities(view_of(args.logits), args.targets, args.out, stream());
    }
    void top_k(const TopKArgs& args) override {
        top_logits(
            {.logits = view_of(args.logits), .k = args.k, .ids = args.ids, .values = args.values},
            stream());
    }
    void divergence(const DivergenceArgs& args) override {
        cuda::divergence(view_of(args.base), view_of(args.model), args.out, stream());
    }

    void linear(const LinearArgs& args) override {
        static_cast<const CudaLinear&>(args.weight).multiply(args, dense_.get(), stream());
    }
    void linear_group(const LinearGroupArgs& args) override;
    void transform(const Transform& transform, Rows rows) override {
        const Rotation& rotation = static_cast<const CudaTransform&>(transform).rotation();
        rotate_rows(rotation, rotate_input(rotation, view_of(rows)), view_of(rows), stream());
    }
    void quantize(Rows in, QuantizedRows out, SiteNote note) override {
        quantize_rows(view_of(in), target_of(out, note), stream());
    }
    void dequantize(const QuantizedRows& in, Rows out) override {
        dequantize_rows(view_of(in), view_of(out), stream());
    }
    void transform_quantize(const Transform* transform, Rows scratch, const Operand& out,
                            SiteNote note) override;
    void activate_transform_quantize(const ActivateArgs& args, const Transform* transform,
                                     const Operand& out, SiteNote note) override;

    void rope(const RopeArgs& args) override;
    void append_kv(const AppendKvArgs& args) override;
    void rope_transform_append_kv(const RopeTransformAppendArgs& args) override;
    void attention(const AttentionArgs& args) override;

  private:
    void use_device() const { check(cudaSetDevice(device_.ordinal), "cudaSetDevice"); }
    // For every call: the calling thread may have used another GPU since.
    Stream stream() const {
        use_device();
        return stream_;
    }
    void copy(void* to, const void* from, int64_t bytes, cudaMemcpyKind kind) {
        check(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), kind, stream()),
              "cudaMemcpyAsync");
    }
    DType cache_dtype() const { return work_ == DType::F32 ? DType::F32 : DType::F16; }

    void add_norm_rows(const AddNormArgs& args, const Operand& out, SiteNote note);
    // Of whole rows.
    static NormInput norm_input(const NormArgs& args) {
        return {.in = view_of(args.in),
                .centred = args.kind == NormKind::Layer,
                .gain = args.gain,
                .shift = args.bias,
                .eps = args.eps};
    }
    // Rows of experts come with a mixture, which this backend has none of.
    static QuantizeTarget target_of(const QuantizedRows& out, const SiteNote& note) {
        QUAROT_CHECK(out.token_of == nullptr);
        return {.codes = view_of(out),
                .clip = out.format.clip,
                .site = note.site,
                .bad_site = note.lowest,
                .bits = out.format.bits,
                .two_level = out.format.scales == ActivationScales::TwoLevel,
                .first_positions = out.format.first_positions,
                .positions = out.format.first_positions > 0 ? out.positions : nullptr};
    }
    RotateInput rotate_input(const Rotation& rotation, const RowsView& rows) {
        const int64_t bytes = rotate_workspace_bytes(rotation, rows);
        auto* workspace = bytes == 0 ? nullptr : rotate_workspace_.at_least(bytes);
        return {.rows = rows, .workspace = static_cast<float*>(workspace)};
    }

    DeviceInfo device_;
    DType work_;
    Stream stream_ = nullptr;
    DenseMatrices matrices_;
    std::unique_ptr<DenseMultiplier> dense_;  // once a 16-bit matrix is there
    Workspace rotate_workspace_, attention_workspace_;
    int64_t pages_ = 0;  // of a sequence, in the steps that were reserved; 0: none was
};

void CudaBackend::reserve(const StepLimits& limits) {
    pages_ = std::max(pages_, limits.pages);
    if (const int64_t bytes = rotate_workspace_bytes(limits.tokens, limits.columns); bytes > 0) {
        rotate_workspace_.at_least(bytes);
    }
    AttentionCall call;
    call.n_heads = limits.n_heads;
    call.kv.head_dim = static_cast<int>(limits.head_dim);
    call.batch.n_sequences = limits.sequences;
    call.max_context = limits.pages * KvDescriptor{}.page_tokens;
    attention_workspace_.at_least(attention_workspace_bytes(call));
}

int64_t CudaBackend::quantized_bytes(int64_t rows, int64_t cols,
                                     const ActivationFormat& format) const {
    return quantized_rows_bytes(rows, cols, format, kActivationAlignment);
}

QuantizedRows CudaBackend::place_quantized(void* memory, int64_t rows, int64_t cols,
                                           const ActivationFormat& format) const {
    return place_quantized_rows(memory, rows, cols, format, kActivationAlignment);
}

HostCodes CudaBackend::read_codes(const QuantizedRows& rows) {
    const auto fetch = [&]<typename T>(std::vector<T>& to, const void* from, int64_t n) {
        if (from == nullptr) return;
        to.resize(static_cast<size_t>(n));
        download(to.data(), from, n * static_cast<int64_t>(sizeof(T)));
    };
    const int64_t n = rows.rows * rows.n_groups();
    std::vector<uint8_t> stored;
    HostCodes out;
    fetch(stored, rows.codes, rows.rows * rows.stride);
    fetch(out.scales, rows.scales, n);
    fetch(out.offsets, rows.offsets, n);
    fetch(out.bases, rows.bases, n);
    fetch(out.row_sums, rows.row_sums, n);
    synchronize();
    out.codes = signed_codes(rows, stored);
    out.padding_is_zero = padding_is_zero(rows, stored);
    return out;
}

std::vector<std::unique_ptr<comm::Comm>> CudaBackend::join(std::span<Backend* const> others) {
    if (others.empty()) return Backend::join(others);
    std::vector<RankDevice> devices = {{device_.ordinal, stream_}};
    for (Backend* other : others) {
        const auto& rank = static_cast<const CudaBackend&>(*other);
        devices.push_back({rank.device_.ordinal, rank.stream_});
    }
    return peer_comms(devices);
}

void CudaBackend::norm(const NormArgs& args) {
    if (args.group == 0 || args.group == args.in.cols) {
        cuda::norm(norm_input(args), view_of(args.out), stream());
        return;
    }
    norm_groups({.in = view_of(args.in),
                 .out = view_of(args.out),
                 .group = args.group,
                 .centred = args.kind == NormKind::Layer,
                 .gain = args.gain,
                 .shift = args.bias,
                 .eps = args.eps},
                stream());
}

void CudaBackend::norm_quantize(const NormArgs& args, const Operand& out, SiteNote note) {
    const auto* quantized = std::get_if<QuantizedRows>(&out.rows);
    if (quantized == nullptr || (args.group != 0 && args.group != args.in.cols)) {
        Backend::norm_quantize(args, out, note);
        return;
    }
    cuda::norm_quantize(norm_input(args), target_of(*quantized, note), stream());
}

void CudaBackend::add_norm_quantize(const AddNormArgs& args, const Operand& out, SiteNote note) {
    if (args.group == nullptr) return add_norm_rows(args, out, note);
    if (!args.group->shares_rows(args.partial.rows)) {
        args.group->sum(args.partial);
        return add_norm_rows(args, out, note);
    }
    auto& peers = static_cast<PeerComm&>(*args.group);
    const auto [first, count] = comm::row_share(args.partial.rows, peers.rank(), peers.size());
    peers.sum_share(args.partial);
    AddNormArgs own = args;
    own.residual = args.residual.slice(first, count);
    own.partial = args.partial.slice(first, count);
    own.out = args.out.slice(first, count);
    if (note.lowest != nullptr) note.lowest += first;
    if (const auto* quantized = std::get_if<QuantizedRows>(&out.rows)) {
        const QuantizedRows part = rows_of(*quantized, first, count);
        add_norm_rows(own, Operand{part}, note);
        peers.spread(quantized->codes, ranges_of(part), false);
    } else {
        add_norm_rows(own, Operand{own.out}, note);
        const PeerComm::Range rows = {own.out.data,
                                      count * own.out.stride * size_of(own.out.dtype)};
        peers.spread(args.out.data, {&rows, 1}, false);
    }
}

void CudaBackend::add_norm_rows(const AddNormArgs& args, const Operand& out, SiteNote note) {
    const NormInput in = {.in = view_of(args.partial),
                          .residual = args.residual.f32(),
                          .residual_stride = args.residual.stride,
                          .centred = args.kind == NormKind::Layer,
                          .gain = args.gain,
                          .shift = args.bias,
                          .eps = args.eps};
    if (const auto* quantized = std::get_if<QuantizedRows>(&out.rows)) {
        cuda::norm_quantize(in, target_of(*quantized, note), stream());
    } else {
        cuda::norm(in, view_of(args.out), stream());
    }
}

void CudaBackend::transform_quantize(const Transform* transform, Rows scratch, const Operand& out,
                                     SiteNote note) {
    const auto* quantized = std::get_if<QuantizedRows>(&out.rows);
    if (transform == nullptr || quantized == nullptr) {
        Backend::transform_quantize(transform, scratch, out, note);
        return;
    }
    const Rotation& rotation = static_cast<const CudaTransform*>(transform)->rotation();
    rotate_quantize(rotation, rotate_input(rotation, view_of(scratch)), target_of(*quantized, note),
                    stream());
}

void CudaBackend::activate_transform_quantize(const ActivateArgs& args, const Transform* transform,
                                              const Operand& out, SiteNote note) {
    const auto* quantized = std::get_if<QuantizedRows>(&out.rows);
    const bool in_one_kernel = args.activation == Activation::Silu && args.up.has_value();
    if (transform == nullptr || quantized == nullptr || !in_one_kernel) {
        Backend::activate_transform_quantize(args, transform, out, note);
        return;
    }
    const Rotation& rotation = static_cast<const CudaTransform*>(transform)->rotation();
    RotateInput in = rotate_input(rotation, view_of(args.gate));
    in.up = args.up->data;
    in.up_stride = args.up->stride;
    rotate_quantize(rotation, in, target_of(*quantized, note), stream());
}

void CudaBackend::linear_group(const LinearGroupArgs& args) {
    const auto linear_of = [&](size_t i) -> const CudaLinear& {
        return static_cast<const CudaLinear&>(*args.weights[i]);
    };
    bool quantized = std::holds_alternative<QuantizedRows>(args.in.rows);
    for (size_t i = 0; i < args.weights.size(); ++i) quantized &= linear_of(i).is_quantized();
    if (!quantized) return Backend::linear_group(args);
    std::vector<LinearProduct> products;
    products.reserve(args.weights.size());
    for (size_t i = 0; i < args.weights.size(); ++i) {
        products.push_back(linear_of(i).integer_product(
            {.in = args.in, .weight = *args.weights[i], .out = args.outs[i]}));
    }
    multiply(products, stream());
}

void CudaBackend::rope(const RopeArgs& args) {
    append(append_call(args, nullptr), stream());
}

void CudaBackend::append_kv(const AppendKvArgs& args) {
    AppendCall call;
    call.batch = kv_batch(args.batch);
    store_into(call, args);
    append(call, stream());
}

void CudaBackend::rope_transform_append_kv(const RopeTransformAppendArgs& args) {
    const auto* transform = static_cast<const CudaTransform*>(args.transform);
    if (transform != nullptr && transform->rotation().half_storage()) {
        Backend::rope_transform_append_kv(args);
        return;
    }
    AppendCall call = append_call(args.rope, transform);
    store_into(call, args.append);
    append(call, stream());
}

void CudaBackend::attention(const AttentionArgs& args) {
    const auto& store = static_cast<const CudaKvStore&>(args.kv);
    AttentionCall call;
    call.q = view_of(args.q);
    call.n_heads = args.n_heads;
    call.kv = store.view();
    call.layer = args.layer;
    call.scale = args.scale;
    call.score_cap = args.score_cap;
    call.window = args.window;
    call.batch = kv_batch(args.batch);
    call.max_context = (pages_ > 0 ? pages_ : store.n_pages()) * store.descriptor().page_tokens;
    call.workspace = attention_workspace_.at_least(attention_workspace_bytes(call));
    call.out = view_of(args.out);
    QUAROT_CHECK(store.descriptor().k_bias_apart == (args.key_bias.basis != nullptr));
    call.key_bias = {args.key_bias.basis, args.key_bias.table.cos, args.key_bias.table.sin};
    if (call.kv.k.by_channel()) call.k = view_of(args.k);
    cuda::attention(call, stream());
}

}  // namespace

std::unique_ptr<Backend> make_cuda_backend(int ordinal, const BackendOptions& options) {
    return std::make_unique<CudaBackend>(ordinal, options);
}

}  // namespace quarot::kernels

#include "kernels/cuda/cuda_backend.h"

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "kernels/column_solver.h"
#include "kernels/cuda/cuda_activations.h"
#include "kernels/cuda/cuda_column_solver.h"
#include "kernels/cuda/cuda_comm.h"
#include "kernels/cuda/cuda_devices.h"
#include "kernels/cuda/cuda_embedding.h"
#include "kernels/cuda/cuda_fp8_product.h"
#include "kernels/cuda/cuda_kv_calls.h"
#include "kernels/cuda/cuda_kv_store.h"
#include "kernels/cuda/cuda_linear.h"
#include "kernels/cuda/cuda_memory.h"
#include "kernels/cuda/cuda_norm.h"
#include "kernels/cuda/cuda_recording.h"
#include "kernels/cuda/device_info.h"
#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/gram.h"
#include "kernels/cuda/logits.h"
#include "kernels/cuda/quantize_rows.h"
#include "kernels/cuda/rotate.h"
#include "kernels/cuda/status.h"
#include "kernels/fp8_product.h"

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

const Rotation& rotation_of(const Transform& transform) {
    return static_cast<const CudaTransform&>(transform).rotation();
}

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
    int64_t codes_bytes(const CodesForm& form) const override { return cuda::codes_bytes(form); }
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
    void norm(const NormArgs& args) override { cuda::norm(args, stream()); }
    void norm_quantize(const NormArgs& args, const Operand& out, SiteNote note) override;
    void add_norm_quantize(const AddNormArgs& args, const Operand& out, SiteNote note) override {
        cuda::add_norm_quantize(args, out, note, stream());
    }
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
        return CudaFp8Product::make(shape, stream());
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
        const Rotation& rotation = rotation_of(transform);
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

    void rope(const RopeArgs& args) override { append(append_call(args, nullptr), stream()); }
    void append_kv(const AppendKvArgs& args) override { append(append_call(args), stream()); }
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
    attention_workspace_.at_least(attention_workspace_bytes(largest_attention_call(limits)));
}

int64_t CudaBackend::quantized_bytes(int64_t rows, int64_t cols,
                                     const ActivationFormat& format) const {
    return cuda::quantized_bytes(rows, cols, format);
}

QuantizedRows CudaBackend::place_quantized(void* memory, int64_t rows, int64_t cols,
                                           const ActivationFormat& format) const {
    return cuda::place_quantized(memory, rows, cols, format);
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

void CudaBackend::norm_quantize(const NormArgs& args, const Operand& out, SiteNote note) {
    const auto* quantized = std::get_if<QuantizedRows>(&out.rows);
    if (quantized == nullptr || !norms_whole_rows(args)) {
        Backend::norm_quantize(args, out, note);
        return;
    }
    cuda::norm_quantize(norm_input(args), target_of(*quantized, note), stream());
}

void CudaBackend::transform_quantize(const Transform* transform, Rows scratch, const Operand& out,
                                     SiteNote note) {
    const auto* quantized = std::get_if<QuantizedRows>(&out.rows);
    if (transform == nullptr || quantized == nullptr) {
        Backend::transform_quantize(transform, scratch, out, note);
        return;
    }
    const Rotation& rotation = rotation_of(*transform);
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
    const Rotation& rotation = rotation_of(*transform);
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

void CudaBackend::rope_transform_append_kv(const RopeTransformAppendArgs& args) {
    const Rotation* rotation = args.transform == nullptr ? nullptr : &rotation_of(*args.transform);
    if (rotation != nullptr && rotation->half_storage()) {
        Backend::rope_transform_append_kv(args);
        return;
    }
    append(append_call(args, rotation), stream());
}

void CudaBackend::attention(const AttentionArgs& args) {
    AttentionCall call = attention_call(args, pages_);
    call.workspace = attention_workspace_.at_least(attention_workspace_bytes(call));
    cuda::attention(call, stream());
}

}  // namespace

std::unique_ptr<Backend> make_cuda_backend(int ordinal, const BackendOptions& options) {
    return std::make_unique<CudaBackend>(ordinal, options);
}

}  // namespace quarot::kernels

#include "kernels/ops.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "core/checked_math.h"
#include "core/error.h"
#include "core/host_memory.h"
#include "kernels/quantized_rows_layout.h"

namespace quarot::kernels {

namespace {

constexpr int64_t kAlignment = 64;  // of rows of codes, and of what follows them

// Bits of one K or V vector in the cache.
int64_t kv_vector_bits(const KvFormat& format, int64_t head_dim) {
    if (format.bits == 16) return head_dim * 32;
    if (format.by_channel()) return head_dim * format.bits + head_dim * (16 + 16) / format.block;
    const int64_t n_groups = format.group_size == 0 ? 1 : head_dim / format.group_size;
    return head_dim * format.bits + n_groups * (8 * size_of(format.scales) + 16);
}

}  // namespace

int64_t container_bytes(const CodesForm& form) {
    const int64_t container_bits = form.bits <= 4 ? 4 : 8;
    const int64_t n_groups = form.group_size == 0 ? 1 : ceil_div(form.cols, form.group_size);
    const int64_t bytes_of_group = size_of(DType::F32) + (form.symmetric ? 0 : 1);
    return form.rows * (ceil_div(form.cols * container_bits, 8) + n_groups * bytes_of_group);
}

int64_t Backend::codes_bytes(const CodesForm& form) const {
    return container_bytes(form);
}

int64_t kv_bytes_per_token(const KvDescriptor& d) {
    const int64_t bits = kv_vector_bits(d.k, d.head_dim) + kv_vector_bits(d.v, d.head_dim);
    return ceil_div(d.n_layers * d.n_kv_heads * bits, 8);
}

int64_t newest_block_bytes(const KvDescriptor& d) {
    if (!d.k.by_channel()) return 0;
    return (d.n_layers + 1) * d.n_kv_heads * d.k.block * d.head_dim * size_of(DType::F32);
}

namespace {

// Its arrays one behind the other, each from an aligned place on; `bytes` becomes those of all.
Routing routing_at(std::byte* memory, int64_t n_tokens, int64_t top_k, int64_t n_experts,
                   int64_t& bytes) {
    bytes = 0;
    const auto next = [&](int64_t n) {
        std::byte* const place = memory == nullptr ? nullptr : memory + bytes;
        bytes += round_up(n * int64_t{sizeof(int32_t)}, kAlignment);
        return place;
    };
    const auto integers = [&](int64_t n) { return reinterpret_cast<int32_t*>(next(n)); };
    const int64_t n_rows = n_tokens * top_k;
    return {.n_tokens = n_tokens,
            .top_k = top_k,
            .n_experts = n_experts,
            .experts = integers(n_rows),
            .weights = reinterpret_cast<float*>(next(n_rows)),
            .row_of = integers(n_rows),
            .token_of = integers(n_rows),
            .first_row = integers(n_experts + 1)};
}

}  // namespace

int64_t routing_bytes(int64_t n_tokens, int64_t top_k, int64_t n_experts) {
    int64_t bytes = 0;
    routing_at(nullptr, n_tokens, top_k, n_experts, bytes);
    return bytes;
}

Routing place_routing(void* memory, int64_t n_tokens, int64_t top_k, int64_t n_experts) {
    int64_t bytes = 0;
    return routing_at(static_cast<std::byte*>(memory), n_tokens, top_k, n_experts, bytes);
}

int64_t Backend::quantized_bytes(int64_t rows, int64_t cols, const ActivationFormat& format) const {
    return quantized_rows_bytes(rows, cols, format, kAlignment);
}

QuantizedRows Backend::place_quantized(void* memory, int64_t rows, int64_t cols,
                                       const ActivationFormat& format) const {
    return place_quantized_rows(memory, rows, cols, format, kAlignment);
}

namespace {

template <typename T>
std::vector<T> downloaded(Backend& backend, const T* from, int64_t n) {
    std::vector<T> values(static_cast<size_t>(from == nullptr ? 0 : n));
    if (from != nullptr) backend.download(values.data(), from, n * static_cast<int64_t>(sizeof(T)));
    return values;
}

[[noreturn]] void refuse_mixtures(const Backend& backend) {
    fail(ErrorCode::Unsupported, "mixtures of experts are not available on {}",
         backend.info().name);
}

// Calls again instead of replaying.
class CalledAgain final : public Recording {
  public:
    explicit CalledAgain(std::function<void()> enqueue) : enqueue_(std::move(enqueue)) {}
    void replay() override { enqueue_(); }

  private:
    std::function<void()> enqueue_;
};

}  // namespace

Buffer Backend::allocate_host(int64_t bytes) {
    const int64_t rounded = round_up(std::max<int64_t>(bytes, 1), kAlignment);
    void* data = std::aligned_alloc(kAlignment, static_cast<size_t>(rounded));
    if (data == nullptr) fail(ErrorCode::OutOfMemory, "cannot allocate {} bytes", bytes);
    return {data, bytes, [](void* p) { std::free(p); }};
}

void Backend::reserve(const StepLimits&) {}

void Backend::accumulate_cross_gram(Rows, Rows, double*) {
    fail(ErrorCode::Unsupported, "products of two streams of inputs are not available on {}",
         info().name);
}

void Backend::route(const RouteArgs&) {
    refuse_mixtures(*this);
}
void Backend::gather_codes(const QuantizedRows&, const int32_t*, const QuantizedRows&) {
    refuse_mixtures(*this);
}
void Backend::expert_group(const ExpertGroupArgs&) {
    refuse_mixtures(*this);
}
void Backend::combine_experts(const CombineArgs&) {
    refuse_mixtures(*this);
}

std::unique_ptr<Recording> Backend::record(std::function<void()> enqueue) {
    return std::make_unique<CalledAgain>(std::move(enqueue));
}

std::vector<std::unique_ptr<comm::Comm>> Backend::join(std::span<Backend* const> others) {
    if (!others.empty()) {
        fail(ErrorCode::Unsupported, "a group of {} ranks is not available on {}",
             others.size() + 1, info().name);
    }
    std::vector<std::unique_ptr<comm::Comm>> alone;
    alone.push_back(std::make_unique<comm::SingleComm>());
    return alone;
}

std::shared_ptr<const Tensor> as_floats(const HostMatrix& matrix) {
    const auto* codes = std::get_if<QuantizedMatrix>(&matrix);
    if (codes == nullptr) return std::get<std::shared_ptr<const Tensor>>(matrix);
    auto values = std::make_shared<Tensor>(DType::F32, Shape{codes->rows, codes->cols});
    for (int64_t row = 0; row < codes->rows; ++row) {
        codes->dequantize_row(
            row, {values->as<float>() + row * codes->cols, static_cast<size_t>(codes->cols)});
    }
    return values;
}

TiedMatrix Backend::prepare_tied(LinearWeights weights) {
    auto embedding = prepare_embedding(as_floats(weights.matrix));
    return {prepare_linear(std::move(weights)), std::move(embedding)};
}

std::optional<int64_t> Backend::available_bytes() const {
    return available_host_bytes();
}

std::optional<int64_t> Backend::available_to_each(int n_ranks) const {
    const std::optional<int64_t> available = available_bytes();
    if (!available || traits().own_memory) return available;
    return *available / n_ranks;
}

HostCodes Backend::read_codes(const QuantizedRows& in) {
    synchronize();
    const int64_t n = in.rows * in.n_groups();
    HostCodes out;
    std::vector<int8_t> row(static_cast<size_t>(in.stride));
    for (int64_t r = 0; r < in.rows; ++r) {
        download(row.data(), in.row_codes(r), in.stride);
        synchronize();
        const auto end = row.begin() + in.cols;
        out.codes.insert(out.codes.end(), row.begin(), end);
        out.padding_is_zero &= std::all_of(end, row.end(), [](int8_t code) { return code == 0; });
    }
    out.scales = downloaded(*this, in.scales, n);
    out.offsets = downloaded(*this, in.offsets, n);
    out.bases = downloaded(*this, in.bases, n);
    out.row_sums = downloaded(*this, in.row_sums, n);
    synchronize();
    return out;
}

void Backend::dequantize(const QuantizedRows& in, Rows out) {
    QUAROT_CHECK(out.rows == in.rows && out.cols == in.cols);
    const int64_t n_groups = in.n_groups(), size = in.cols / n_groups;
    const HostCodes host = read_codes(in);
    std::vector<float> row(static_cast<size_t>(in.cols));
    for (int64_t r = 0; r < in.rows; ++r) {
        for (int64_t c = 0; c < in.cols; ++c) {
            const auto at = static_cast<size_t>(r * n_groups + c / size);
            const int32_t offset = host.offsets.empty() ? 0 : host.offsets[at];
            const float base = host.bases.empty() ? 0.0f : host.bases[at];
            const int8_t code = host.codes[static_cast<size_t>(r * in.cols + c)];
            row[static_cast<size_t>(c)] =
                host.scales[at] * static_cast<float>(code - offset) + base;
        }
        upload(out.f32(r), row.data(), in.cols * size_of(DType::F32));
    }
}

void Backend::norm_quantize(const NormArgs& args, const Operand& out, SiteNote note) {
    norm(args);
    if (const auto* quantized = std::get_if<QuantizedRows>(&out.rows)) {
        quantize(args.out, *quantized, note);
    }
}

void Backend::add_norm_quantize(const AddNormArgs& args, const Operand& out, SiteNote note) {
    if (args.group != nullptr) args.group->sum(args.partial);
    add(args.residual, args.partial);
    norm_quantize({.in = args.residual,
                   .kind = args.kind,
                   .gain = args.gain,
                   .bias = args.bias,
                   .eps = args.eps,
                   .out = args.out},
                  out, note);
}

void Backend::transform_quantize(const Transform* transform_or_null, Rows scratch,
                                 const Operand& out, SiteNote note) {
    if (transform_or_null != nullptr) transform(*transform_or_null, scratch);
    if (const auto* quantized = std::get_if<QuantizedRows>(&out.rows)) {
        quantize(scratch, *quantized, note);
    }
}

void Backend::rope_transform_append_kv(const RopeTransformAppendArgs& args) {
    if (args.rope.table.cos != nullptr) rope(args.rope);
    if (args.transform != nullptr) {
        transform(*args.transform, args.rope.q);
        transform(*args.transform, args.rope.k);
    }
    append_kv(args.append);
}

void Backend::linear_group(const LinearGroupArgs& args) {
    for (size_t i = 0; i < args.weights.size(); ++i) {
        linear({.in = args.in, .weight = *args.weights[i], .out = args.outs[i]});
    }
}

void Backend::activate_transform_quantize(const ActivateArgs& args,
                                          const Transform* transform_or_null, const Operand& out,
                                          SiteNote note) {
    activate(args);
    transform_quantize(transform_or_null, args.out, out, note);
}

}  // namespace quarot::kernels

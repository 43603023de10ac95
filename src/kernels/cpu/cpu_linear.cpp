#include "kernels/cpu/cpu_linear.h"

#include <limits>

#include "core/check.h"
#include "core/error.h"
#include "tensor/affine.h"

namespace quarot::kernels::cpu {

namespace {

// Where the sums of 8-bit codes of either side still fit the tricks of the integer kernels.
constexpr int64_t kMaxInputs = 65'000;
// A widened panel should leave room for the activations in a 1 MiB L2.
constexpr int64_t kDensePanelBytes = int64_t{384} << 10;
// Packed activations that stay in L2 while all panels pass.
constexpr int64_t kChunkBytes = int64_t{640} << 10;

int64_t in_features_of(const LinearWeights& w) {
    const auto* matrix = std::get_if<QuantizedMatrix>(&w.matrix);
    return matrix != nullptr ? matrix->cols : std::get<0>(w.matrix)->cols();
}

int64_t out_features_of(const LinearWeights& w) {
    const auto* matrix = std::get_if<QuantizedMatrix>(&w.matrix);
    return matrix != nullptr ? matrix->rows : std::get<0>(w.matrix)->rows();
}

int bits_of(const LinearWeights& w) {
    const auto* matrix = std::get_if<QuantizedMatrix>(&w.matrix);
    return matrix != nullptr ? matrix->bits : 16;
}

}  // namespace

FloatFormat float_format(DType dtype) {
    switch (dtype) {
        case DType::F32:
            return FloatFormat::F32;
        case DType::BF16:
            return FloatFormat::BF16;
        case DType::F16:
            return FloatFormat::F16;
        default:
            fail(ErrorCode::Unsupported,
                 "a weight matrix has dtype {}, expected F32, F16 or BF16 on the cpu backend",
                 name_of(dtype));
    }
}

CpuLinear::CpuLinear(LinearWeights weights, CpuContext& context)
    : Linear(out_features_of(weights), in_features_of(weights), bits_of(weights)),
      bias_(std::move(weights.bias)) {
    QUAROT_CHECK(bias_.empty() || static_cast<int64_t>(bias_.size()) == out_features(), "{} {}",
                 bias_.size(), out_features());
    if (const auto* matrix = std::get_if<QuantizedMatrix>(&weights.matrix)) {
        pack(*matrix, context);
        return;
    }
    dense_ = std::get<0>(std::move(weights.matrix));
    format_ = float_format(dense_->dtype());
    panel_outputs_ = std::clamp(kDensePanelBytes / (4 * dense_stride(in_features())) / 8 * 8,
                                int64_t{8}, int64_t{64});
}

void CpuLinear::pack(const QuantizedMatrix& matrix, CpuContext& context) {
    if (matrix.group_size != 0) {
        fail(ErrorCode::Unsupported,
             "weight groups of {} inputs are not available on the cpu backend, expected one scale "
             "per output; use the reference backend",
             matrix.group_size);
    }
    if (in_features() > kMaxInputs) {
        fail(ErrorCode::Unsupported,
             "a quantized linear has {} inputs, the cpu backend multiplies at most {}",
             in_features(), kMaxInputs);
    }
    nibbles_ = matrix.bits <= 4;
    largest_code_ = matrix.symmetric ? symmetric_max(matrix.bits) + 1 : asymmetric_max(matrix.bits);
    codes_ = MappedMemory(n_panels() * panel_bytes(), PageAdvice::Huge);
    const auto padded = static_cast<size_t>(n_panels() * kPanelOutputs);
    scales_.resize(padded);
    zeros_.resize(padded);
    code_sums_.resize(padded);
    if (!bias_.empty()) bias_.resize(padded);
    context.parallel(n_panels(), [&](int64_t index, int) { pack_panel(matrix, index); });
}

void CpuLinear::pack_panel(const QuantizedMatrix& matrix, int64_t index) {
    std::vector<uint8_t> codes(static_cast<size_t>(matrix.cols));
    auto* panel = reinterpret_cast<uint8_t*>(codes_.data() + index * panel_bytes());
    const int64_t first = index * kPanelOutputs;
    const int64_t count = std::min(kPanelOutputs, matrix.rows - first);
    for (int64_t o = 0; o < count; ++o) {
        const auto at = static_cast<size_t>(first + o);
        matrix.unpack_row(first + o, codes);
        scales_[at] = matrix.scale(first + o, 0);
        zeros_[at] = matrix.zero(first + o, 0) - matrix.q_min();
        const int64_t lane = nibbles_ ? o % 16 : o;
        const int shift = nibbles_ && o >= 16 ? 4 : 0;
        const int64_t step_bytes = nibbles_ ? 64 : 128;
        int32_t sum = 0;
        for (int64_t k = 0; k < matrix.cols; ++k) {
            const uint8_t code = codes[static_cast<size_t>(k)];
            sum += code;
            panel[k / 4 * step_bytes + 4 * lane + k % 4] |= static_cast<uint8_t>(code << shift);
        }
        code_sums_[at] = sum;
    }
}

int64_t CpuLinear::panel_bytes() const {
    return steps() * (nibbles_ ? 64 : 128);
}

IntPanel CpuLinear::panel(int64_t index) const {
    const int64_t first = index * kPanelOutputs;
    return {reinterpret_cast<const uint8_t*>(codes_.data() + index * panel_bytes()),
            scales_.data() + first,
            zeros_.data() + first,
            code_sums_.data() + first,
            bias_.empty() ? nullptr : bias_.data() + first,
            nibbles_};
}

DensePanel CpuLinear::dense_panel(int64_t first_output, float* widened) const {
    return {dense_->data() + first_output * in_features() * size_of(dense_->dtype()), format_,
            in_features(), bias_.empty() ? nullptr : bias_.data() + first_output, widened};
}

namespace {

const CpuLinear& as_cpu(const Linear& linear) {
    return static_cast<const CpuLinear&>(linear);
}

FloatOut columns(const Rows& out, int64_t row, int64_t first, int64_t count, bool accumulate) {
    return {out.f32(row) + first, out.stride, count, accumulate};
}

// scales: of the rows, applied to their sums; null: ones.
void multiply_dense(CpuContext& context, const Rows& in, const float* scales,
                    const CpuLinear& weight, const Rows& out, bool accumulate) {
    // Enough rows to pay for widening a panel, few enough to share a small matrix.
    constexpr int64_t kRowsPerTask = 384;
    const int64_t n_panels = ceil_div(weight.out_features(), weight.panel_outputs());
    const int64_t n_row_tasks = ceil_div(in.rows, kRowsPerTask);
    const int64_t widened_bytes = weight.panel_outputs() * dense_stride(in.cols) * 4;
    context.parallel(n_panels * n_row_tasks, [&](int64_t task, int thread) {
        const int64_t first = task / n_row_tasks * weight.panel_outputs();
        const int64_t count = std::min(weight.panel_outputs(), weight.out_features() - first);
        const int64_t row = task % n_row_tasks * kRowsPerTask;
        auto* widened = reinterpret_cast<float*>(context.scratch(thread).get(widened_bytes));
        context.isa.dense_panel(weight.dense_panel(first, widened),
                                {in.f32(row), in.stride, std::min(kRowsPerTask, in.rows - row),
                                 scales == nullptr ? nullptr : scales + row},
                                count, columns(out, row, first, count, accumulate));
    });
}

// Quantized weight, float activations.
void multiply_mixed(CpuContext& context, const Rows& in, const CpuLinear& weight, const Rows& out,
                    bool accumulate) {
    constexpr int64_t kRowsPerTask = 384;
    const int64_t n_row_tasks = ceil_div(in.rows, kRowsPerTask);
    const int64_t scratch_bytes = weight.steps() * 4 * kPanelOutputs * 4;
    context.parallel(weight.n_panels() * n_row_tasks, [&](int64_t task, int thread) {
        const int64_t index = task / n_row_tasks, row = task % n_row_tasks * kRowsPerTask;
        const int64_t first = index * kPanelOutputs;
        const int64_t count = std::min(kPanelOutputs, weight.out_features() - first);
        auto* scratch = reinterpret_cast<float*>(context.scratch(thread).get(scratch_bytes));
        context.isa.mixed_panel(weight.panel(index), weight.in_features(),
                                {in.f32(row), in.stride, std::min(kRowsPerTask, in.rows - row)},
                                scratch, columns(out, row, first, count, accumulate));
    });
}

// Quantized activations, dense weight: products with the codes, the row's scale applied to the sum
// as the mixed product applies the weight's. Groups have a scale of their own inside the sum.
void multiply_codes_dense(CpuContext& context, const QuantizedRows& in, const CpuLinear& weight,
                          const Rows& out, bool accumulate) {
    const int64_t stride = round_up(in.cols, int64_t{16}), n_groups = in.n_groups();
    auto* values = reinterpret_cast<float*>(context.shared.get(in.rows * stride * 4));
    const int64_t size = in.cols / n_groups;
    context.for_rows(in.rows, [&](int64_t row, int) {
        for (int64_t g = 0; g < n_groups; ++g) {
            const int64_t at = row * n_groups + g;
            const float offset = in.offsets == nullptr ? 0 : static_cast<float>(in.offsets[at]);
            context.isa.dequantize_row(in.codes + row * in.stride + g * size, size,
                                       n_groups == 1 ? 1.0f : in.scales[at], offset,
                                       values + row * stride + g * size);
        }
    });
    multiply_dense(context, {values, DType::F32, in.rows, in.cols, stride},
                   n_groups == 1 ? in.scales : nullptr, weight, out, accumulate);
}

// The panels of several weights, counted through.
class PanelList {
  public:
    PanelList(std::span<const Linear* const> weights, std::span<const Rows> outs)
        : weights_(weights), outs_(outs) {
        for (const Linear* weight : weights) {
            total_ += as_cpu(*weight).n_panels();
            bytes_ += as_cpu(*weight).n_panels() * as_cpu(*weight).panel_bytes();
        }
    }
    int64_t size() const { return total_; }
    int64_t bytes() const { return bytes_; }

    // run(weight, out, first, count) for the panels [first, last), a call per weight.
    template <typename Run>
    void visit(int64_t first, int64_t last, const Run& run) const {
        int64_t start = 0;
        for (size_t i = 0; i < weights_.size(); ++i) {
            const CpuLinear& weight = as_cpu(*weights_[i]);
            const int64_t from = std::max(first, start) - start;
            const int64_t to = std::min(last - start, weight.n_panels());
            if (from < to) run(weight, outs_[i], from, to - from);
            start += weight.n_panels();
        }
    }

  private:
    std::span<const Linear* const> weights_;
    std::span<const Rows> outs_;
    int64_t total_ = 0, bytes_ = 0;
};

// Contiguous runs of panels: one a thread for little work, more where threads may differ.
int64_t panel_runs(const CpuContext& context, const PanelList& panels) {
    constexpr int64_t kRunBytes = int64_t{256} << 10;
    const int64_t n_threads = context.pool.size();
    const int64_t runs = std::clamp(panels.bytes() / kRunBytes, n_threads, 8 * n_threads);
    return std::min(panels.size(), round_up(runs, n_threads));
}

void multiply_row(CpuContext& context, const TokenTile& row, const PanelList& panels,
                  bool accumulate) {
    const int64_t n_runs = panel_runs(context, panels);
    context.parallel(n_runs, [&](int64_t run, int) {
        const int64_t first = run * panels.size() / n_runs;
        const int64_t last = (run + 1) * panels.size() / n_runs;
        panels.visit(
            first, last,
            [&](const CpuLinear& weight, const Rows& out, int64_t from, int64_t count) {
                const int64_t column = from * kPanelOutputs;
                const int64_t n = std::min(count * kPanelOutputs, weight.out_features() - column);
                context.isa.int_row(weight.panel(from), count, weight.panel_bytes(), weight.steps(),
                                    row, columns(out, 0, column, n, accumulate));
            });
    });
}

// Some rows at a time: packed into tiles in shared scratch, then all panels over them.
void multiply_chunk(CpuContext& context, const QuantizedRows& in, const int32_t* offset_sums,
                    int64_t first_row, int64_t n_rows, int64_t steps, const PanelList& panels,
                    int8_t* tiles, bool accumulate) {
    const IsaKernels& isa = context.isa;
    const int64_t tile_bytes = steps * 4 * kTileSlots, n_tiles = ceil_div(n_rows, isa.token_tile);
    context.parallel(n_tiles, [&](int64_t tile, int) {
        const int64_t token = tile * isa.token_tile;
        isa.pack_tile(in.codes + (first_row + token) * in.stride, in.stride,
                      std::min(isa.token_tile, n_rows - token), steps, tiles + tile * tile_bytes);
    });
    const TokenTile first_tile{tiles, in.scales + first_row,
                               in.offsets == nullptr ? nullptr : in.offsets + first_row,
                               offset_sums + first_row, std::min(isa.token_tile, n_rows)};
    constexpr int64_t kTilesForSinglePanels = 8;
    const int64_t n_runs =
        n_tiles >= kTilesForSinglePanels ? panels.size() : panel_runs(context, panels);
    context.parallel(n_runs, [&](int64_t run, int) {
        panels.visit(run * panels.size() / n_runs, (run + 1) * panels.size() / n_runs,
                     [&](const CpuLinear& weight, const Rows& out, int64_t from, int64_t count) {
                         for (int64_t p = from; p < from + count; ++p) {
                             const int64_t column = p * kPanelOutputs;
                             const int64_t n =
                                 std::min(kPanelOutputs, weight.out_features() - column);
                             isa.int_panel(weight.panel(p), steps, first_tile, n_rows, tile_bytes,
                                           columns(out, first_row, column, n, accumulate));
                         }
                     });
    });
}

void check_integer_range(const QuantizedRows& in, const CpuLinear& weight) {
    const ActivationFormat& format = in.format;
    const int64_t code =
        format.symmetric ? symmetric_max(format.bits) + 1 : asymmetric_max(format.bits);
    if (code * weight.largest_code() * in.cols > std::numeric_limits<int32_t>::max()) {
        fail(ErrorCode::Unsupported,
             "{} inputs with {}-bit activations and {}-bit weights can exceed 32-bit sums", in.cols,
             format.bits, weight.bits());
    }
}

void multiply_integers(CpuContext& context, const QuantizedRows& in,
                       std::span<const Linear* const> weights, std::span<const Rows> outs,
                       bool accumulate) {
    if (in.format.group_size != 0) {
        fail(ErrorCode::Unsupported,
             "activation groups of {} are not available on the cpu backend, expected one scale per "
             "token; use the reference backend",
             in.format.group_size);
    }
    for (const Linear* weight : weights) check_integer_range(in, as_cpu(*weight));
    const int64_t steps = as_cpu(*weights[0]).steps();
    const int64_t tile_bytes = steps * 4 * kTileSlots;
    const int64_t tiles_at_once = std::min(std::max(int64_t{1}, kChunkBytes / tile_bytes),
                                           ceil_div(in.rows, context.isa.token_tile));
    const int64_t tiles_bytes = round_up(tiles_at_once * tile_bytes, int64_t{64});
    std::byte* scratch = context.shared.get(tiles_bytes + in.rows * 4);
    const int32_t* offset_sums = in.row_sums;
    if (in.offsets != nullptr) {
        auto* sums = reinterpret_cast<int32_t*>(scratch + tiles_bytes);
        for (int64_t r = 0; r < in.rows; ++r) {
            sums[r] = static_cast<int32_t>(in.row_sums[r] - in.cols * in.offsets[r]);
        }
        offset_sums = sums;
    }
    const PanelList panels(weights, outs);
    if (in.rows == 1) {
        multiply_row(context, {in.codes, in.scales, in.offsets, offset_sums, 1}, panels,
                     accumulate);
        return;
    }
    const int64_t chunk = tiles_at_once * context.isa.token_tile;
    for (int64_t row = 0; row < in.rows; row += chunk) {
        multiply_chunk(context, in, offset_sums, row, std::min(chunk, in.rows - row), steps, panels,
                       reinterpret_cast<int8_t*>(scratch), accumulate);
    }
}

void check_shapes(const Operand& in, const Linear& weight, const Rows& out) {
    const int64_t cols = std::visit([](const auto& rows) { return rows.cols; }, in.rows);
    QUAROT_CHECK(cols == weight.in_features(), "{} {}", cols, weight.in_features());
    QUAROT_CHECK(
        out.rows == in.n_rows() && out.cols == weight.out_features() && out.dtype == DType::F32,
        "[{}, {}] for [{}, {}]", out.rows, out.cols, in.n_rows(), weight.out_features());
}

}  // namespace

void multiply(CpuContext& context, const Operand& in, std::span<const Linear* const> weights,
              std::span<const Rows> outs, bool accumulate) {
    QUAROT_CHECK(!weights.empty() && weights.size() == outs.size());
    bool all_quantized = true;
    for (size_t i = 0; i < weights.size(); ++i) {
        check_shapes(in, *weights[i], outs[i]);
        all_quantized = all_quantized && !as_cpu(*weights[i]).is_dense();
    }
    if (in.n_rows() == 0) return;
    const auto* quantized = std::get_if<QuantizedRows>(&in.rows);
    if (quantized != nullptr && all_quantized) {
        multiply_integers(context, *quantized, weights, outs, accumulate);
        return;
    }
    for (size_t i = 0; i < weights.size(); ++i) {
        const CpuLinear& weight = as_cpu(*weights[i]);
        if (quantized == nullptr) {
            const Rows& rows = std::get<Rows>(in.rows);
            if (weight.is_dense()) {
                multiply_dense(context, rows, nullptr, weight, outs[i], accumulate);
            } else {
                multiply_mixed(context, rows, weight, outs[i], accumulate);
            }
        } else if (weight.is_dense()) {
            multiply_codes_dense(context, *quantized, weight, outs[i], accumulate);
        } else {
            multiply_integers(context, *quantized, weights.subspan(i, 1), outs.subspan(i, 1),
                              accumulate);
        }
    }
}

}  // namespace quarot::kernels::cpu

#include "kernels/cpu/cpu_linear.h"

#include <numeric>

#include "core/check.h"
#include "core/error.h"
#include "kernels/cpu/grouped_product.h"
#include "kernels/cpu/panel_list.h"
#include "tensor/affine.h"

namespace quarot::kernels::cpu {

namespace {

// Where the sums of 8-bit codes of either side still fit the tricks of the integer kernels.
constexpr int64_t kMaxInputs = 65'000;
// A widened panel should leave room for the activations in a 1 MiB L2.
constexpr int64_t kDensePanelBytes = int64_t{384} << 10;
// Float rows: enough to pay for widening a panel, few enough to share a small matrix.
constexpr int64_t kRowsPerTask = 384;

int64_t in_features_of(const LinearWeights& w) {
    const auto* matrix = std::get_if<QuantizedMatrix>(&w.matrix);
    return matrix != nullptr ? matrix->cols : std::get<0>(w.matrix)->cols();
}

int64_t out_features_of(const LinearWeights& w) {
    const auto* matrix = std::get_if<QuantizedMatrix>(&w.matrix);
    return matrix != nullptr ? matrix->rows : std::get<0>(w.matrix)->rows();
}

bool is_in_nibbles(int bits) {
    return bits <= 4;
}

// Four inputs of all outputs a step.
int64_t bytes_of_panel(int64_t n_inputs, bool nibbles) {
    return ceil_div(n_inputs, int64_t{4}) * (nibbles ? 64 : 128);
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

PanelSizes panel_sizes(const CodesForm& form) {
    const int64_t group = form.group_size == 0 ? form.cols : form.group_size;
    const int64_t activation_group = form.activation_group == 0 ? form.cols : form.activation_group;
    const int64_t n_panels = ceil_div(form.rows, kPanelOutputs), padded = n_panels * kPanelOutputs;
    const int64_t n_segments =
        for_each_segment(form.cols, activation_group, group, [](const Segment&) {});
    return {.code_bytes = n_panels * bytes_of_panel(form.cols, is_in_nibbles(form.bits)),
            .n_scales = form.cols / group * padded,
            .n_zeros = (form.symmetric ? 1 : form.cols / group) * padded,
            .n_sums = n_segments * padded};
}

CpuLinear::CpuLinear(LinearWeights weights, CpuContext& context)
    : Linear(out_features_of(weights), in_features_of(weights), bits_of(weights)),
      activation_group_(weights.activation_group == 0 ? in_features() : weights.activation_group),
      bias_(std::move(weights.bias)) {
    QUAROT_CHECK(activation_group_ > 0 && in_features() % activation_group_ == 0, "{} in {}",
                 activation_group_, in_features());
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
    if (in_features() > kMaxInputs) {
        fail(ErrorCode::Unsupported,
             "a quantized linear has {} inputs, the cpu backend multiplies at most {}",
             in_features(), kMaxInputs);
    }
    nibbles_ = is_in_nibbles(matrix.bits);
    largest_code_ = matrix.symmetric ? symmetric_max(matrix.bits) + 1 : asymmetric_max(matrix.bits);
    group_inputs_ = matrix.group_size == 0 ? in_features() : matrix.group_size;
    n_segments_ =
        for_each_segment(in_features(), activation_group_, group_inputs_, [](const Segment&) {});
    zeros_stride_ = matrix.symmetric ? 0 : kPanelOutputs;
    const PanelSizes sizes = panel_sizes({.rows = out_features(),
                                          .cols = in_features(),
                                          .bits = matrix.bits,
                                          .group_size = matrix.group_size,
                                          .symmetric = matrix.symmetric,
                                          .activation_group = activation_group_});
    codes_ = MappedMemory(sizes.code_bytes, PageAdvice::Huge);
    scales_.resize(static_cast<size_t>(sizes.n_scales));
    zeros_.resize(static_cast<size_t>(sizes.n_zeros));
    code_sums_.resize(static_cast<size_t>(sizes.n_sums));
    if (!bias_.empty()) bias_.resize(static_cast<size_t>(n_panels() * kPanelOutputs));
    context.parallel(n_panels(), [&](int64_t index, int) { pack_panel(matrix, index); });
}

void CpuLinear::pack_panel(const QuantizedMatrix& matrix, int64_t index) {
    std::vector<uint8_t> codes(static_cast<size_t>(matrix.cols));
    auto* panel = reinterpret_cast<uint8_t*>(codes_.data() + index * panel_bytes());
    const int64_t first = index * kPanelOutputs;
    const int64_t count = std::min(kPanelOutputs, matrix.rows - first);
    for (int64_t o = 0; o < count; ++o) {
        pack_output(matrix, first + o, codes);
        const int64_t lane = nibbles_ ? o % 16 : o;
        const int shift = nibbles_ && o >= 16 ? 4 : 0;
        const int64_t step_bytes = nibbles_ ? 64 : 128;
        for (int64_t k = 0; k < matrix.cols; ++k) {
            const uint8_t code = codes[static_cast<size_t>(k)];
            panel[k / 4 * step_bytes + 4 * lane + k % 4] |= static_cast<uint8_t>(code << shift);
        }
    }
}

// Number i of the n that an output has.
size_t CpuLinear::place_of(int64_t output, int64_t i, int64_t n) {
    return static_cast<size_t>((output / kPanelOutputs * n + i) * kPanelOutputs +
                               output % kPanelOutputs);
}

// Reads the codes of one output and keeps its scales, zero points and sums.
void CpuLinear::pack_output(const QuantizedMatrix& matrix, int64_t output,
                            std::span<uint8_t> codes) {
    matrix.unpack_row(output, codes);
    for (int64_t g = 0; g < n_groups(); ++g) {
        scales_[place_of(output, g, n_groups())] = matrix.scale(output, g);
    }
    for (int64_t g = 0; g < n_zeros(); ++g) {
        zeros_[place_of(output, g, n_zeros())] = matrix.zero(output, g) - matrix.q_min();
    }
    for_each_segment(matrix.cols, activation_group_, group_inputs_, [&](const Segment& s) {
        code_sums_[place_of(output, s.number, n_segments_)] =
            std::accumulate(codes.begin() + s.first, codes.begin() + s.last, 0);
    });
}

void CpuLinear::read_row(int64_t output, float* values) const {
    const int64_t o = output % kPanelOutputs;
    const int64_t lane = nibbles_ ? o % 16 : o, step_bytes = nibbles_ ? 64 : 128;
    const int shift = nibbles_ && o >= 16 ? 4 : 0, mask = nibbles_ ? 15 : 255;
    const auto* panel =
        reinterpret_cast<const uint8_t*>(codes_.data() + output / kPanelOutputs * panel_bytes()) +
        4 * lane;
    for (int64_t first = 0; first < in_features(); first += group_inputs_) {
        const int64_t group = first / group_inputs_;
        const float scale = scales_[place_of(output, group, n_groups())];
        const int32_t zero = zeros_[place_of(output, std::min(group, n_zeros() - 1), n_zeros())];
        for (int64_t k = first; k < first + group_inputs_; ++k) {
            const int code = panel[k / 4 * step_bytes + k % 4] >> shift & mask;
            values[k] = scale * static_cast<float>(code - zero);
        }
    }
}

int64_t CpuLinear::panel_bytes() const {
    return bytes_of_panel(in_features(), nibbles_);
}

int64_t CpuLinear::bytes() const {
    return codes_.bytes() + std::ssize(scales_) * int64_t{sizeof(float)} +
           (std::ssize(zeros_) + std::ssize(code_sums_)) * int64_t{sizeof(int32_t)};
}

IntPanel CpuLinear::panel(int64_t index) const {
    const int64_t scales = n_groups() * kPanelOutputs, zeros = n_zeros() * kPanelOutputs;
    const int64_t sums = n_segments_ * kPanelOutputs;
    return {.codes = reinterpret_cast<const uint8_t*>(codes_.data() + index * panel_bytes()),
            .scales = scales_.data() + index * scales,
            .zeros = zeros_.data() + index * zeros,
            .code_sums = code_sums_.data() + index * sums,
            .bias = bias(index),
            .nibbles = nibbles_,
            .group_inputs = group_inputs_ == in_features() ? 0 : group_inputs_,
            .zeros_stride = zeros_stride_,
            .largest_code = asymmetric_max(bits()),
            .next_scales = scales,
            .next_zeros = zeros,
            .next_sums = sums};
}

IntPanel CpuLinear::panel(int64_t index, const Segment& segment) const {
    IntPanel part = panel(index);
    part.codes += segment.first / 4 * (nibbles_ ? 64 : 128);
    part.scales += segment.weight_group * kPanelOutputs;
    part.zeros += segment.weight_group * zeros_stride_;
    // Activations without zero points may come in other groups; their sums are not used.
    part.code_sums += std::min(segment.number, n_segments_ - 1) * kPanelOutputs;
    part.bias = nullptr;
    return part;
}

DensePanel CpuLinear::dense_panel(int64_t first_output, float* widened) const {
    return {dense_->data() + first_output * in_features() * size_of(dense_->dtype()), format_,
            in_features(), bias_.empty() ? nullptr : bias_.data() + first_output, widened};
}

namespace {

FloatOut columns(const Rows& out, int64_t row, int64_t first, int64_t count, bool accumulate) {
    return {out.f32(row) + first, out.stride, count, accumulate};
}

// scales: of the rows, applied to their sums; null: ones.
void multiply_dense(CpuContext& context, const Rows& in, const float* scales,
                    const CpuLinear& weight, const Rows& out, bool accumulate) {
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
    const int64_t n_row_tasks = ceil_div(in.rows, kRowsPerTask);
    const int64_t scratch_bytes =
        (kMixedBlock + std::min(kRowsPerTask, in.rows)) * kPanelOutputs * 4;
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
// as the mixed product applies the weight's. Groups have a scale of their own inside the sum, and
// bases of real zero points stand beside scaled codes.
void multiply_codes_dense(CpuContext& context, const QuantizedRows& in, const CpuLinear& weight,
                          const Rows& out, bool accumulate) {
    const int64_t stride = round_up(in.cols, int64_t{16}), n_groups = in.n_groups();
    auto* values = reinterpret_cast<float*>(context.shared.get(in.rows * stride * 4));
    const int64_t size = in.cols / n_groups;
    const bool scale_sums = n_groups == 1 && in.bases == nullptr;
    context.for_rows(in.rows, [&](int64_t row, int) {
        for (int64_t g = 0; g < n_groups; ++g) {
            const int64_t at = row * n_groups + g;
            float* to = values + row * stride + g * size;
            const float offset = in.offsets == nullptr ? 0 : static_cast<float>(in.offsets[at]);
            context.isa.dequantize_row(in.row_codes(row) + g * size, size,
                                       scale_sums ? 1.0f : in.scales[at], offset, to);
            if (in.bases == nullptr) continue;
            for (int64_t i = 0; i < size; ++i) to[i] += in.bases[at];
        }
    });
    multiply_dense(context, {values, DType::F32, in.rows, in.cols, stride},
                   scale_sums ? in.scales : nullptr, weight, out, accumulate);
}

void multiply_row(CpuContext& context, const TokenTile& row, const PanelList& panels,
                  bool accumulate) {
    visit_in_parallel(
        context, panels, panel_runs(context, panels),
        [&](int, const CpuLinear& weight, const Rows& out, int64_t from, int64_t count) {
            const int64_t column = from * kPanelOutputs;
            const int64_t n = std::min(count * kPanelOutputs, weight.out_features() - column);
            context.isa.int_row(weight.panel(from), count, weight.panel_bytes(), weight.steps(),
                                row, columns(out, 0, column, n, accumulate));
        });
}

// The tokens from `row` on; `codes` packed.
TokenTile tokens_from(const QuantizedRows& in, const int8_t* codes, const int32_t* offset_sums,
                      int64_t row, int64_t n_tokens) {
    return {.codes = codes,
            .scales = in.scales + row,
            .offsets = in.offsets == nullptr ? nullptr : in.offsets + row,
            .offset_sums = offset_sums + row,
            .n_tokens = n_tokens,
            .bases = in.bases == nullptr ? nullptr : in.bases + row,
            .n_inputs = in.cols,
            .largest_code = symmetric_max(in.format.widest_bits()) + 1};
}

// Some rows at a time: packed into tiles in shared scratch, then all panels over them.
void multiply_chunk(CpuContext& context, const QuantizedRows& in, const int32_t* offset_sums,
                    int64_t first_row, int64_t n_rows, int64_t steps, const PanelList& panels,
                    int8_t* tiles, bool accumulate) {
    const IsaKernels& isa = context.isa;
    const int64_t tile_bytes = panel_tile_bytes(steps);
    const int64_t n_tiles = ceil_div(n_rows, isa.panel_tokens);
    context.parallel(n_tiles, [&](int64_t tile, int) {
        const int64_t token = tile * isa.panel_tokens;
        isa.pack_panel_tile(in.row_codes(first_row + token), in.stride,
                            std::min(isa.panel_tokens, n_rows - token), steps,
                            tiles + tile * tile_bytes);
    });
    const TokenTile first_tile =
        tokens_from(in, tiles, offset_sums, first_row, std::min(isa.panel_tokens, n_rows));
    visit_in_parallel(
        context, panels, panel_runs_over_tiles(context, panels, n_tiles),
        [&](int, const CpuLinear& weight, const Rows& out, int64_t from, int64_t count) {
            for (int64_t p = from; p < from + count; ++p) {
                const int64_t column = p * kPanelOutputs;
                const int64_t n = std::min(kPanelOutputs, weight.out_features() - column);
                isa.int_panel(weight.panel(p), steps, first_tile, n_rows, tile_bytes,
                              columns(out, first_row, column, n, accumulate));
            }
        });
}

// One 32-bit sum a row and output: no groups on either side, and widths of codes that allow it.
bool has_plain_sums(const QuantizedRows& in, const CpuLinear& weight) {
    return in.n_groups() == 1 && weight.group_inputs() == in.cols &&
           !needs_wide_sums(in.format, weight.largest_code(), in.cols);
}

void check_code_sums(const QuantizedRows& in, const CpuLinear& weight) {
    const bool used = in.offsets != nullptr || in.bases != nullptr;
    QUAROT_CHECK(!used || in.cols / in.n_groups() == weight.activation_group(),
                 "activation groups of {}, weights made for {}", in.cols / in.n_groups(),
                 weight.activation_group());
}

void multiply_plain(CpuContext& context, const QuantizedRows& in,
                    std::span<const Linear* const> weights, std::span<const Rows> outs,
                    bool accumulate) {
    const int64_t steps = as_cpu(*weights[0]).steps();
    QUAROT_CHECK(in.stride >= round_up(in.cols, int64_t{64}), "{} {}", in.stride, in.cols);
    const int64_t tile_bytes = panel_tile_bytes(steps), tile_tokens = context.isa.panel_tokens;
    const int64_t n_tiles = tiles_at_once(tile_bytes, tile_tokens, in.rows);
    const int64_t tiles_bytes = n_tiles * tile_bytes;
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
        multiply_row(context, tokens_from(in, in.row_codes(0), offset_sums, 0, 1), panels,
                     accumulate);
        return;
    }
    const int64_t chunk = n_tiles * tile_tokens;
    for (int64_t row = 0; row < in.rows; row += chunk) {
        multiply_chunk(context, in, offset_sums, row, std::min(chunk, in.rows - row), steps, panels,
                       reinterpret_cast<int8_t*>(scratch), accumulate);
    }
}

// Weights that follow one another share packed activations where their sums end alike.
void multiply_integers(CpuContext& context, const QuantizedRows& in,
                       std::span<const Linear* const> weights, std::span<const Rows> outs,
                       bool accumulate) {
    for (size_t first = 0; first < weights.size();) {
        const CpuLinear& weight = as_cpu(*weights[first]);
        const bool plain = has_plain_sums(in, weight);
        size_t last = first;
        while (last < weights.size() && has_plain_sums(in, as_cpu(*weights[last])) == plain &&
               as_cpu(*weights[last]).group_inputs() == weight.group_inputs()) {
            check_code_sums(in, as_cpu(*weights[last++]));
        }
        (plain ? multiply_plain : multiply_grouped)(context, in,
                                                    weights.subspan(first, last - first),
                                                    outs.subspan(first, last - first), accumulate);
        first = last;
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

#include "kernels/cpu/grouped_product.h"

#include <cstring>
#include <limits>
#include <numeric>

#include "core/check.h"
#include "kernels/cpu/panel_list.h"
#include "kernels/cpu/segments.h"
#include "tensor/affine.h"

namespace quarot::kernels::cpu {

namespace {

// A segment in steps of 4 inputs. A border inside a step of the weights gives that step to both
// sides, with zeros among the activations for the inputs that are not of the segment:
//   weights      | 0 1 2 3 | 4 5 6 7 |
//   segment 0..5 | a a a a | a a 0 0 |
//   segment 6..7           | 0 0 a a |
struct SteppedSegment {
    Segment segment;
    int64_t weight_step, tile_step, n_steps;
};

// What the sums of one segment are finished with, for each token of a tile.
struct TileFactors {
    float scales[kTileSlots];
    float bases[kTileSlots];
    int32_t offsets[kTileSlots];
    int32_t offset_sums[kTileSlots];
};

// How one call is carried out; `segments` stands in shared scratch.
struct Plan {
    const QuantizedRows& in;
    std::span<const SteppedSegment> segments;
    int64_t steps;    // of all segments
    bool on_borders;  // no step is shared: rows of codes can be taken as they are
    bool wide;
    bool accumulate;

    int64_t row_bytes() const { return round_up(4 * steps, int64_t{64}); }
    int64_t n_segments() const { return std::ssize(segments); }
};

// Some tokens of the operand ready to be multiplied, [n_segments]. Everything a kernel is handed is
// written once, long before: a structure put together between two calls stalls the wide loads that
// copy it.
struct PackedTokens {
    int8_t* codes;
    TileFactors* factors;
    TokenTile* segments;
};

PackedTokens place_tokens(const Plan& plan, int64_t codes_bytes, Carver& carver) {
    return {carver.take<int8_t>(codes_bytes), carver.take<TileFactors>(plan.n_segments()),
            carver.take<TokenTile>(plan.n_segments())};
}

int64_t packed_bytes(const Plan& plan, int64_t codes_bytes) {
    Carver measure(nullptr);
    place_tokens(plan, codes_bytes, measure);
    return measure.used();
}

int64_t tile_codes_bytes(const Plan& plan) {
    return plan.steps * 4 * kTileSlots;
}

PackedTokens tile_of(const Plan& plan, std::byte* tile) {
    Carver carver(tile);
    return place_tokens(plan, tile_codes_bytes(plan), carver);
}

int64_t largest_integer(const ActivationFormat& format) {
    // The zero point of a group may lie this far outside the codes (tensor/affine.h).
    constexpr int64_t kLargestZero = 32'000;
    const int bits = format.widest_bits();
    if (!format.has_offsets()) return symmetric_max(bits) + 1;
    return asymmetric_max(bits) + (format.group_size == 0 ? 0 : kLargestZero);
}

int64_t activation_group_of(const QuantizedRows& in) {
    return in.cols / in.n_groups();
}

Plan make_plan(CpuContext& context, const QuantizedRows& in, const PanelList& panels,
               bool accumulate) {
    const CpuLinear& first = panels.front();
    const int64_t a_group = activation_group_of(in), w_group = first.group_inputs();
    const int64_t most = in.cols / a_group + in.cols / w_group;
    auto* segments = reinterpret_cast<SteppedSegment*>(
        context.segments.get(most * static_cast<int64_t>(sizeof(SteppedSegment))));
    Plan plan{in, {}, 0, true, false, accumulate};
    int64_t longest = 0;
    const int64_t count = for_each_segment(in.cols, a_group, w_group, [&](const Segment& segment) {
        const int64_t step = segment.first / 4;
        const int64_t n_steps = ceil_div(segment.last, int64_t{4}) - step;
        segments[segment.number] = {segment, step, plan.steps, n_steps};
        plan.steps += n_steps;
        plan.on_borders = plan.on_borders && segment.first % 4 == 0;
        longest = std::max(longest, segment.last - segment.first);
    });
    plan.segments = {segments, static_cast<size_t>(count)};
    plan.wide = needs_wide_sums(in.format, panels.largest_code(), longest);
    return plan;
}

// One row of codes, every segment from the start of a step of its own.
void spread_row(const Plan& plan, int64_t row, int8_t* out) {
    const int8_t* codes = plan.in.row_codes(row);
    std::memset(out, 0, static_cast<size_t>(plan.row_bytes()));
    for (const SteppedSegment& s : plan.segments) {
        std::memcpy(out + 4 * s.tile_step + s.segment.first % 4, codes + s.segment.first,
                    static_cast<size_t>(s.segment.last - s.segment.first));
    }
}

int32_t code_sum(const QuantizedRows& in, int64_t row, const Segment& segment) {
    if (segment.last - segment.first == activation_group_of(in)) {
        return in.row_sums[row * in.n_groups() + segment.activation_group];
    }
    const int8_t* codes = in.row_codes(row);
    return std::accumulate(codes + segment.first, codes + segment.last, 0);
}

// Fills what belongs to the segments; word_stride: bytes from one step to the next.
void describe_tokens(const Plan& plan, int64_t first_row, int64_t n_rows, int64_t word_stride,
                     const PackedTokens& tokens) {
    const QuantizedRows& in = plan.in;
    int bits = in.format.bits;
    for (int64_t t = 0; t < n_rows; ++t) bits = std::max(bits, in.format_of(first_row + t).bits);
    for (int64_t i = 0; i < plan.n_segments(); ++i) {
        const SteppedSegment& s = plan.segments[static_cast<size_t>(i)];
        const int64_t length = s.segment.last - s.segment.first;
        TileFactors& f = tokens.factors[i];
        for (int64_t t = 0; t < n_rows; ++t) {
            const int64_t at = (first_row + t) * in.n_groups() + s.segment.activation_group;
            f.scales[t] = in.scales[at];
            f.bases[t] = in.bases == nullptr ? 0.0f : in.bases[at];
            f.offsets[t] = in.offsets == nullptr ? 0 : in.offsets[at];
            f.offset_sums[t] = static_cast<int32_t>(code_sum(in, first_row + t, s.segment) -
                                                    length * f.offsets[t]);
        }
        tokens.segments[i] = {.codes = tokens.codes + s.tile_step * word_stride,
                              .scales = f.scales,
                              .offsets = in.offsets == nullptr ? nullptr : f.offsets,
                              .offset_sums = f.offset_sums,
                              .n_tokens = n_rows,
                              .bases = in.bases == nullptr ? nullptr : f.bases,
                              .n_inputs = length,
                              .largest_code = symmetric_max(bits) + 1,
                              .n_steps = s.n_steps};
    }
}

// The sums of one row of outputs, all segments added up, with bias and residual.
void store(const float* sums, const float* bias, int64_t count, bool accumulate, float* out) {
    for (int64_t o = 0; o < count; ++o) {
        const float value = bias == nullptr ? sums[o] : sums[o] + bias[o];
        out[o] = accumulate ? out[o] + value : value;
    }
}

// A panel and what its products with some rows need, in a thread's scratch.
struct PanelParts {
    IntPanel* parts;     // [n_segments]
    float* base_scales;  // [n_segments, 32]
    float* sums;         // [rows, 32]
};

PanelParts place_parts(const Plan& plan, int64_t n_rows, Carver& carver) {
    return {carver.take<IntPanel>(plan.n_segments()),
            carver.take<float>(plan.n_segments() * kPanelOutputs),
            carver.take<float>(n_rows * kPanelOutputs)};
}

PanelParts panel_parts(CpuContext& context, int thread, const Plan& plan, int64_t n_rows) {
    Carver measure(nullptr);
    place_parts(plan, n_rows, measure);
    Carver place(context.scratch(thread).get(measure.used()));
    return place_parts(plan, n_rows, place);
}

// The parts of panel `index` in all segments.
void fill_parts(const Plan& plan, const CpuLinear& weight, int64_t index, IntPanel* parts) {
    for (const SteppedSegment& s : plan.segments) {
        parts[s.segment.number] = weight.panel(index, s.segment);
    }
}

// The parts of the next panel.
void move_to_next(const Plan& plan, const CpuLinear& weight, IntPanel* parts) {
    for (IntPanel& part : std::span(parts, static_cast<size_t>(plan.n_segments()))) {
        part.codes += weight.panel_bytes();
        part.scales += part.next_scales;
        part.zeros += part.next_zeros;
        part.code_sums += part.next_sums;
    }
}

// What all rows multiply with their bases.
void fill_base_scales(const Plan& plan, const PanelParts& panel) {
    if (plan.in.bases == nullptr) return;
    for (const SteppedSegment& s : plan.segments) {
        IntPanel& part = panel.parts[s.segment.number];
        float* to = panel.base_scales + s.segment.number * kPanelOutputs;
        const auto n_inputs = static_cast<int32_t>(s.segment.last - s.segment.first);
        for (int64_t o = 0; o < kPanelOutputs; ++o) {
            const int32_t sum = part.code_sums[o] - n_inputs * part.zeros[o];
            to[o] = static_cast<float>(sum) * part.scales[o];
        }
        part.base_scales = to;
    }
}

void multiply_tile(const IsaKernels& isa, const Plan& plan, const IntPanel* parts,
                   const TokenTile* tokens, float* sums) {
    const FloatOut to{sums, kPanelOutputs, kPanelOutputs, true};
    for (int64_t i = 0; i < plan.n_segments(); ++i) {
        const int64_t n_steps = plan.segments[static_cast<size_t>(i)].n_steps;
        if (plan.wide) {
            isa.int_wide(parts[i], n_steps, tokens[i], 4 * kTileSlots, to);
        } else {
            isa.int_panel(parts[i], n_steps, tokens[i], tokens[i].n_tokens, 0, to);
        }
    }
}

// panel.sums of n_rows rows in the tiles of the list.
void multiply_tiles(const IsaKernels& isa, const Plan& plan, const PanelParts& panel,
                    SegmentList list, int64_t n_rows) {
    std::memset(panel.sums, 0, static_cast<size_t>(n_rows * kPanelOutputs) * sizeof(float));
    list.panels = panel.parts;
    if (!plan.wide && isa.int_segments != nullptr) {
        isa.int_segments(list, panel.sums);
        return;
    }
    for (int64_t t = 0; t < list.n_tiles; ++t) {
        multiply_tile(isa, plan, panel.parts, list.tile(t),
                      panel.sums + t * isa.token_tile * kPanelOutputs);
    }
}

void pack_tile(CpuContext& context, int thread, const Plan& plan, int64_t row, int64_t n_rows,
               const PackedTokens& tile) {
    const int8_t* codes = plan.in.row_codes(row);
    int64_t stride = plan.in.stride;
    if (!plan.on_borders) {
        stride = plan.row_bytes();
        auto* spread = reinterpret_cast<int8_t*>(context.scratch(thread).get(kTileSlots * stride));
        for (int64_t t = 0; t < n_rows; ++t) spread_row(plan, row + t, spread + t * stride);
        codes = spread;
    }
    context.isa.pack_tile(codes, stride, n_rows, plan.steps, tile.codes);
    describe_tokens(plan, row, n_rows, 4 * kTileSlots, tile);
}

// The lines that sums will be written to: early, since they are in no near cache.
void fetch_lines(const Rows& out, int64_t first_row, int64_t n_rows, int64_t column) {
    for (int64_t row = first_row; row < first_row + n_rows; ++row) {
        __builtin_prefetch(out.f32(row) + column, 1);
        __builtin_prefetch(out.f32(row) + column + 16, 1);
    }
}

// Some rows at a time: packed into tiles in shared scratch, then all panels over them.
void multiply_chunk(CpuContext& context, const Plan& plan, const PanelList& panels,
                    int64_t first_row, int64_t n_rows, std::byte* tiles, int64_t tile_bytes) {
    const int64_t token_tile = context.isa.token_tile, n_tiles = ceil_div(n_rows, token_tile);
    context.parallel(n_tiles, [&](int64_t t, int thread) {
        const int64_t row = t * token_tile;
        pack_tile(context, thread, plan, first_row + row, std::min(token_tile, n_rows - row),
                  tile_of(plan, tiles + t * tile_bytes));
    });
    const SegmentList list{nullptr, tile_of(plan, tiles).segments, plan.n_segments(), n_tiles,
                           tile_bytes};
    const auto multiply = [&](int thread, const CpuLinear& weight, const Rows& out, int64_t index) {
        const PanelParts panel = panel_parts(context, thread, plan, n_rows);
        fill_parts(plan, weight, index, panel.parts);
        fill_base_scales(plan, panel);
        const int64_t column = index * kPanelOutputs;
        fetch_lines(out, first_row, n_rows, column);
        multiply_tiles(context.isa, plan, panel, list, n_rows);
        const int64_t count = std::min(kPanelOutputs, weight.out_features() - column);
        for (int64_t row = 0; row < n_rows; ++row) {
            store(panel.sums + row * kPanelOutputs, weight.bias(index), count, plan.accumulate,
                  out.f32(first_row + row) + column);
        }
    };
    visit_in_parallel(
        context, panels, panel_runs_over_tiles(context, panels, n_tiles),
        [&](int thread, const CpuLinear& weight, const Rows& out, int64_t from, int64_t count) {
            for (int64_t p = from; p < from + count; ++p) {
                multiply(thread, weight, out, p);
            }
        });
}

// Panels that pass through all segments side by side: enough sums to hide the latency of one.
constexpr int64_t kPanelsAtOnce = 4;

// sums [n_panels][32] of the panels from `first` on, whose parts become those of the panel behind.
void sum_panels(const IsaKernels& isa, const Plan& plan, const CpuLinear& weight, int64_t first,
                int64_t n_panels, IntPanel* parts, const TokenTile* tokens, float* sums) {
    if (!plan.wide && isa.int_segments_row != nullptr) {
        for (int64_t p = 0; p < n_panels; ++p) {
            isa.int_segments_row({parts, tokens, plan.n_segments()}, sums + p * kPanelOutputs);
            move_to_next(plan, weight, parts);
        }
        return;
    }
    const FloatOut to{sums, 0, n_panels * kPanelOutputs, true};
    for (const SteppedSegment& s : plan.segments) {
        const TokenTile& row = tokens[s.segment.number];
        if (!plan.wide) {
            isa.int_row(weight.panel(first, s.segment), n_panels, weight.panel_bytes(), s.n_steps,
                        row, to);
            continue;
        }
        for (int64_t p = 0; p < n_panels; ++p) {
            isa.int_wide(weight.panel(first + p, s.segment), s.n_steps, row, 4,
                         {sums + p * kPanelOutputs, 0, kPanelOutputs, true});
        }
    }
}

void multiply_row(CpuContext& context, const Plan& plan, const PanelList& panels) {
    Carver carver(context.shared.get(packed_bytes(plan, plan.row_bytes())));
    const PackedTokens tokens = place_tokens(plan, plan.row_bytes(), carver);
    spread_row(plan, 0, tokens.codes);
    describe_tokens(plan, 0, 1, 4, tokens);
    visit_in_parallel(
        context, panels, panel_runs(context, panels),
        [&](int thread, const CpuLinear& weight, const Rows& out, int64_t from, int64_t count) {
            IntPanel* const parts = panel_parts(context, thread, plan, 0).parts;
            fill_parts(plan, weight, from, parts);
            for (int64_t p = from; p < from + count; p += kPanelsAtOnce) {
                const int64_t n_panels = std::min(kPanelsAtOnce, from + count - p);
                alignas(64) float sums[kPanelsAtOnce * kPanelOutputs] = {};
                sum_panels(context.isa, plan, weight, p, n_panels, parts, tokens.segments, sums);
                const int64_t column = p * kPanelOutputs;
                store(sums, weight.bias(p),
                      std::min(n_panels * kPanelOutputs, weight.out_features() - column),
                      plan.accumulate, out.f32() + column);
            }
        });
}

}  // namespace

bool needs_wide_sums(const ActivationFormat& format, int64_t largest_weight, int64_t n_inputs) {
    return largest_integer(format) * largest_weight * n_inputs >
           std::numeric_limits<int32_t>::max();
}

void multiply_grouped(CpuContext& context, const QuantizedRows& in,
                      std::span<const Linear* const> weights, std::span<const Rows> outs,
                      bool accumulate) {
    const PanelList panels(weights, outs);
    const Plan plan = make_plan(context, in, panels, accumulate);
    if (in.rows == 1) {
        multiply_row(context, plan, panels);
        return;
    }
    const int64_t tile_bytes = packed_bytes(plan, tile_codes_bytes(plan));
    const int64_t n_tiles = tiles_at_once(tile_bytes, context.isa.token_tile, in.rows);
    std::byte* tiles = context.shared.get(n_tiles * tile_bytes);
    const int64_t chunk = n_tiles * context.isa.token_tile;
    for (int64_t row = 0; row < in.rows; row += chunk) {
        multiply_chunk(context, plan, panels, row, std::min(chunk, in.rows - row), tiles,
                       tile_bytes);
    }
}

}  // namespace quarot::kernels::cpu

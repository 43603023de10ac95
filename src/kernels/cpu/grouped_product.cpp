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

// Packed activations that stay in L2 while all panels pass.
constexpr int64_t kChunkBytes = int64_t{640} << 10;

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
    int64_t codes_bytes() const { return steps * 4 * kTileSlots; }
    int64_t tile_bytes() const {
        return codes_bytes() +
               static_cast<int64_t>(segments.size()) * static_cast<int64_t>(sizeof(TileFactors));
    }
    TileFactors* factors(std::byte* tile) const {
        return reinterpret_cast<TileFactors*>(tile + codes_bytes());
    }
};

int64_t largest_integer(const ActivationFormat& format) {
    // The zero point of a group may lie this far outside the codes (tensor/affine.h).
    constexpr int64_t kLargestZero = 32'000;
    if (!format.has_offsets()) return symmetric_max(format.bits) + 1;
    return asymmetric_max(format.bits) + (format.group_size == 0 ? 0 : kLargestZero);
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
    const int8_t* codes = plan.in.codes + row * plan.in.stride;
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
    const int8_t* codes = in.codes + row * in.stride;
    return std::accumulate(codes + segment.first, codes + segment.last, 0);
}

void write_factors(const Plan& plan, int64_t first_row, int64_t n_rows, TileFactors* factors) {
    const QuantizedRows& in = plan.in;
    for (const SteppedSegment& s : plan.segments) {
        TileFactors& f = *factors++;
        for (int64_t t = 0; t < n_rows; ++t) {
            const int64_t at = (first_row + t) * in.n_groups() + s.segment.activation_group;
            const int64_t length = s.segment.last - s.segment.first;
            f.scales[t] = in.scales[at];
            f.bases[t] = in.bases == nullptr ? 0.0f : in.bases[at];
            f.offsets[t] = in.offsets == nullptr ? 0 : in.offsets[at];
            f.offset_sums[t] = static_cast<int32_t>(code_sum(in, first_row + t, s.segment) -
                                                    length * f.offsets[t]);
        }
    }
}

TokenTile tokens_of(const Plan& plan, const SteppedSegment& s, const int8_t* codes,
                    const TileFactors& factors, int64_t n_tokens) {
    return {.codes = codes,
            .scales = factors.scales,
            .offsets = plan.in.offsets == nullptr ? nullptr : factors.offsets,
            .offset_sums = factors.offset_sums,
            .n_tokens = n_tokens,
            .bases = plan.in.bases == nullptr ? nullptr : factors.bases,
            .n_inputs = s.segment.last - s.segment.first};
}

// The sums of one row of outputs, all segments added up, with bias and residual.
void store(const float* sums, const float* bias, int64_t count, bool accumulate, float* out) {
    for (int64_t o = 0; o < count; ++o) {
        const float value = bias == nullptr ? sums[o] : sums[o] + bias[o];
        out[o] = accumulate ? out[o] + value : value;
    }
}

void multiply_tile(const IsaKernels& isa, const Plan& plan, const CpuLinear& weight, int64_t index,
                   std::byte* tile, int64_t n_tokens, const Rows& out) {
    alignas(64) float sums[kTileSlots * kPanelOutputs];
    const auto* codes = reinterpret_cast<const int8_t*>(tile);
    for (const SteppedSegment& s : plan.segments) {
        const IntPanel panel = weight.panel(index, s.segment);
        const TokenTile tokens = tokens_of(plan, s, codes + s.tile_step * 4 * kTileSlots,
                                           plan.factors(tile)[s.segment.number], n_tokens);
        const FloatOut to{sums, kPanelOutputs, kPanelOutputs, s.segment.number > 0};
        if (plan.wide) {
            isa.int_wide(panel, s.n_steps, tokens, 4 * kTileSlots, to);
        } else {
            isa.int_panel(panel, s.n_steps, tokens, n_tokens, 0, to);
        }
    }
    const int64_t column = index * kPanelOutputs;
    const int64_t count = std::min(kPanelOutputs, weight.out_features() - column);
    for (int64_t t = 0; t < n_tokens; ++t) {
        store(sums + t * kPanelOutputs, weight.bias(index), count, plan.accumulate,
              out.f32(t) + column);
    }
}

// Some rows at a time: packed into tiles in shared scratch, then all panels over them.
void multiply_chunk(CpuContext& context, const Plan& plan, const PanelList& panels,
                    int64_t first_row, int64_t n_rows, std::byte* tiles) {
    const IsaKernels& isa = context.isa;
    const int64_t n_tiles = ceil_div(n_rows, isa.token_tile);
    context.parallel(n_tiles, [&](int64_t index, int thread) {
        const int64_t row = first_row + index * isa.token_tile;
        const int64_t count = std::min(isa.token_tile, first_row + n_rows - row);
        std::byte* tile = tiles + index * plan.tile_bytes();
        const int8_t* codes = plan.in.codes + row * plan.in.stride;
        int64_t stride = plan.in.stride;
        if (!plan.on_borders) {
            stride = plan.row_bytes();
            auto* spread =
                reinterpret_cast<int8_t*>(context.scratch(thread).get(kTileSlots * stride));
            for (int64_t t = 0; t < count; ++t) spread_row(plan, row + t, spread + t * stride);
            codes = spread;
        }
        isa.pack_tile(codes, stride, count, plan.steps, reinterpret_cast<int8_t*>(tile));
        write_factors(plan, row, count, plan.factors(tile));
    });
    const int64_t n_runs = panel_runs_over_tiles(context, panels, n_tiles);
    visit_in_parallel(context, panels, n_runs,
                      [&](const CpuLinear& weight, const Rows& out, int64_t from, int64_t count) {
                          for (int64_t p = from; p < from + count; ++p) {
                              for (int64_t t = 0; t < n_tiles; ++t) {
                                  const int64_t row = t * isa.token_tile;
                                  const int64_t n = std::min(isa.token_tile, n_rows - row);
                                  multiply_tile(isa, plan, weight, p, tiles + t * plan.tile_bytes(),
                                                n, out.slice(first_row + row, n));
                              }
                          }
                      });
}

// Panels that pass through all segments side by side: enough sums to hide the latency of one.
constexpr int64_t kPanelsAtOnce = 4;

void multiply_panels(const IsaKernels& isa, const Plan& plan, const CpuLinear& weight,
                     int64_t first, int64_t n_panels, const int8_t* codes,
                     const TileFactors* factors, const Rows& out) {
    alignas(64) float sums[kPanelsAtOnce * kPanelOutputs];
    for (const SteppedSegment& s : plan.segments) {
        const TokenTile row =
            tokens_of(plan, s, codes + 4 * s.tile_step, factors[s.segment.number], 1);
        const bool add = s.segment.number > 0;
        if (!plan.wide) {
            isa.int_row(weight.panel(first, s.segment), n_panels, weight.panel_bytes(), s.n_steps,
                        row, {sums, 0, n_panels * kPanelOutputs, add});
            continue;
        }
        for (int64_t p = 0; p < n_panels; ++p) {
            isa.int_wide(weight.panel(first + p, s.segment), s.n_steps, row, 4,
                         {sums + p * kPanelOutputs, 0, kPanelOutputs, add});
        }
    }
    const int64_t column = first * kPanelOutputs;
    const int64_t count = std::min(n_panels * kPanelOutputs, weight.out_features() - column);
    store(sums, weight.bias(first), count, plan.accumulate, out.f32() + column);
}

void multiply_row(CpuContext& context, const Plan& plan, const PanelList& panels) {
    const auto n_segments = static_cast<int64_t>(plan.segments.size());
    const auto place = [&](Carver& carver) {
        return std::pair{carver.take<int8_t>(plan.row_bytes()),
                         carver.take<TileFactors>(n_segments)};
    };
    Carver measure(nullptr);
    place(measure);
    Carver carver(context.shared.get(measure.used()));
    const auto [codes, factors] = place(carver);
    spread_row(plan, 0, codes);
    write_factors(plan, 0, 1, factors);
    visit_in_parallel(context, panels, panel_runs(context, panels),
                      [&, codes = codes, factors = factors](
                          const CpuLinear& weight, const Rows& out, int64_t from, int64_t count) {
                          for (int64_t p = 0; p < count; p += kPanelsAtOnce) {
                              multiply_panels(context.isa, plan, weight, from + p,
                                              std::min(kPanelsAtOnce, count - p), codes, factors,
                                              out);
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
    const int64_t tiles_at_once = std::min(std::max(int64_t{1}, kChunkBytes / plan.tile_bytes()),
                                           ceil_div(in.rows, context.isa.token_tile));
    std::byte* tiles = context.shared.get(tiles_at_once * plan.tile_bytes());
    const int64_t chunk = tiles_at_once * context.isa.token_tile;
    for (int64_t row = 0; row < in.rows; row += chunk) {
        multiply_chunk(context, plan, panels, row, std::min(chunk, in.rows - row), tiles);
    }
}

}  // namespace quarot::kernels::cpu

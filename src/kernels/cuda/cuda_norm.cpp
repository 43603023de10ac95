#include "kernels/cuda/cuda_norm.h"

#include <variant>
#include <vector>

#include "kernels/cuda/cuda_activations.h"
#include "kernels/cuda/cuda_comm.h"

namespace quarot::kernels::cuda {

namespace {

// Codes of a row share, and what goes with them.
std::vector<PeerComm::Range> ranges_of(const QuantizedRows& rows) {
    const int64_t per_group = rows.rows * rows.n_groups() * 4;
    std::vector<PeerComm::Range> ranges = {{rows.codes, rows.rows * rows.stride},
                                           {rows.scales, per_group},
                                           {rows.row_sums, per_group}};
    if (rows.offsets != nullptr) ranges.push_back({rows.offsets, per_group});
    if (rows.bases != nullptr) ranges.push_back({rows.bases, per_group});
    if (rows.multiples != nullptr) {
        const int planes = multiple_planes(rows.format.widest_bits());
        ranges.push_back({rows.multiples, rows.rows * rows.stride * planes});
        ranges.push_back({rows.row_units, rows.rows * static_cast<int64_t>(sizeof(RowUnit))});
    }
    return ranges;
}

void add_norm_rows(const AddNormArgs& args, const Operand& out, SiteNote note, Stream stream) {
    const NormInput in = {.in = view_of(args.partial),
                          .residual = args.residual.f32(),
                          .residual_stride = args.residual.stride,
                          .centred = args.kind == NormKind::Layer,
                          .gain = args.gain,
                          .shift = args.bias,
                          .eps = args.eps};
    if (const auto* quantized = std::get_if<QuantizedRows>(&out.rows)) {
        norm_quantize(in, target_of(*quantized, note), stream);
    } else {
        norm(in, view_of(args.out), stream);
    }
}

// Sums and normalizes this rank's rows, and gives the results to all others.
void add_norm_share(const AddNormArgs& args, const Operand& out, SiteNote note, Stream stream) {
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
        add_norm_rows(own, Operand{part}, note, stream);
        peers.spread(quantized->codes, ranges_of(part), false);
    } else {
        add_norm_rows(own, Operand{own.out}, note, stream);
        const PeerComm::Range rows = {own.out.data,
                                      count * own.out.stride * size_of(own.out.dtype)};
        peers.spread(args.out.data, {&rows, 1}, false);
    }
}

}  // namespace

bool norms_whole_rows(const NormArgs& args) {
    return args.group == 0 || args.group == args.in.cols;
}

NormInput norm_input(const NormArgs& args) {
    return {.in = view_of(args.in),
            .centred = args.kind == NormKind::Layer,
            .gain = args.gain,
            .shift = args.bias,
            .eps = args.eps};
}

void norm(const NormArgs& args, Stream stream) {
    if (norms_whole_rows(args)) {
        norm(norm_input(args), view_of(args.out), stream);
        return;
    }
    norm_groups({.in = view_of(args.in),
                 .out = view_of(args.out),
                 .group = args.group,
                 .centred = args.kind == NormKind::Layer,
                 .gain = args.gain,
                 .shift = args.bias,
                 .eps = args.eps},
                stream);
}

void add_norm_quantize(const AddNormArgs& args, const Operand& out, SiteNote note, Stream stream) {
    if (args.group != nullptr && args.group->shares_rows(args.partial.rows)) {
        return add_norm_share(args, out, note, stream);
    }
    if (args.group != nullptr) args.group->sum(args.partial);
    add_norm_rows(args, out, note, stream);
}

}  // namespace quarot::kernels::cuda

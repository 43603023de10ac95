// Which kernels serve a call, and the memory that they share.
#include <algorithm>

#include "kernels/cuda/attention.h"
#include "kernels/cuda/attention_tile.cuh"
#include "kernels/cuda/status.h"

namespace quarot::kernels::cuda {

namespace {

bool tile_matches(const KvView& kv) {
    bool matches = false;
    with_tile_shape(kv, [&]<typename Shape>(Shape) {
        const auto part_matches = [](const KvPart& part, int at) {
            return part.codes_at == at && part.row_bytes == Shape::kRowBytes &&
                   (!Shape::kCoded || part.scales_at == at + Shape::kScalesAt) &&
                   (!Shape::kCoded || part.by_channel() || part.zeros_at == at + Shape::kZerosAt);
        };
        matches = kv.tile_bytes == Shape::kTileBytes && part_matches(kv.k, 0) &&
                  part_matches(kv.v, Shape::kPartBytes);
    });
    return matches;
}

void check_call(const AttentionCall& call) {
    const KvView& kv = call.kv;
    require(call.n_heads > 0 && call.n_heads % kv.n_kv_heads == 0, "attention: query heads");
    require(call.layer >= 0 && call.layer < kv.n_layers, "attention: layer");
    for (const RowsView& rows : {call.q, call.out}) {
        require(rows.cols == call.n_heads * kv.head_dim && rows.rows == call.batch.n_tokens,
                "attention: shape of q or out");
        require(rows.dtype == DType::F32 || rows.dtype == DType::F16 || rows.dtype == DType::BF16,
                "attention: dtype of q or out");
    }
    require(call.max_context > 0, "attention: largest context");
    if (kv.k.by_channel()) {
        require(call.batch.seats != nullptr, "attention: seats of keys by channel");
        require(call.k.cols == kv.n_kv_heads * kv.head_dim && call.k.rows == call.batch.n_tokens &&
                    call.k.dtype == (kv.newest_bytes == 4 ? DType::F32 : DType::F16),
                "attention: keys of this step");
    }
    // Sizes of grids.
    require(call.batch.n_sequences <= 65535 && kv.n_kv_heads <= 65535, "attention: sequences");
    require(kv.n_kv_heads * kv.tiles_per_page() * kv.tile_bytes <= UINT32_MAX,
            "attention: bytes of a page");
}

int64_t max_chunks(const AttentionCall& call) {
    return (call.max_context + kChunkTokens - 1) / kChunkTokens;
}

// One row a token where there are as many sequences, else one a sequence.
bool is_decode(const AttentionCall& call) {
    return call.batch.n_tokens <= call.batch.n_sequences;
}
int64_t split_rows(const AttentionCall& call) {
    return is_decode(call) ? call.batch.n_tokens : call.batch.n_sequences;
}

Partials place_partials(const AttentionCall& call) {
    Partials partials;
    partials.max_chunks = max_chunks(call);
    partials.values = static_cast<float*>(call.workspace);
    const int64_t n = split_rows(call) * call.n_heads * partials.max_chunks;
    partials.sums = reinterpret_cast<float2*>(partials.values + n * call.kv.head_dim);
    return partials;
}

void attend_on_tensor_cores(const AttentionCall& call, Stream stream) {
    const bool decode = is_decode(call);
    // A single sequence with several tokens has nothing to split.
    if (decode || call.batch.n_sequences > 1) {
        const SplitRows rows = decode ? SplitRows::Tokens : SplitRows::LoneTokens;
        attend_rows(call, place_partials(call), rows, split_rows(call), stream);
    }
    if (!decode) attend_prefill(call, stream);
}

void attend_in_fp32(const AttentionCall& call, Stream stream) {
    const bool decode = is_decode(call);
    const Partials partials = place_partials(call);
    attend_general(call, partials, decode, stream);
    if (!decode) return;
    combine_chunks(call, partials, SplitRows::Tokens, split_rows(call), 1.0f, stream);
}

}  // namespace

AttentionPath attention_path(const AttentionCall& call) {
    if (call.q.dtype == DType::F32) return AttentionPath::General;
    const bool halves = !call.kv.k.by_channel() || call.k.dtype == DType::F16;
    const bool in_place = call.key_bias.basis == nullptr && halves &&
                          call.kv.k.container == call.kv.v.container && tile_matches(call.kv);
    if (in_place) return AttentionPath::TensorCores;
    return call.kv.unpacked_at >= 0 ? AttentionPath::Unpacked : AttentionPath::General;
}

const char* name_of(AttentionPath path) {
    switch (path) {
        case AttentionPath::TensorCores:
            return "tensor cores";
        case AttentionPath::Unpacked:
            return "tensor cores on halves";
        case AttentionPath::General:
            break;
    }
    return "general";
}

void attention(const AttentionCall& call, Stream stream) {
    if (call.batch.n_tokens == 0) return;
    check_call(call);
    switch (attention_path(call)) {
        case AttentionPath::TensorCores:
            return attend_on_tensor_cores(call, stream);
        case AttentionPath::Unpacked:
            return attend_on_tensor_cores(unpack_cache(call, stream), stream);
        case AttentionPath::General:
            return attend_in_fp32(call, stream);
    }
}

}  // namespace quarot::kernels::cuda

#include "kernels/reference/reference_channel_keys.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "tensor/affine.h"
#include "tensor/float_convert.h"

namespace quarot::kernels {

int64_t channel_keys_page_bytes(const KvDescriptor& d) {
    return d.head_dim * (d.page_tokens + d.page_tokens / d.k.block * 2 * size_of(DType::F16));
}

ChannelKeys::ChannelKeys(const KvDescriptor& d, int64_t n_pages) : d_(d), n_pages_(n_pages) {
    const int64_t blocks = d.page_tokens / d.k.block;
    allocate_zeros(codes_, {d.n_layers, n_pages, d.page_tokens, d.n_kv_heads, d.head_dim});
    allocate_zeros(scales_, {d.n_layers, n_pages, blocks, d.n_kv_heads, d.head_dim});
    allocate_zeros(offsets_, {d.n_layers, n_pages, blocks, d.n_kv_heads, d.head_dim});
    allocate_zeros(newest_, {d.n_layers + 1, d.sequences, d.n_kv_heads, d.k.block, d.head_dim});
}

int64_t ChannelKeys::code_index(const KvPlace& p) const {
    const int64_t page = p.layer * n_pages_ + p.page;
    return ((page * d_.page_tokens + p.slot) * d_.n_kv_heads + p.head) * d_.head_dim;
}

int64_t ChannelKeys::scale_index(const KvPlace& p) const {
    const int64_t page = p.layer * n_pages_ + p.page;
    const int64_t block = page * (d_.page_tokens / d_.k.block) + p.slot / d_.k.block;
    return (block * d_.n_kv_heads + p.head) * d_.head_dim;
}

int64_t ChannelKeys::newest_index(int64_t layer, int64_t seat, int64_t head) const {
    return ((layer * d_.sequences + seat) * d_.n_kv_heads + head) * d_.k.block * d_.head_dim;
}

int64_t ChannelKeys::left_block(int64_t seat, int64_t head) const {
    return newest_index(d_.n_layers, seat, head);
}

void ChannelKeys::append(const AppendKvArgs& args, int64_t sequence, int64_t head) {
    const ChannelRun run = channel_run(d_, args.batch, sequence);
    if (run.empty()) return;
    float* newest = newest_.data() + newest_index(args.layer, run.seat, head);
    if (run.leaves_block()) {
        std::copy_n(newest, run.n_found() * d_.head_dim,
                    newest_.data() + left_block(run.seat, head));
    }
    for (int64_t position = run.first; position < run.end; ++position) {
        const int64_t token = run.token_of(position), row = position % run.block;
        const std::span key(args.k.f32(token) + head * d_.head_dim,
                            static_cast<size_t>(d_.head_dim));
        std::copy(key.begin(), key.end(), newest + row * d_.head_dim);
        bool usable = std::ranges::all_of(key, [](float x) { return std::isfinite(x); });
        if (row + 1 == run.block) {
            KvPlace place = place_of(args.kv, args.batch, sequence, position - row);
            place.layer = args.layer;
            place.head = head;
            usable &= quantize_block(newest, place);
        }
        if (!usable) note_row(args.note, token);
    }
}

// keys [block, head_dim]. False: F16 does not hold a scale; the channel holds zeros then.
bool ChannelKeys::quantize_block(const float* keys, const KvPlace& first) {
    uint8_t* codes = codes_.data() + code_index(first);
    const int64_t row_codes = d_.n_kv_heads * d_.head_dim, at = scale_index(first);
    bool usable = true;
    for (int64_t c = 0; c < d_.head_dim; ++c) {
        float lo = keys[c], hi = keys[c], sum = 0.0f;
        for (int64_t row = 0; row < d_.k.block; ++row) {
            const float x = keys[row * d_.head_dim + c];
            lo = std::min(lo, x);
            hi = std::max(hi, x);
            sum += 0.0f * x;  // a NaN for a NaN or Inf
        }
        RealAffine affine = channel_affine(lo, hi, d_.k);
        const bool fits = std::isfinite(affine.scale + affine.lo + sum);
        usable &= fits;
        if (!fits) affine = {};
        scales_[static_cast<size_t>(at + c)] = f32_to_f16(affine.scale);
        offsets_[static_cast<size_t>(at + c)] = f32_to_f16(affine.lo);
        for (int64_t row = 0; row < d_.k.block; ++row) {
            const float x = keys[row * d_.head_dim + c];
            codes[row * row_codes + c] =
                fits ? static_cast<uint8_t>(quantize_real(x, affine, d_.k.bits)) : uint8_t{0};
        }
    }
    return usable;
}

void ChannelKeys::get(const KvPlace& place, std::span<float> values) const {
    const uint8_t* codes = codes_.data() + code_index(place);
    const uint16_t* scales = scales_.data() + scale_index(place);
    const uint16_t* offsets = offsets_.data() + scale_index(place);
    for (size_t c = 0; c < values.size(); ++c) {
        values[c] = f16_to_f32(scales[c]) * static_cast<float>(codes[c]) + f16_to_f32(offsets[c]);
    }
}

const float* ChannelKeys::exact(const ChannelRun& run, const Rows& appended, int64_t layer,
                                int64_t head, int64_t position) const {
    if (position >= run.first) {
        return appended.f32(run.token_of(position)) + head * d_.head_dim;
    }
    QUAROT_CHECK(position / run.block == run.first_block(), "{} {}", position, run.first);
    const int64_t index =
        run.leaves_block() ? left_block(run.seat, head) : newest_index(layer, run.seat, head);
    return newest_.data() + index + position % run.block * d_.head_dim;
}

KvStore::Entry ChannelKeys::entry(const KvPlace& place) const {
    KvStore::Entry entry;
    entry.values.resize(static_cast<size_t>(d_.head_dim));
    get(place, entry.values);
    const uint8_t* codes = codes_.data() + code_index(place);
    entry.codes.assign(codes, codes + d_.head_dim);
    for (int64_t c = 0; c < d_.head_dim; ++c) {
        const auto at = static_cast<size_t>(scale_index(place) + c);
        entry.scales.push_back(f16_to_f32(scales_[at]));
        entry.offsets.push_back(f16_to_f32(offsets_[at]));
    }
    return entry;
}

int64_t ChannelKeys::bytes() const {
    return static_cast<int64_t>(codes_.size() +
                                (scales_.size() + offsets_.size()) * sizeof(uint16_t) +
                                newest_.size() * sizeof(float));
}

}  // namespace quarot::kernels

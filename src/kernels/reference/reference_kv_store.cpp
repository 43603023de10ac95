#include "kernels/reference/reference_kv_store.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/check.h"
#include "core/checked_math.h"
#include "core/error.h"
#include "kernels/reference/reference_channel_keys.h"
#include "tensor/affine.h"

namespace quarot::kernels {

namespace {

void check_supported(const KvDescriptor& d, const KvFormat& format) {
    if (format.bits != 16 && (format.bits < 2 || format.bits > 8)) {
        fail(ErrorCode::Unsupported, "KV cache bits are {}, expected 2 to 8 or 16", format.bits);
    }
    if (format.by_channel() && (format.group_size != 0 || format.exempt_positions != 0)) {
        fail(ErrorCode::Unsupported,
             "K by channel has groups of {} in a head and {} unquantized first positions, "
             "expected neither",
             format.group_size, format.exempt_positions);
    }
    if (format.group_size < 0 || (format.group_size > 0 && d.head_dim % format.group_size != 0)) {
        fail(ErrorCode::Unsupported,
             "KV cache group size is {}, expected a divisor of the head size {} or 0",
             format.group_size, d.head_dim);
    }
    if (format.scales != DType::F32 && format.scales != DType::F16) {
        fail(ErrorCode::Unsupported, "KV cache scales are {}, expected F32 or F16",
             name_of(format.scales));
    }
    if (!(format.clip > 0.0f) || !std::isfinite(format.clip)) {
        fail(ErrorCode::Unsupported, "KV cache clip ratio is {}, expected a positive number",
             format.clip);
    }
}

const KvDescriptor& checked(const KvDescriptor& d) {
    check_channels(d);
    check_supported(d, d.k);
    check_supported(d, d.v);
    return d;
}

// fp32 vectors that a page has room for.
int64_t float_slots(const KvDescriptor& d, const KvFormat& format) {
    if (format.bits == 16) return d.page_tokens;
    return std::clamp<int64_t>(format.exempt_positions, 0, d.page_tokens);
}

// Of the K or V of one head in one page.
int64_t block_bytes(const KvDescriptor& d, const KvFormat& format) {
    const int64_t values = float_slots(d, format) * d.head_dim * size_of(DType::F32);
    if (format.bits == 16) return values;
    const int64_t n_groups = format.group_size == 0 ? 1 : d.head_dim / format.group_size;
    return values + d.page_tokens * (d.head_dim + n_groups * (4 + 2) + 1);
}

}  // namespace

KvPlace place_of(const KvStore& kv, const BatchView& batch, int64_t sequence, int64_t position) {
    const int64_t page_tokens = kv.descriptor().page_tokens;
    const int64_t index = position / page_tokens;
    const int64_t first = batch.first_page[sequence], end = batch.first_page[sequence + 1];
    QUAROT_CHECK(position >= 0 && index < end - first, "position {}", position);
    const int64_t page = batch.pages[first + index];
    QUAROT_CHECK(page >= 0 && page < kv.n_pages(), "page {}", page);
    return {.page = page, .slot = position % page_tokens};
}

KvVectors::KvVectors(const KvDescriptor& d, const KvFormat& format, int64_t n_pages)
    : format_(format),
      n_pages_(n_pages),
      page_tokens_(d.page_tokens),
      n_heads_(d.n_kv_heads),
      head_dim_(d.head_dim),
      float_slots_(float_slots(d, format)) {
    allocate_zeros(values_, {d.n_layers, n_pages, float_slots_, n_heads_, head_dim_});
    if (format.bits == 16) return;
    allocate_zeros(codes_, {d.n_layers, n_pages, page_tokens_, n_heads_, head_dim_});
    allocate_zeros(scales_, {d.n_layers, n_pages, page_tokens_, n_heads_, n_groups()});
    allocate_zeros(zeros_, {d.n_layers, n_pages, page_tokens_, n_heads_, n_groups()});
    allocate_zeros(is_float_, {d.n_layers, n_pages, page_tokens_, n_heads_});
}

int64_t KvVectors::vector_index(const KvPlace& p) const {
    return ((p.layer * n_pages_ + p.page) * page_tokens_ + p.slot) * n_heads_ + p.head;
}

int64_t KvVectors::float_index(const KvPlace& p) const {
    return ((p.layer * n_pages_ + p.page) * float_slots_ + p.slot) * n_heads_ + p.head;
}

bool KvVectors::put(const KvPlace& place, int64_t position, std::span<const float> values) {
    const bool as_float = format_.bits == 16 || position < format_.exempt_positions;
    const auto vector = static_cast<size_t>(vector_index(place));
    if (format_.bits != 16) is_float_[vector] = as_float ? 1 : 0;
    if (as_float) {
        std::copy(values.begin(), values.end(), values_.begin() + float_index(place) * head_dim_);
        return true;
    }
    const auto size = static_cast<size_t>(group_size());
    bool finite = true;
    for (int64_t g = 0; g < n_groups(); ++g) {
        const auto first = static_cast<size_t>(g) * size;
        uint8_t* codes = codes_.data() + vector * static_cast<size_t>(head_dim_) + first;
        finite &= quantize_group(values.subspan(first, size),
                                 static_cast<int64_t>(vector) * n_groups() + g, codes);
    }
    return finite;
}

bool KvVectors::quantize_group(std::span<const float> values, int64_t group, uint8_t* codes) {
    const auto at = static_cast<size_t>(group);
    bool finite =
        std::all_of(values.begin(), values.end(), [](float x) { return std::isfinite(x); });
    Affine affine;
    if (finite) {
        const auto [min, max] = std::minmax_element(values.begin(), values.end());
        float lo = *min, hi = *max;
        if (format_.range_includes_zero) {
            lo = std::min(lo, 0.0f);
            hi = std::max(hi, 0.0f);
        }
        affine =
            asymmetric_affine(lo * format_.clip, hi * format_.clip, format_.bits, format_.scales);
        finite = std::isfinite(affine.scale);
    }
    if (!finite) affine = {};
    scales_[at] = affine.scale;
    zeros_[at] = static_cast<int16_t>(affine.zero);
    for (size_t i = 0; i < values.size(); ++i) {
        codes[i] = finite
                       ? static_cast<uint8_t>(quantize_asymmetric(values[i], affine, format_.bits))
                       : uint8_t{0};
    }
    return finite;
}

void KvVectors::get(const KvPlace& place, std::span<float> values) const {
    const auto vector = static_cast<size_t>(vector_index(place));
    if (format_.bits == 16 || is_float_[vector] != 0) {
        std::copy_n(values_.begin() + float_index(place) * head_dim_, head_dim_, values.begin());
        return;
    }
    const auto dim = static_cast<size_t>(head_dim_), size = static_cast<size_t>(group_size());
    const auto groups = static_cast<size_t>(n_groups());
    for (size_t i = 0; i < dim; ++i) {
        const size_t group = vector * groups + i / size;
        const int difference = static_cast<int>(codes_[vector * dim + i]) - zeros_[group];
        values[i] = scales_[group] * static_cast<float>(difference);
    }
}

KvStore::Entry KvVectors::entry(const KvPlace& place) const {
    KvStore::Entry entry;
    entry.values.resize(static_cast<size_t>(head_dim_));
    get(place, entry.values);
    const int64_t vector = vector_index(place);
    if (format_.bits == 16 || is_float_[static_cast<size_t>(vector)] != 0) return entry;
    const auto codes = codes_.begin() + vector * head_dim_;
    const auto scales = scales_.begin() + vector * n_groups();
    const auto zeros = zeros_.begin() + vector * n_groups();
    entry.codes.assign(codes, codes + head_dim_);
    entry.scales.assign(scales, scales + n_groups());
    entry.zeros.assign(zeros, zeros + n_groups());
    return entry;
}

int64_t KvVectors::bytes() const {
    return static_cast<int64_t>(codes_.size() + scales_.size() * sizeof(float) +
                                zeros_.size() * sizeof(int16_t) + values_.size() * sizeof(float) +
                                is_float_.size());
}

std::optional<int64_t> reference_kv_bytes(const KvDescriptor& d, int64_t n_pages) {
    checked(d);
    const int64_t k = d.k.by_channel() ? channel_keys_page_bytes(d) : block_bytes(d, d.k);
    const auto pages =
        checked_product(std::array{d.n_layers, n_pages, d.n_kv_heads, k + block_bytes(d, d.v)});
    const auto newest = checked_mul(d.sequences, newest_block_bytes(d));
    return pages && newest ? checked_add(*pages, *newest) : std::nullopt;
}

ReferenceKvStore::ReferenceKvStore(const KvDescriptor& d, int64_t n_pages)
    : KvStore(checked(d), n_pages), v_(d, d.v, n_pages) {
    if (d.k.by_channel()) {
        channel_keys_ = std::make_unique<ChannelKeys>(d, n_pages);
    } else {
        k_.emplace(d, d.k, n_pages);
    }
}

ReferenceKvStore::~ReferenceKvStore() = default;

int64_t ReferenceKvStore::bytes() const {
    return (channel_keys_ ? channel_keys_->bytes() : k_->bytes()) + v_.bytes();
}

KvStore::Entry ReferenceKvStore::read(KvKind kind, int64_t layer, int64_t page, int64_t slot,
                                      int64_t head) const {
    const KvDescriptor& d = descriptor();
    QUAROT_CHECK(layer >= 0 && layer < d.n_layers && page >= 0 && page < n_pages() && slot >= 0 &&
                     slot < d.page_tokens && head >= 0 && head < d.n_kv_heads,
                 "layer {} page {} slot {} head {}", layer, page, slot, head);
    const KvPlace place = {layer, page, slot, head};
    if (kind == KvKind::Key && channel_keys_) return channel_keys_->entry(place);
    return vectors(kind).entry(place);
}

}  // namespace quarot::kernels

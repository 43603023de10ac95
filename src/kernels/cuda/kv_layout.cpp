#include "kernels/cuda/kv_layout.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "core/check.h"
#include "core/checked_math.h"
#include "core/error.h"
#include "kernels/channel_keys.h"
#include "tensor/float_convert.h"

namespace quarot::kernels::cuda {

namespace {

constexpr int64_t kPieceBytes = 16;
constexpr int64_t kTileAlignment = 128;

void check_supported(const KvFormat& format, int64_t head_dim, const char* name) {
    if (format.bits != 16 && (format.bits < 2 || format.bits > 8)) {
        fail(ErrorCode::Unsupported, "{} has {} bits, expected 2 to 8 or 16", name, format.bits);
    }
    if (!(format.clip > 0.0f) || !std::isfinite(format.clip)) {
        fail(ErrorCode::Unsupported, "{} has clip ratio {}, expected a positive number", name,
             format.clip);
    }
    if (format.bits == 16) return;
    if (format.group_size != 0 && format.group_size != head_dim) {
        fail(ErrorCode::Unsupported,
             "{} groups of {} inside a head of {} are not available on the cuda backend, expected "
             "one group a head; use the reference backend",
             name, format.group_size, head_dim);
    }
    if (format.exempt_positions != 0) {
        fail(ErrorCode::Unsupported,
             "{} with {} unquantized first positions is not available on the cuda backend, "
             "expected 0; use the reference backend",
             name, format.exempt_positions);
    }
    if (format.scales != DType::F32 && format.scales != DType::F16) {
        fail(ErrorCode::Unsupported, "{} has scales of {}, expected F32 or F16", name,
             name_of(format.scales));
    }
}

// Of a page size that is supported.
void check_blocks(const KvDescriptor& d) {
    check_channels(d);
    const int64_t tile = std::min<int64_t>(kTileTokens, d.page_tokens);
    if (d.k.by_channel() && tile % d.k.block != 0) {
        fail(ErrorCode::Unsupported,
             "K by channel has blocks of {} positions, on the cuda backend expected a divisor of "
             "the {} of a tile",
             d.k.block, tile);
    }
}

void check_shape(const KvDescriptor& d) {
    check_supported(d.k, d.head_dim, "K");
    check_supported(d.v, d.head_dim, "V");
    if (d.head_dim < 1 || d.head_dim > kMaxHeadDim) {
        fail(ErrorCode::Unsupported,
             "head size {} is not available on the cuda backend, at most {}", d.head_dim,
             kMaxHeadDim);
    }
    if (d.page_tokens < 1 || (d.page_tokens > kTileTokens && d.page_tokens % kTileTokens != 0) ||
        d.page_tokens > (1 << 20)) {
        fail(ErrorCode::Unsupported,
             "pages of {} positions are not available on the cuda backend, expected fewer than {} "
             "or a multiple of it",
             d.page_tokens, kTileTokens);
    }
    check_blocks(d);
}

KvContainer container_of(int bits, DType values) {
    if (bits == 16) return values == DType::F32 ? KvContainer::Float : KvContainer::Half;
    return bits <= 4 ? KvContainer::Nibble : KvContainer::Byte;
}

// Puts the part behind the bytes in use, and moves their end.
KvPart place_part(const KvFormat& format, DType values, const KvDescriptor& d, int tile_tokens,
                  int64_t& end) {
    KvPart part;
    part.container = container_of(format.bits, values);
    part.bits = format.bits;
    part.clip = format.clip;
    part.range_includes_zero = format.range_includes_zero;
    part.half_scales = format.scales == DType::F16;
    const auto head_dim = static_cast<int>(d.head_dim);
    const int planes = planes_of(part.container);
    part.units =
        part.container == KvContainer::Float ? 2 * head_dim : (head_dim + planes - 1) / planes;
    part.row_bytes = 2 * part.units;
    const auto place = [&](int64_t bytes) {
        const auto at = static_cast<int>(end);
        end = round_up(end + bytes, kPieceBytes);
        return at;
    };
    part.codes_at = place(int64_t{tile_tokens} * part.row_bytes);
    if (!is_coded(part.container)) return part;
    if (format.by_channel()) {
        part.block = static_cast<int>(format.block);
        part.scales_at =
            place(int64_t{tile_tokens / part.block} * channel_block_bytes(part.units, planes));
        return part;
    }
    part.scales_at = place(int64_t{tile_tokens} * 4);
    part.zeros_at = place(int64_t{tile_tokens} * 2);
    return part;
}

template <typename T>
T read_at(std::span<const std::byte> bytes, int64_t at) {
    T value;
    QUAROT_CHECK(at >= 0 && at + static_cast<int64_t>(sizeof(T)) <= std::ssize(bytes));
    std::memcpy(&value, bytes.data() + at, sizeof(T));
    return value;
}

int64_t page_bytes(const KvView& view) {
    const std::array<int64_t, 5> shape{view.n_layers, view.n_pages, view.n_kv_heads,
                                       view.tiles_per_page(), view.tile_bytes};
    const auto bytes = checked_product(shape);
    if (!bytes) {
        fail(ErrorCode::OutOfMemory, "a KV cache of {} pages is too large", view.n_pages);
    }
    return *bytes;
}

// Whether K and V have to become halves before tensor cores read them: keys get their bias, or the
// two are stored unlike.
bool wants_unpacked(const KvDescriptor& d, const KvView& view, DType values) {
    const bool has_shape =
        (view.head_dim == 64 || view.head_dim == 128) && view.tile_tokens == kTileTokens;
    const bool read_in_place = !d.k_bias_apart && view.k.container == view.v.container;
    return values == DType::F16 && has_shape && !view.k.by_channel() && !read_in_place;
}

float read_half(std::span<const std::byte> tile, int64_t at) {
    return f16_to_f32(read_at<uint16_t>(tile, at));
}

int read_code(const KvPart& part, std::span<const std::byte> tile, KvCodePlace place) {
    const int byte = read_at<uint8_t>(tile, place.byte);
    return part.container == KvContainer::Nibble ? byte >> place.shift & 15 : byte;
}

KvStore::Entry read_channels(const KvView& view, std::span<const std::byte> tile, int slot) {
    KvStore::Entry entry;
    for (int dim = 0; dim < view.head_dim; ++dim) {
        const int at = channel_place(view.k, slot, dim);
        entry.scales.push_back(read_half(tile, at));
        entry.offsets.push_back(read_half(tile, at + 4));
        entry.codes.push_back(read_code(view.k, tile, code_place(view.k, slot, dim)));
        entry.values.push_back(entry.scales.back() * static_cast<float>(entry.codes.back()) +
                               entry.offsets.back());
    }
    return entry;
}

float read_value(const KvPart& part, std::span<const std::byte> tile, KvCodePlace place) {
    if (part.container == KvContainer::Float) return read_at<float>(tile, place.byte);
    return read_half(tile, place.byte);
}

}  // namespace

KvView make_kv_view(const KvDescriptor& d, int64_t n_pages, DType values) {
    QUAROT_CHECK(values == DType::F16 || values == DType::F32);
    check_shape(d);
    KvView view;
    view.n_layers = d.n_layers;
    view.n_pages = n_pages;
    view.n_kv_heads = static_cast<int>(d.n_kv_heads);
    view.head_dim = static_cast<int>(d.head_dim);
    view.page_tokens = static_cast<int>(d.page_tokens);
    view.tile_tokens = std::min(kTileTokens, view.page_tokens);
    view.k = place_part(d.k, values, d, view.tile_tokens, view.tile_bytes);
    view.v = place_part(d.v, values, d, view.tile_tokens, view.tile_bytes);
    view.tile_bytes = round_up(view.tile_bytes, kTileAlignment);
    view.newest_at = page_bytes(view);
    view.newest_bytes = static_cast<int>(size_of(values));
    view.seats = d.k.by_channel() ? d.sequences : 0;
    if (wants_unpacked(d, view, values)) view.unpacked_at = view.newest_at;
    kv_bytes(view);
    return view;
}

int64_t kv_bytes(const KvView& view) {
    const std::array<int64_t, 6> shape{view.n_layers + 1, view.seats,    view.n_kv_heads,
                                       view.k.block,      view.head_dim, view.newest_bytes};
    const auto newest = checked_product(shape);
    const int64_t unpacked = view.unpacked_at < 0 ? 0 : page_bytes(unpacked_view(view));
    const auto behind = newest ? checked_add(*newest, unpacked) : std::nullopt;
    const auto bytes = behind ? checked_add(page_bytes(view), *behind) : std::nullopt;
    if (!bytes) {
        fail(ErrorCode::OutOfMemory, "a KV cache of {} sequences is too large", view.seats);
    }
    return *bytes;
}

KvStore::Entry read_entry(const KvView& view, KvKind kind, std::span<const std::byte> tile,
                          int slot) {
    const KvPart& part = kind == KvKind::Key ? view.k : view.v;
    QUAROT_CHECK(slot >= 0 && slot < view.tile_tokens, "slot {}", slot);
    if (part.by_channel()) return read_channels(view, tile, slot);
    KvStore::Entry entry;
    float scale = 1.0f;
    int zero = 0;
    if (is_coded(part.container)) {
        scale = read_at<float>(tile, part.scales_at + slot * 4);
        zero = read_at<int16_t>(tile, part.zeros_at + slot * 2);
        entry.scales.push_back(scale);
        entry.zeros.push_back(zero);
    }
    for (int dim = 0; dim < view.head_dim; ++dim) {
        const KvCodePlace place = code_place(part, slot, dim);
        if (!is_coded(part.container)) {
            entry.values.push_back(read_value(part, tile, place));
            continue;
        }
        const int code = read_code(part, tile, place);
        entry.codes.push_back(code);
        entry.values.push_back(scale * static_cast<float>(code - zero));
    }
    return entry;
}

}  // namespace quarot::kernels::cuda

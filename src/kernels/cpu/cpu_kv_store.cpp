#include "kernels/cpu/cpu_kv_store.h"

#include <cmath>
#include <cstring>

#include "core/check.h"
#include "core/error.h"
#include "kernels/cpu/row_quantizer.h"
#include "tensor/float_convert.h"

namespace quarot::kernels::cpu {

namespace {

constexpr int64_t kVector = 16;  // slots

void check_supported(const KvFormat& format, int64_t head_dim, const char* name) {
    if (format.bits != 16 && (format.bits < 2 || format.bits > 8)) {
        fail(ErrorCode::Unsupported, "{} has {} bits, expected 2 to 8 or 16", name, format.bits);
    }
    if (format.bits == 16) return;
    if (format.group_size != 0 && format.group_size != head_dim) {
        fail(ErrorCode::Unsupported,
             "{} groups of {} inside a head of {} are not available on the cpu backend, expected "
             "one group a head; use the reference backend",
             name, format.group_size, head_dim);
    }
    if (format.exempt_positions != 0) {
        fail(ErrorCode::Unsupported,
             "{} with {} unquantized first positions is not available on the cpu backend, expected "
             "0; use the reference backend",
             name, format.exempt_positions);
    }
    if (format.scales != DType::F32 && format.scales != DType::F16) {
        fail(ErrorCode::Unsupported, "{} has scales of {}, expected F32 or F16", name,
             name_of(format.scales));
    }
}

void check_vectors(const KvDescriptor& d) {
    if (!d.k.by_channel() || d.k.block % kVector == 0) return;
    fail(ErrorCode::Unsupported,
         "K by channel in blocks of {} positions is not available on the cpu backend, expected a "
         "multiple of {}; use the reference backend",
         d.k.block, kVector);
}

const KvDescriptor& checked(const KvDescriptor& d) {
    check_channels(d);
    check_vectors(d);
    check_supported(d.k, d.head_dim, "K");
    check_supported(d.v, d.head_dim, "V");
    return d;
}

// Byte of V's nibbles that holds dimension d: of every 32 dims, i is low and i + 16 high.
int64_t value_nibble_byte(int64_t d) {
    return d / 32 * 16 + d % 16;
}
int value_nibble_shift(int64_t d) {
    return d % 32 < 16 ? 0 : 4;
}

}  // namespace

KvLayout::KvLayout(KvKind which, const KvFormat& format, int64_t width, int64_t page_tokens)
    : kind(which),
      bits(format.bits),
      head_dim(width),
      block(which == KvKind::Key && format.by_channel() ? format.block : 0),
      slots(round_up(page_tokens, int64_t{16})),
      dims(round_up(width, int64_t{format.bits <= 4 ? 32 : 16})),
      half_scales(block == 0 && format.scales == DType::F16) {
    const int64_t columns = kind == KvKind::Value ? dims : round_up(width, int64_t{2});
    const int64_t codes = slots * columns;
    const int64_t code_bytes = bits == 16 ? codes * 4 : bits <= 4 ? codes / 2 : codes;
    scales_at = round_up(code_bytes, int64_t{64});
    const bool by_channel = block > 0;
    const int64_t halves = by_channel ? page_tokens / block * head_dim : 0;
    const int64_t scale_bytes = by_channel ? halves * 2 : slots * (half_scales ? 2 : 4);
    zeros_at = scales_at + round_up(scale_bytes, int64_t{64});
    bytes = round_up(zeros_at + (by_channel ? halves : slots) * 2, int64_t{64});
}

std::optional<int64_t> cpu_kv_bytes(const KvDescriptor& descriptor, int64_t n_pages) {
    const KvDescriptor& d = checked(descriptor);
    const int64_t block = KvLayout(KvKind::Key, d.k, d.head_dim, d.page_tokens).bytes +
                          KvLayout(KvKind::Value, d.v, d.head_dim, d.page_tokens).bytes;
    const auto pages = checked_product(std::array{d.n_layers, n_pages, d.n_kv_heads, block});
    const auto newest = checked_mul(d.sequences, newest_block_bytes(d));
    return pages && newest ? checked_add(*pages, *newest) : std::nullopt;
}

namespace {

int64_t store_bytes(const KvDescriptor& d, int64_t n_pages) {
    const auto bytes = cpu_kv_bytes(d, n_pages);
    if (!bytes) fail(ErrorCode::OutOfMemory, "a KV cache of {} pages is too large", n_pages);
    return *bytes;
}

}  // namespace

CpuKvStore::CpuKvStore(const KvDescriptor& d, int64_t n_pages)
    : KvStore(checked(d), n_pages),
      k_(KvKind::Key, d.k, d.head_dim, d.page_tokens),
      v_(KvKind::Value, d.v, d.head_dim, d.page_tokens),
      memory_(store_bytes(d, n_pages), PageAdvice::Plain) {}

std::byte* CpuKvStore::at(KvKind kind, const KvPlace& p) const {
    const KvDescriptor& d = descriptor();
    QUAROT_CHECK(p.layer >= 0 && p.layer < d.n_layers && p.page >= 0 && p.page < n_pages() &&
                     p.head >= 0 && p.head < d.n_kv_heads,
                 "layer {} page {} head {}", p.layer, p.page, p.head);
    const int64_t index = (p.layer * n_pages() + p.page) * d.n_kv_heads + p.head;
    return memory_.data() + index * (k_.bytes + v_.bytes) + (kind == KvKind::Key ? 0 : k_.bytes);
}

KvBlock CpuKvStore::block(KvKind kind, const KvPlace& place) const {
    const KvLayout& l = layout(kind);
    const std::byte* base = at(kind, place);
    const std::byte* scales = base + l.scales_at;
    KvBlock block{base,
                  reinterpret_cast<const float*>(scales),
                  reinterpret_cast<const int16_t*>(base + l.zeros_at),
                  l.head_dim,
                  l.slots,
                  l.bits,
                  l.slots};
    if (l.half_scales) {
        block.scales = nullptr;
        block.half_scales = reinterpret_cast<const uint16_t*>(scales);
    }
    return block;
}

KvBlock CpuKvStore::part(KvKind kind, const KvPlace& place, int64_t first_slot, int64_t n) const {
    KvBlock part = block(kind, place);
    const KvLayout& l = layout(kind);
    if (first_slot == 0 && n == l.slots && l.block == 0) return part;
    const int64_t codes = kind == KvKind::Key ? first_slot : first_slot * l.dims;
    const int64_t bytes = l.bits == 16                           ? codes * 4
                          : kind == KvKind::Value && l.bits <= 4 ? codes / 2
                                                                 : codes;
    part.codes = static_cast<const std::byte*>(part.codes) + bytes;
    part.slots = n;
    if (l.block == 0) {
        if (l.half_scales) {
            part.half_scales += first_slot;
        } else {
            part.scales += first_slot;
        }
        part.zeros += first_slot;
        return part;
    }
    const std::byte* base = at(kind, place);
    const int64_t channels = first_slot / l.block * l.head_dim;
    part.scales = nullptr;
    part.zeros = nullptr;
    part.channel_scales = reinterpret_cast<const uint16_t*>(base + l.scales_at) + channels;
    part.channel_offsets = reinterpret_cast<const uint16_t*>(base + l.zeros_at) + channels;
    return part;
}

float* CpuKvStore::newest_keys(int64_t layer, int64_t seat, int64_t head) const {
    const KvDescriptor& d = descriptor();
    const int64_t pages = d.n_layers * n_pages() * d.n_kv_heads * (k_.bytes + v_.bytes);
    const int64_t index = (layer * d.sequences + seat) * d.n_kv_heads + head;
    return reinterpret_cast<float*>(memory_.data() + pages) + index * d.k.block * d.head_dim;
}

void CpuKvStore::write_codes(KvKind kind, const KvPlace& place, int64_t slot, const uint8_t* codes,
                             Affine affine) {
    std::byte* base = at(kind, place);
    auto* bytes = reinterpret_cast<uint8_t*>(base);
    const KvLayout& l = layout(kind);
    if (l.half_scales) {
        reinterpret_cast<uint16_t*>(base + l.scales_at)[slot] = f32_to_f16(affine.scale);
    } else {
        reinterpret_cast<float*>(base + l.scales_at)[slot] = affine.scale;
    }
    reinterpret_cast<int16_t*>(base + l.zeros_at)[slot] = static_cast<int16_t>(affine.zero);
    if (kind == KvKind::Key && l.bits > 4) {
        for (int64_t d = 0; d < l.head_dim; ++d) bytes[d * l.slots + slot] = codes[d];
    } else if (kind == KvKind::Key) {
        for (int64_t d = 0; d < l.head_dim; d += 2) {
            const int high = d + 1 < l.head_dim ? codes[d + 1] << 4 : 0;
            bytes[d / 2 * l.slots + slot] = static_cast<uint8_t>(codes[d] | high);
        }
    } else if (l.bits > 4) {
        std::memcpy(bytes + slot * l.dims, codes, static_cast<size_t>(l.head_dim));
    } else {
        uint8_t* row = bytes + slot * l.dims / 2;
        std::memset(row, 0, static_cast<size_t>(l.dims / 2));
        for (int64_t d = 0; d < l.head_dim; ++d) {
            row[value_nibble_byte(d)] |= static_cast<uint8_t>(codes[d] << value_nibble_shift(d));
        }
    }
}

bool CpuKvStore::write_channels(const IsaKernels& isa, const KvPlace& place, int64_t first_slot,
                                const float* keys, Scratch& scratch) {
    const KvFormat& format = descriptor().k;
    const KvLayout& l = k_;
    std::byte* base = at(KvKind::Key, place);
    auto* bytes = reinterpret_cast<uint8_t*>(base) + first_slot;
    const int64_t channels = first_slot / l.block * l.head_dim;
    auto* scales = reinterpret_cast<uint16_t*>(base + l.scales_at) + channels;
    auto* offsets = reinterpret_cast<uint16_t*>(base + l.zeros_at) + channels;
    auto* codes = reinterpret_cast<uint8_t*>(scratch.get(round_up(l.block, int64_t{64})));
    bool usable = true;
    for (int64_t c = 0; c < l.head_dim; ++c, keys += l.block) {
        const RowRange range = isa.range_of(keys, l.block);
        RealAffine affine = channel_affine(range.lo, range.hi, format);
        const bool fits = range.finite && std::isfinite(affine.scale + affine.lo);
        usable &= fits;
        if (!fits) affine = {};
        scales[c] = f32_to_f16(affine.scale);
        offsets[c] = f32_to_f16(affine.lo);
        if (fits) {
            const auto last = static_cast<float>(asymmetric_max(format.bits));
            isa.quantize_row(keys, l.block, {affine.scale, 0.0f, 0.0f, last, 0.0f, affine.lo},
                             codes);
        } else {
            std::memset(codes, 0, static_cast<size_t>(l.block));
        }
        if (l.bits > 4) {
            std::memcpy(bytes + c * l.slots, codes, static_cast<size_t>(l.block));
            continue;
        }
        uint8_t* pair = bytes + c / 2 * l.slots;
        for (int64_t i = 0; i < l.block; ++i) {
            pair[i] = static_cast<uint8_t>(c % 2 == 0 ? codes[i] : pair[i] | codes[i] << 4);
        }
    }
    return usable;
}

void CpuKvStore::write_values(KvKind kind, const KvPlace& place, int64_t slot,
                              const float* values) {
    auto* floats = reinterpret_cast<float*>(at(kind, place));
    const KvLayout& l = layout(kind);
    if (kind == KvKind::Value) {
        std::memcpy(floats + slot * l.dims, values, static_cast<size_t>(l.head_dim) * 4);
        return;
    }
    for (int64_t d = 0; d < l.head_dim; ++d) floats[d * l.slots + slot] = values[d];
}

namespace {

float scale_of(const KvBlock& block, int64_t slot) {
    return block.scales == nullptr ? f16_to_f32(block.half_scales[slot]) : block.scales[slot];
}

}  // namespace

KvStore::Entry CpuKvStore::read(KvKind kind, int64_t layer, int64_t page, int64_t slot,
                                int64_t head) const {
    const KvBlock block = this->block(kind, {layer, page, head});
    const KvLayout& l = layout(kind);
    const bool key = kind == KvKind::Key;
    Entry entry;
    for (int64_t d = 0; d < l.head_dim; ++d) {
        if (l.bits == 16) {
            const auto* values = static_cast<const float*>(block.codes);
            entry.values.push_back(key ? values[d * l.slots + slot] : values[slot * l.dims + d]);
            continue;
        }
        const auto* bytes = static_cast<const uint8_t*>(block.codes);
        if (l.bits > 4) {
            entry.codes.push_back(key ? bytes[d * l.slots + slot] : bytes[slot * l.dims + d]);
        } else if (key) {
            entry.codes.push_back(bytes[d / 2 * l.slots + slot] >> (d % 2 * 4) & 15);
        } else {
            const int byte = bytes[slot * l.dims / 2 + value_nibble_byte(d)];
            entry.codes.push_back(byte >> value_nibble_shift(d) & 15);
        }
        if (key && l.block > 0) {
            const KvBlock of_slot =
                part(kind, {layer, page, head}, slot / l.block * l.block, l.block);
            const float scale = f16_to_f32(of_slot.channel_scales[d]);
            const float offset = f16_to_f32(of_slot.channel_offsets[d]);
            entry.scales.push_back(scale);
            entry.offsets.push_back(offset);
            entry.values.push_back(scale * static_cast<float>(entry.codes.back()) + offset);
            continue;
        }
        const int difference = entry.codes.back() - block.zeros[slot];
        entry.values.push_back(scale_of(block, slot) * static_cast<float>(difference));
    }
    if (l.bits != 16 && l.block == 0) {
        entry.scales.push_back(scale_of(block, slot));
        entry.zeros.push_back(block.zeros[slot]);
    }
    return entry;
}

bool append_token(CpuKvStore& store, const IsaKernels& isa, const AppendKvArgs& args, int64_t token,
                  Scratch& scratch) {
    const KvDescriptor& d = store.descriptor();
    const BatchView& batch = args.batch;
    const int64_t position = batch.positions[token];
    const int64_t entry = position / d.page_tokens;
    const int32_t* pages = batch.first_page + batch.sequence_of_token[token];
    QUAROT_CHECK(position >= 0 && entry < pages[1] - pages[0], "position {}", position);
    const int64_t page = batch.pages[pages[0] + entry];
    const int64_t slot = position % d.page_tokens;
    auto* codes = reinterpret_cast<uint8_t*>(scratch.get(round_up(d.head_dim, int64_t{64})));
    bool finite = true;
    for (const KvKind kind : {KvKind::Key, KvKind::Value}) {
        const Rows& rows = kind == KvKind::Key ? args.k : args.v;
        const KvFormat& format = kind == KvKind::Key ? d.k : d.v;
        for (int64_t head = 0; head < d.n_kv_heads; ++head) {
            const float* x = rows.f32(token) + head * d.head_dim;
            const KvPlace place{args.layer, page, head};
            if (kind == KvKind::Key && format.by_channel()) {
                finite &= isa.range_of(x, d.head_dim).finite;
                continue;
            }
            if (format.bits == 16) {
                store.write_values(kind, place, slot, x);
                continue;
            }
            Affine affine;
            finite &= quantize_kv_vector(isa, x, d.head_dim, format, codes, affine);
            store.write_codes(kind, place, slot, codes, affine);
        }
    }
    return finite;
}

void append_channel_keys(CpuKvStore& store, const IsaKernels& isa, const AppendKvArgs& args,
                         int64_t sequence, int64_t head, Scratch& scratch) {
    const KvDescriptor& d = store.descriptor();
    const ChannelRun run = channel_run(d, args.batch, sequence);
    if (run.empty()) return;
    float* newest = store.newest_keys(args.layer, run.seat, head);
    if (run.leaves_block()) {
        std::memcpy(store.left_keys(run.seat, head), newest,
                    static_cast<size_t>(run.block * d.head_dim) * sizeof(float));
    }
    for (int64_t position = run.first; position < run.end; ++position) {
        const int64_t token = run.token_of(position), row = position % run.block;
        const float* key = args.k.f32(token) + head * d.head_dim;
        for (int64_t c = 0; c < d.head_dim; ++c) newest[c * run.block + row] = key[c];
        if (row + 1 < run.block) continue;
        const int64_t first = position - row;
        const int64_t page =
            args.batch.pages[args.batch.first_page[sequence] + first / d.page_tokens];
        const KvPlace place{args.layer, page, head};
        if (!store.write_channels(isa, place, first % d.page_tokens, newest, scratch)) {
            note_row(args.note, token);
        }
    }
}

}  // namespace quarot::kernels::cpu

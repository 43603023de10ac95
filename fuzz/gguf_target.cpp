// A whole GGUF file in memory: its header is judged, and what it says is then relied on as a reader
// does.
#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "core/checked_math.h"
#include "fuzz/target.h"
#include "io/gguf_header.h"
#include "io/handmade_gguf.h"

namespace quarot::fuzz {
namespace {

using io::gguf_f32s, io::gguf_i32s, io::gguf_list, io::gguf_text, io::gguf_texts, io::gguf_u32;
using io::HandmadeGguf;

// Every tensor has the bytes of its shape, inside the file and apart from all others; widening it
// touches no byte beyond them.
void run(std::string_view input) {
    const auto file_bytes = static_cast<int64_t>(input.size());
    const io::GgufHeader header = io::read_gguf_header(
        {.source = "model.gguf",
         .size = file_bytes,
         .read = [input](int64_t offset, std::span<std::byte> out) {
             expect(offset >= 0 && static_cast<size_t>(offset) <= input.size() &&
                        out.size() <= input.size() - static_cast<size_t>(offset),
                    "reads beyond the file");
             std::memcpy(out.data(), input.data() + offset, out.size());
         }});
    std::vector<std::pair<int64_t, int64_t>> spans;
    for (const auto& [name, tensor] : header.tensors) {
        const auto elements = checked_product(tensor.shape);
        expect(elements && *elements > 0, "a tensor without elements");
        const int64_t n_blocks = *elements / tensor.type->block_elements;
        expect(n_blocks * tensor.type->block_bytes == tensor.bytes, "bytes are not the shape's");
        expect(tensor.offset >= 0 && tensor.bytes <= file_bytes - tensor.offset,
               "a tensor lies outside the file");
        spans.emplace_back(tensor.offset, tensor.offset + tensor.bytes);
        if (tensor.type->widen == nullptr) continue;
        const auto* from = reinterpret_cast<const std::byte*>(input.data()) + tensor.offset;
        const std::vector<std::byte> packed(from, from + tensor.bytes);
        std::vector<float> values(static_cast<size_t>(*elements));
        tensor.type->widen(packed.data(), n_blocks, values.data());
    }
    std::sort(spans.begin(), spans.end());
    for (size_t i = 1; i < spans.size(); ++i) {
        expect(spans[i - 1].second <= spans[i].first, "tensors overlap");
    }
}

HandmadeGguf with_values() {
    HandmadeGguf file;
    file.set("general.architecture", gguf_text("llama"));
    file.set("x", io::gguf_f32(1e-5f));
    file.set("y", io::gguf_bool(true));
    file.set("l", gguf_texts({"a", "bc"}));
    file.set("i", gguf_i32s({1, -1}));
    file.set("f", gguf_f32s({0.5f}));
    return file;
}

HandmadeGguf with_tensor(uint32_t type, std::vector<uint64_t> dims, size_t bytes) {
    HandmadeGguf file;
    file.tensors = {{"w", std::move(dims), type, std::string(bytes, '\x3c')}};
    return file;
}

std::vector<std::string> seeds() {
    HandmadeGguf two = with_tensor(8, {32, 1}, 34);
    two.tensors.push_back({"v", {2}, 0, std::string(8, '\0')});
    HandmadeGguf wide = two;
    wide.alignment = 64;
    wide.set("general.alignment", gguf_u32(64));
    HandmadeGguf old = with_values();
    old.version = 2;
    HandmadeGguf swapped;
    swapped.version = 0x03000000;
    HandmadeGguf nested;
    nested.set("l", gguf_list(9, 1, gguf_list(0, 1, "1").substr(4)));
    HandmadeGguf twice = with_values();
    twice.values.push_back(twice.values.back());
    std::vector<std::string> files = {two.bytes(),           wide.bytes(),   old.bytes(),
                                      swapped.bytes(),       nested.bytes(), twice.bytes(),
                                      with_values().bytes(), "GGUF"};
    for (const auto& [type, elements, bytes] : {std::tuple{0u, 4u, 16u},
                                                {1u, 4u, 8u},
                                                {30u, 4u, 8u},
                                                {2u, 32u, 18u},
                                                {3u, 32u, 20u},
                                                {6u, 32u, 22u},
                                                {7u, 32u, 24u},
                                                {12u, 256u, 144u},
                                                {13u, 256u, 176u},
                                                {14u, 256u, 210u},
                                                {10u, 256u, 84u}}) {
        files.push_back(with_tensor(type, {elements, 1}, bytes).bytes());
    }
    return files;
}

std::vector<std::string> words() {
    const std::string largest(8, '\xff');
    return {"GGUF",
            "general.alignment",
            gguf_u32(32),
            gguf_u32(0),
            gguf_text("a"),
            gguf_texts({"a"}),
            gguf_i32s({1}),
            gguf_f32s({1.0f}),
            io::gguf_bool(true),
            largest,
            largest.substr(0, 7) + "\x7f",
            io::bytes_of<uint64_t>(1),
            io::bytes_of<uint64_t>(32),
            io::bytes_of<uint64_t>(256),
            io::bytes_of<uint64_t>(uint64_t{1} << 48),
            io::bytes_of<uint32_t>(12),
            io::bytes_of<uint32_t>(14)};
}

}  // namespace

constinit const Target kGgufTarget = {.name = "gguf", .run = run, .seeds = seeds, .words = words};

}  // namespace quarot::fuzz

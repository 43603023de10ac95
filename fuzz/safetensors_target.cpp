// A whole safetensors file in memory. Inputs that begin with 'h' give header and data apart and
// get a length that is right; all others are the bytes of a file.
#include <algorithm>
#include <cstring>

#include "core/checked_math.h"
#include "core/error.h"
#include "fuzz/target.h"
#include "io/safetensors_header.h"

namespace quarot::fuzz {
namespace {

const std::string kSource = "model.safetensors";

std::string length_field(uint64_t length) {
    std::string bytes(io::kSafetensorsLengthBytes, '\0');
    std::memcpy(bytes.data(), &length, bytes.size());
    return bytes;
}

std::string file_of(std::string_view header, std::string_view data) {
    return length_field(header.size()).append(header).append(data);
}

// What a reader may rely on: every tensor has the bytes of its shape, and all of them cover the
// data once.
void check_tensors(const io::SafetensorsHeader& header, int64_t data_start, int64_t file_bytes) {
    int64_t covered = 0;
    std::vector<std::pair<int64_t, int64_t>> spans;
    for (const auto& [name, info] : header.tensors) {
        const auto elements = checked_product(info.shape);
        expect(elements && *elements * size_of(info.dtype) == info.bytes,
               "bytes are not the shape's");
        expect(info.offset >= data_start && info.bytes <= file_bytes - info.offset,
               "a tensor lies outside the file");
        spans.emplace_back(info.offset, info.offset + info.bytes);
        covered += info.bytes;
    }
    std::sort(spans.begin(), spans.end());
    for (size_t i = 1; i < spans.size(); ++i) {
        expect(spans[i - 1].second <= spans[i].first, "tensors overlap");
    }
    expect(covered == file_bytes - data_start, "tensors do not cover the data");
}

void run_file(std::string_view file) {
    const auto file_bytes = static_cast<int64_t>(file.size());
    if (file_bytes < io::kSafetensorsLengthBytes) return;
    io::SafetensorsLength length{};
    std::memcpy(length.data(), file.data(), length.size());
    const int64_t header_bytes = io::safetensors_header_bytes(length, file_bytes, kSource);
    expect(header_bytes > 0 && header_bytes <= file_bytes - io::kSafetensorsLengthBytes,
           "a header is longer than its file");
    const std::string_view text =
        file.substr(io::kSafetensorsLengthBytes, static_cast<size_t>(header_bytes));
    check_tensors(io::parse_safetensors_header(text, file_bytes, kSource),
                  io::kSafetensorsLengthBytes + header_bytes, file_bytes);
}

void run(std::string_view input) {
    if (!input.starts_with('h')) return run_file(input);
    input.remove_prefix(1);
    const std::string_view header = take_segment(input);
    run_file(file_of(header, input));
}

std::string apart(const std::string& header, size_t data_bytes = 0) {
    return "h" + header + std::string(1, '\0') + std::string(data_bytes, 'd');
}

std::string tensor(const std::string& dtype, const std::string& shape, const std::string& offsets) {
    return R"({"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets +
           "}";
}

std::vector<std::string> seeds() {
    const std::string one = tensor("F32", "[1]", "[0,4]");
    const std::string two = R"({"a":)" + tensor("F16", "[2,3]", "[0,12]") + R"(,"b":)" +
                            tensor("I64", "[]", "[12,20]") + R"(,"__metadata__":{"format":"pt"}})";
    return {file_of("{}", ""),
            file_of(two, std::string(20, 'd')),
            apart("{}"),
            apart(" {\"w\":" + one + "} ", 4),
            apart(two, 20),
            apart(R"({"w":)" + tensor("BF16", "[0,7]", "[0,0]") + "}"),
            apart(R"({"w":)" + tensor("C64", "[1]", "[0,8]") + "}", 8),
            apart(R"({"w":)" + tensor("f32", "[1]", "[0,4]") + "}", 4),
            apart(R"({"w":)" + tensor("F32", "[-1]", "[0,4]") + "}", 4),
            apart(R"({"w":)" + tensor("F32", "[1.0]", "[0,4]") + "}", 4),
            apart(R"({"w":)" + tensor("F32", "[281474976710656,65536,1]", "[0,4]") + "}", 4),
            apart(R"({"w":)" + tensor("F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]") + "}", 4),
            apart(R"({"w":)" + tensor("F32", "[1]", "[4,0]") + "}", 4),
            apart(R"({"w":)" + tensor("F32", "[1]", "[0,8]") + "}", 8),
            apart(R"({"w":)" + tensor("F32", "[1]", "[4,8]") + "}", 8),
            apart(R"({"w":)" + one + R"(,"v":)" + one + "}", 4),
            apart(R"({"w":)" + one + R"(,"\u0077":)" + one + "}", 4),
            apart(R"({"w":)" + one + "}", 5),
            apart(R"({"w\n":)" + one + "}", 4),
            apart(R"({"__metadata__":{"a":1}})"),
            apart(R"({"w":[[[[1]]]]})"),
            apart("[]"),
            length_field(0) + "{}",
            length_field(~uint64_t{7}) + "{}",
            length_field(3) + "{}",
            "1234567"};
}

std::vector<std::string> words() {
    return {"\"dtype\":",
            "\"shape\":",
            "\"data_offsets\":",
            "__metadata__",
            "F64",
            "F32",
            "F16",
            "BF16",
            "I32",
            "U8",
            "BOOL",
            "[0,4]",
            "[0,0]",
            "[]",
            "{}",
            "\\u0077",
            "null",
            "-1",
            "1e2",
            "281474976710656",
            "9223372036854775807",
            "18446744073709551615"};
}

}  // namespace

constinit const Target kSafetensorsTarget = {
    .name = "safetensors", .run = run, .seeds = seeds, .words = words};

}  // namespace quarot::fuzz

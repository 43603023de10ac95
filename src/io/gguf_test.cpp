#include "io/gguf.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <numeric>

#include "core/expect_error.h"
#include "io/checkpoint.h"
#include "io/handmade_gguf.h"
#include "io/handmade_safetensors.h"
#include "support/temp_dir.h"

namespace quarot::io {

namespace {

std::string floats(const std::vector<float>& values) {
    std::string bytes;
    for (const float value : values) bytes += bytes_of(value);
    return bytes;
}

// Codes 0, 1, 2 ... of `bytes` bytes; the fp16 scales in front are the caller's.
std::string counting(size_t bytes) {
    std::string codes(bytes, '\0');
    std::iota(codes.begin(), codes.end(), '\0');
    return codes;
}

HandmadeGguf sample() {
    HandmadeGguf file;
    file.set("general.architecture", gguf_text("llama"));
    file.set("llama.block_count", gguf_u32(2));
    file.set("llama.attention.layer_norm_rms_epsilon", gguf_f32(1e-5f));
    file.set("tokenizer.ggml.add_bos_token", gguf_bool(true));
    file.set("tokenizer.ggml.tokens", gguf_texts({"a", "", "\xc3\xa9"}));
    file.set("tokenizer.ggml.token_type", gguf_i32s({1, 3, -1}));
    file.set("tokenizer.ggml.scores", gguf_f32s({0.5f, -2.0f, 0.0f}));
    file.tensors = {{"b", {3, 2}, 0, floats({0, 1, 2, 3, 4, 5})},
                    {"a", {32, 3}, 8, ""},
                    {"gain", {2}, 0, floats({7, 8})}};
    for (int row = 0; row < 3; ++row) {
        file.tensors[1].data += bytes_of<uint16_t>(0x3c00) + counting(32);  // d = 1
        file.tensors[1].data[file.tensors[1].data.size() - 32] = static_cast<char>(-row);
    }
    return file;
}

std::vector<float> rows_of(const GgufFile& file, const std::string& name, int64_t first,
                           int64_t n) {
    const GgufTensor& tensor = file.tensors().at(name);
    const int64_t cols = element_count(tensor.shape) / tensor.shape.front();
    std::vector<float> values(static_cast<size_t>(n * cols));
    file.read_rows(tensor, first, n, std::as_writable_bytes(std::span(values)));
    return values;
}

TEST(Gguf, MetadataKeepsItsValues) {
    test::TempDir dir;
    for (const uint32_t version : {2u, 3u}) {
        HandmadeGguf handmade = sample();
        handmade.version = version;
        write_bytes(dir / "m.gguf", handmade.bytes());
        const GgufFile file(dir / "m.gguf");
        const GgufMetadata& metadata = file.metadata();
        EXPECT_EQ(metadata.text("general.architecture"), "llama");
        EXPECT_EQ(metadata.integer("llama.block_count", 1, 9), 2);
        EXPECT_EQ(metadata.real("llama.attention.layer_norm_rms_epsilon"), 1e-5);
        EXPECT_EQ(metadata.find_flag("tokenizer.ggml.add_bos_token"), true);
        EXPECT_EQ(metadata.texts("tokenizer.ggml.tokens"),
                  (std::vector<std::string>{"a", "", "\xc3\xa9"}));
        EXPECT_EQ(*metadata.find_integers("tokenizer.ggml.token_type"),
                  (std::vector<int64_t>{1, 3, -1}));
        EXPECT_EQ(*metadata.find_reals("tokenizer.ggml.scores"),
                  (std::vector<double>{0.5, -2.0, 0.0}));
        EXPECT_EQ(metadata.find_text("absent"), nullptr);
        EXPECT_FALSE(metadata.find_integer("absent", 0, 1).has_value());
    }
}

TEST(Gguf, EveryKindOfNumberIsRead) {
    const std::vector<std::pair<std::string, int64_t>> integers = {
        {bytes_of<uint32_t>(0) + bytes_of<uint8_t>(200), 200},
        {bytes_of<uint32_t>(1) + bytes_of<int8_t>(-100), -100},
        {bytes_of<uint32_t>(2) + bytes_of<uint16_t>(60000), 60000},
        {bytes_of<uint32_t>(3) + bytes_of<int16_t>(-30000), -30000},
        {bytes_of<uint32_t>(4) + bytes_of<uint32_t>(4000000000), 4000000000},
        {bytes_of<uint32_t>(5) + bytes_of<int32_t>(-2000000000), -2000000000},
        {bytes_of<uint32_t>(10) + bytes_of<uint64_t>(uint64_t{1} << 62), int64_t{1} << 62},
        {bytes_of<uint32_t>(10) + bytes_of<uint64_t>(UINT64_MAX), INT64_MAX},
        {bytes_of<uint32_t>(11) + bytes_of<int64_t>(INT64_MIN), INT64_MIN}};
    test::TempDir dir;
    for (const auto& [value, expected] : integers) {
        HandmadeGguf handmade;
        handmade.set("n", value);
        write_bytes(dir / "m.gguf", handmade.bytes());
        EXPECT_EQ(GgufFile(dir / "m.gguf").metadata().integer("n", INT64_MIN, INT64_MAX), expected);
    }
    HandmadeGguf handmade;
    handmade.set("x", bytes_of<uint32_t>(12) + bytes_of(0.1));
    write_bytes(dir / "m.gguf", handmade.bytes());
    EXPECT_EQ(GgufFile(dir / "m.gguf").metadata().real("x"), 0.1);
}

TEST(Gguf, WhatAModelNeedsIsNamedWhereItIsMissingOrElse) {
    test::TempDir dir;
    write_bytes(dir / "m.gguf", sample().bytes());
    const GgufFile file(dir / "m.gguf");
    const GgufMetadata& metadata = file.metadata();
    const auto corrupt = ErrorCode::Corrupt;
    expect_error(corrupt, {"m.gguf", "llama.width"},
                 [&] { metadata.integer("llama.width", 0, 1); });
    expect_error(corrupt, {"m.gguf", "llama.block_count", "2", "3 to 4"},
                 [&] { metadata.integer("llama.block_count", 3, 4); });
    expect_error(corrupt, {"m.gguf", "llama.block_count", "an integer", "a text"},
                 [&] { metadata.text("llama.block_count"); });
    expect_error(corrupt, {"general.architecture", "a text", "a number"},
                 [&] { metadata.real("general.architecture"); });
}

TEST(Gguf, RowsAreReadWhereverTheyStart) {
    test::TempDir dir;
    write_bytes(dir / "m.gguf", sample().bytes());
    const GgufFile file(dir / "m.gguf");
    EXPECT_EQ(file.tensors().at("b").shape, (Shape{2, 3}));
    EXPECT_EQ(rows_of(file, "b", 0, 2), (std::vector<float>{0, 1, 2, 3, 4, 5}));
    EXPECT_EQ(rows_of(file, "b", 1, 1), (std::vector<float>{3, 4, 5}));
    EXPECT_EQ(rows_of(file, "gain", 1, 1), (std::vector<float>{8}));
    EXPECT_TRUE(rows_of(file, "b", 2, 0).empty());
    const std::vector<float> two = rows_of(file, "a", 1, 2);
    ASSERT_EQ(two.size(), 64u);
    EXPECT_EQ(two[0], -1.0f);  // the row's first code
    EXPECT_EQ(two[1], 1.0f);
    EXPECT_EQ(two[31], 31.0f);
    EXPECT_EQ(two[32], -2.0f);
}

// Longer than the piece that is widened at a time.
TEST(Gguf, LongTensorsAreWidenedWhole) {
    HandmadeGguf handmade;
    constexpr int64_t kRows = 1200, kBlocks = 32;
    handmade.tensors = {{"w", {32 * kBlocks, kRows}, 8, ""}};
    std::string& data = handmade.tensors[0].data;
    for (int64_t block = 0; block < kRows * kBlocks; ++block) {
        data += bytes_of<uint16_t>(0x3c00) + std::string(32, static_cast<char>(block % 101));
    }
    test::TempDir dir;
    write_bytes(dir / "m.gguf", handmade.bytes());
    const std::vector<float> values = rows_of(GgufFile(dir / "m.gguf"), "w", 0, kRows);
    for (int64_t i = 0; i < std::ssize(values); ++i) {
        ASSERT_EQ(values[static_cast<size_t>(i)], static_cast<float>(i / 32 % 101)) << i;
    }
}

TEST(Gguf, FilesAreKnownByNameOrByTheirFirstBytes) {
    test::TempDir dir;
    write_bytes(dir / "cut.gguf", "");
    write_bytes(dir / "sha256-1234", sample().bytes());
    write_bytes(dir / "other", "hello");
    write_bytes(dir / "short", "GG");
    std::filesystem::create_directory(dir / "folder.gguf");
    EXPECT_TRUE(is_gguf_file(dir / "cut.gguf"));
    EXPECT_TRUE(is_gguf_file(dir / "sha256-1234"));
    for (const char* name : {"other", "short", "folder.gguf", "missing.gguf"}) {
        EXPECT_FALSE(is_gguf_file(dir / name)) << name;
    }
}

}  // namespace

}  // namespace quarot::io

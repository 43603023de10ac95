// One small good file, broken in every way there is a rule against.
#include <gtest/gtest.h>

#include <functional>
#include <ostream>

#include "core/expect_error.h"
#include "io/gguf.h"
#include "io/handmade_gguf.h"
#include "io/handmade_safetensors.h"
#include "support/temp_dir.h"

namespace quarot::io {

namespace {

constexpr auto kCorrupt = ErrorCode::Corrupt;
constexpr auto kUnsupported = ErrorCode::Unsupported;

HandmadeGguf good_file() {
    HandmadeGguf file;
    file.set("general.architecture", gguf_text("llama"));
    file.set("llama.block_count", gguf_u32(1));
    file.set("tokenizer.ggml.tokens", gguf_texts({"a", "b"}));
    file.set("tokenizer.ggml.scores", gguf_f32s({1.0f, 2.0f}));
    file.tensors = {{"w", {32, 2}, 2, std::string(36, '\1')},
                    {"k", {256, 1}, 12, std::string(144, '\1')},
                    {"gain", {4}, 0, std::string(16, '\0')}};
    return file;
}

struct BrokenFile {
    std::string what;
    std::function<void(HandmadeGguf&)> change;      // of the file,
    std::function<void(std::string&)> damage = {};  // and of its bytes
    ErrorCode code = kCorrupt;
    std::vector<std::string> mentions = {};
};

void PrintTo(const BrokenFile& bad, std::ostream* out) {
    *out << bad.what;
}

BrokenFile with_change(const std::string& what, std::function<void(HandmadeGguf&)> change,
                       std::vector<std::string> mentions, ErrorCode code = kCorrupt) {
    return {what, std::move(change), {}, code, std::move(mentions)};
}

BrokenFile cut_file(const std::string& what, size_t bytes,
                    std::vector<std::string> mentions = {"cut"}) {
    return {
        what, {}, [bytes](std::string& all) { all.resize(bytes); }, kCorrupt, std::move(mentions)};
}

// Where parts of the good file begin.
size_t key_at(const std::string& key) {
    return good_file().bytes().find(key) - 8;
}

std::vector<BrokenFile> truncations() {
    const size_t header = good_file().header().size();
    const size_t whole = good_file().bytes().size();
    return {
        cut_file("Empty", 0),
        cut_file("ThreeBytes", 3),
        cut_file("MagicAlone", 4),
        cut_file("NoTensorCount", 8),
        cut_file("NoKeyCount", 16),
        cut_file("NoKeys", 24),
        cut_file("InAKeysLength", key_at("general.architecture") + 3),
        cut_file("InAKey", key_at("general.architecture") + 12),
        cut_file("BeforeAKind", key_at("llama.block_count") + 8 + 17),
        cut_file("InANumber", key_at("llama.block_count") + 8 + 17 + 6),
        cut_file("InAText", key_at("general.architecture") + 8 + 20 + 4 + 8 + 2),
        cut_file("InAListsLength", key_at("tokenizer.ggml.tokens") + 8 + 21 + 4 + 4 + 3),
        cut_file("InAListOfTexts", key_at("tokenizer.ggml.tokens") + 8 + 21 + 4 + 4 + 8 + 12),
        cut_file("InAListOfNumbers", key_at("tokenizer.ggml.scores") + 8 + 21 + 4 + 4 + 8 + 5),
        cut_file("BehindTheKeys", good_file().header().find(counted("w") + bytes_of<uint32_t>(2))),
        cut_file("InATensorsEntry", header - 9),
        cut_file("BehindTheHeader", header),
        cut_file("BeforeTheLastTensor", whole - 16),
        cut_file("OneByteShort", whole - 1)};
}

std::vector<BrokenFile> bad_beginnings() {
    return {
        with_change("OtherMagic", [](auto& f) { f.magic = "GGML"; }, {"GGUF"}),
        with_change(
            "VersionOne", [](auto& f) { f.version = 1; }, {"version 1"}, kUnsupported),
        with_change(
            "VersionFour", [](auto& f) { f.version = 4; }, {"version 4"}, kUnsupported),
        with_change(
            "VersionZero", [](auto& f) { f.version = 0; }, {"version 0"}, kUnsupported),
        with_change(
            "BigEndian", [](auto& f) { f.version = 0x03000000; }, {"big-endian"}, kUnsupported),
        with_change("MoreTensorsThanThereAre", [](auto& f) { f.n_tensors = 4; }, {}),
        with_change("TooManyTensors", [](auto& f) { f.n_tensors = 100'001; }, {"100001", "100000"}),
        with_change("TensorCountOf64Bits", [](auto& f) { f.n_tensors = UINT64_MAX; },
                    {"18446744073709551615"}),
        with_change("FewerTensorsThanThereAre", [](auto& f) { f.n_tensors = 1; }, {}),
        with_change("MoreKeysThanThereAre", [](auto& f) { f.n_values = 5; }, {}),
        with_change("FewerKeysThanThereAre", [](auto& f) { f.n_values = 3; }, {}),
        with_change("KeyCountOf64Bits", [](auto& f) { f.n_values = UINT64_MAX; },
                    {"18446744073709551615"}),
    };
}

std::vector<BrokenFile> bad_values() {
    const auto with = [](const std::string& key, const std::string& value) {
        return [=](HandmadeGguf& f) { f.set(key, value); };
    };
    const std::string huge = bytes_of(UINT64_MAX);
    return {
        with_change("EmptyKey", with("", gguf_u32(1)), {"key \"\""}),
        with_change("KeyOfControlCharacters", with("a\nb", gguf_u32(1)), {"\\x0a"}),
        with_change("LongKey", with(std::string(257, 'k'), gguf_u32(1)), {"257", "256"}),
        {"KeyOf64Bits",
         {},
         [](std::string& all) {
             all.replace(key_at("llama.block_count"), 8, bytes_of(UINT64_MAX));
         },
         kCorrupt,
         {"18446744073709551615"}},
        with_change("KeyTwice", [](auto& f) { f.values.push_back(f.values[1]); },
                    {"llama.block_count", "twice"}),
        with_change("UnknownKind", with("x", bytes_of<uint32_t>(13) + "12345678"), {"x", "13"}),
        with_change("HugeKind", with("x", bytes_of<uint32_t>(UINT32_MAX) + "12345678"),
                    {"4294967295"}),
        with_change("NeitherTrueNorFalse", with("x", bytes_of<uint32_t>(7) + "\2"), {"x", "2"}),
        with_change("TextOf64Bits", with("x", bytes_of<uint32_t>(8) + huge),
                    {"18446744073709551615"}),
        with_change("TextBeyondTheFile",
                    with("x", bytes_of<uint32_t>(8) + bytes_of<uint64_t>(100'000)),
                    {"x", "100000", "cut"}),
        with_change("TextAboveTheLimit",
                    with("x", bytes_of<uint32_t>(8) + bytes_of<uint64_t>((1 << 22) + 1)),
                    {"4194305"}),
        with_change("ListOf64Bits", with("x", gguf_list(0, UINT64_MAX, "")),
                    {"18446744073709551615"}),
        with_change("ListWhoseBytesWrap",
                    with("x", gguf_list(10, (uint64_t{1} << 61) + 1, "12345678")),
                    {"2305843009213693953"}),
        with_change("ListBeyondTheFile", with("x", gguf_list(4, 1000, "")), {"x", "4000", "cut"}),
        with_change("ListOfTextsBeyondTheFile", with("x", gguf_list(8, 1000, "")), {"x", "8000"}),
        with_change("ListOfUnknownKind", with("x", gguf_list(99, 1, "12345678")), {"x", "99"}),
        with_change("ListOfLists", with("x", gguf_list(9, 1, gguf_list(0, 1, "1").substr(4))),
                    {"x", "list of lists"}, kUnsupported),
        with_change("ListsTooLongTogether",
                    [](HandmadeGguf& f) {
                        for (const char* key : {"x", "y", "z"}) {
                            f.set(key, gguf_list(0, 3 << 20, std::string(3 << 20, '\1')));
                        }
                    },
                    {"z", "3145728"}),
        with_change("ListOfBadTruth", with("x", gguf_list(7, 2, std::string("\1\3"))), {"x", "3"}),
    };
}

std::vector<BrokenFile> bad_tensors() {
    const auto with = [](const std::function<void(HandmadeGguf::Tensor&)>& change) {
        return [=](HandmadeGguf& f) { change(f.tensors[0]); };
    };
    return {
        with_change("TensorWithoutName", with([](auto& t) { t.name = ""; }), {"0 bytes"}),
        with_change("TensorOfLongName", with([](auto& t) { t.name = std::string(513, 'w'); }),
                    {"513"}),
        with_change("TensorOfControlCharacters", with([](auto& t) { t.name = "w\x1b[2J"; }),
                    {"\\x1b"}),
        with_change("TensorTwice", with([](auto& t) { t.name = "k"; }), {"tensor k", "twice"}),
        with_change("NoDimensions", with([](auto& t) { t.dims = {}; }),
                    {"tensor w", "0 dimensions"}),
        with_change("FiveDimensions", with([](auto& t) {
                        t.dims = {32, 2, 1, 1, 1};
                    }),
                    {"5"}),
        with_change("DimensionZero", with([](auto& t) {
                        t.dims = {32, 0};
                    }),
                    {"dimension of 0"}),
        with_change("DimensionOf64Bits", with([](auto& t) {
                        t.dims = {32, UINT64_MAX};
                    }),
                    {"18446744073709551615"}),
        with_change("ElementsWrap", with([](auto& t) {
                        t.dims = {uint64_t{1} << 40, 1 << 24};
                    }),
                    {"63 bits"}),
        with_change("BytesWrap", with([](auto& t) {
                        t.dims = {uint64_t{1} << 40, 1 << 22};
                    }),
                    {"63 bits"}),
        with_change("ElementsWrapToFew", with([](auto& t) {
                        t.dims = {uint64_t{1} << 32, uint64_t{1} << 32, 1};
                    }),
                    {"63 bits"}),
        with_change("RowsOfBrokenBlocks", with([](auto& t) {
                        t.dims = {33, 2};
                    }),
                    {"tensor w", "33", "32 of Q4_0"}),
        with_change("RowsOfBrokenSuperBlocks",
                    [](auto& f) {
                        f.tensors[1].dims = {128, 2};
                    },
                    {"tensor k", "128", "256 of Q4_K"}),
        with_change("TypeNotRead", with([](auto& t) { t.type = 10; }), {"tensor w", "Q2_K", "Q4_K"},
                    kUnsupported),
        with_change("TypeOfIntegers", with([](auto& t) { t.type = 26; }), {"I32"}, kUnsupported),
        with_change("TypeWithdrawn", with([](auto& t) { t.type = 4; }), {"type 4"}, kUnsupported),
        with_change("TypeUnknown", with([](auto& t) { t.type = UINT32_MAX; }), {"type 4294967295"},
                    kUnsupported),
        with_change("VectorOfBlocks", with([](auto& t) { t.dims = {64}; }), {"vector of Q4_0"},
                    kUnsupported),
        with_change("OffsetOf64Bits", with([](auto& t) { t.offset = UINT64_MAX; }), {"tensor w"}),
        with_change("OffsetPlusBytesWraps", with([](auto& t) { t.offset = INT64_MAX - 10; }),
                    {"tensor w"}),
        with_change("OffsetBeyondTheFile", with([](auto& t) { t.offset = 1 << 20; }), {"gap"}),
        with_change("OffsetNotAligned", [](auto& f) { f.tensors[1].offset = 36; },
                    {"tensor k", "36"}),
        with_change("TensorsOverlap", [](auto& f) { f.tensors[1].offset = 32; },
                    {"tensor k", "overlap"}),
        with_change("TensorsInOnePlace", [](auto& f) { f.tensors[1].offset = 0; }, {"overlap"}),
        with_change("TensorsLeaveAGap", [](auto& f) { f.tensors[2].offset = 320; },
                    {"tensor gain", "gap"}),
        with_change("MoreRowsThanBytes",
                    [](auto& f) {
                        f.tensors[2].dims = {4, 100};
                    },
                    {"tensor gain", "cut"}),
        {"TrailingBytes",
         {},
         [](std::string& all) { all += std::string(100, 'x'); },
         kCorrupt,
         {"cover"}},
    };
}

std::vector<BrokenFile> bad_alignments() {
    const auto of = [](const std::string& value) {
        return [=](HandmadeGguf& f) { f.set("general.alignment", value); };
    };
    return {with_change("AlignmentZero", of(gguf_u32(0)), {"general.alignment", "0"}),
            with_change("AlignmentNoPowerOfTwo", of(gguf_u32(48)), {"48", "power of two"}),
            with_change("AlignmentHuge", of(gguf_u32(1u << 31)), {"2147483648"}),
            with_change("AlignmentOfText", of(gguf_text("32")), {"a text", "an integer"}),
            with_change("AlignmentOtherThanTheOffsets", of(gguf_u32(64)), {"tensor"})};
}

std::vector<BrokenFile> all_broken_files() {
    std::vector<BrokenFile> all;
    for (auto part :
         {truncations(), bad_beginnings(), bad_values(), bad_tensors(), bad_alignments()}) {
        std::move(part.begin(), part.end(), std::back_inserter(all));
    }
    return all;
}

class BadGguf : public testing::TestWithParam<BrokenFile> {};

TEST_P(BadGguf, IsRefusedWithAReason) {
    const BrokenFile& bad = GetParam();
    HandmadeGguf file = good_file();
    if (bad.change) bad.change(file);
    std::string bytes = file.bytes();
    if (bad.damage) bad.damage(bytes);
    test::TempDir dir;
    write_bytes(dir / "bad.gguf", bytes);
    std::vector<std::string> mentions = bad.mentions;
    mentions.emplace_back("bad.gguf");
    expect_error(bad.code, mentions, [&] { GgufFile(dir / "bad.gguf"); });
}

INSTANTIATE_TEST_SUITE_P(Files, BadGguf, testing::ValuesIn(all_broken_files()),
                         [](const auto& broken) { return broken.param.what; });

TEST(GoodGguf, IsTaken) {
    test::TempDir dir;
    write_bytes(dir / "good.gguf", good_file().bytes());
    EXPECT_EQ(GgufFile(dir / "good.gguf").tensors().size(), 3u);
    HandmadeGguf wide = good_file();
    wide.alignment = 64;
    wide.set("general.alignment", gguf_u32(64));
    write_bytes(dir / "wide.gguf", wide.bytes() + std::string(48, '\0'));  // padded at the end
    EXPECT_EQ(GgufFile(dir / "wide.gguf").tensors().size(), 3u);
    HandmadeGguf vocabulary = good_file();
    vocabulary.tensors.clear();
    write_bytes(dir / "vocabulary.gguf", vocabulary.bytes());
    EXPECT_TRUE(GgufFile(dir / "vocabulary.gguf").tensors().empty());
}

}  // namespace

}  // namespace quarot::io

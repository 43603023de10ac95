// Every rule by which a safetensors file is refused, several files each.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "core/expect_error.h"
#include "io/handmade_safetensors.h"
#include "io/safetensors.h"
#include "support/temp_dir.h"

namespace quarot::io {

namespace {

struct BadFile {
    const char* what;
    std::string bytes;
    ErrorCode code;
    std::vector<std::string> mentions;
};

std::vector<BadFile> files_with_bad_lengths() {
    const auto corrupt = ErrorCode::Corrupt;
    const std::string good = file_of(named(f32("[1]", "[0,4]")), 4);
    return {
        {"empty", "", corrupt, {"0 bytes"}},
        {"seven bytes", "1234567", corrupt, {"7 bytes", "8"}},
        {"length only", length_of(2), corrupt, {"2 bytes", "only 0"}},
        {"length zero", length_of(0), corrupt, {"0 bytes"}},
        {"length zero with data", length_of(0) + "abcd", corrupt, {"0 bytes"}},
        {"length one too large", length_of(3) + "{}", corrupt, {"3 bytes", "only 2"}},
        {"length above the limit", length_of(100'000'001) + "{}", corrupt, {"100000001"}},
        {"length at the limit in a small file", length_of(100'000'000) + "{}", corrupt, {"only 2"}},
        {"length overflows", length_of(UINT64_MAX) + "{}", corrupt, {"18446744073709551615"}},
        {"length + 8 wraps", length_of(UINT64_MAX - 7) + "{}", corrupt, {}},
        {"length is negative as signed", length_of(uint64_t{1} << 63) + "{}", corrupt, {}},
        {"header cut", good.substr(0, good.size() - 8), corrupt, {"cut"}},
        {"length too short by one", length_of(1) + "{}", corrupt, {"JSON"}},
    };
}

std::vector<BadFile> files_with_bad_json() {
    const auto corrupt = ErrorCode::Corrupt;
    const std::string w = f32("[1]", "[0,4]");
    const std::string good = named(w);
    const auto json = [&](const char* what, const std::string& header,
                          std::vector<std::string> mentions = {}) {
        return BadFile{what, file_of(header, 4), corrupt, std::move(mentions)};
    };
    return {
        json("not JSON", "hello", {"JSON"}),
        json("spaces only", "   ", {"JSON"}),
        json("object not closed", R"({"wq":)" + w, {"JSON"}),
        json("overlong UTF-8", "{\"w\xc0\xaf\":" + w + "}", {"UTF-8"}),
        json("surrogate in UTF-8", "{\"w\xed\xa0\x80\":" + w + "}", {"UTF-8"}),
        json("truncated UTF-8", "{\"w\xe2\x82\":" + w + "}", {"UTF-8"}),
        json("stray byte after the object", "{}\xff", {"UTF-8"}),
        json("lone surrogate escape", R"({"w\ud800":)" + w + "}", {"JSON"}),
        json("trailing garbage", good + "x", {"JSON"}),
        json("second object", good + "{}", {"JSON"}),
        json("NUL padding", good + std::string(3, '\0'), {"NUL"}),
        json("NUL before the object", std::string(1, '\0') + good, {"NUL"}),
        json("byte order mark", "\xef\xbb\xbf" + good, {"byte order mark"}),
        json("vertical tab as space", "\v" + good, {"JSON"}),
        json("line comment", "// hi\n" + good, {"JSON"}),
        json("block comment", "/* hi */" + good, {"JSON"}),
        json("NaN", R"({"wq":NaN})", {"JSON"}),
        json("number too large", R"({"wq":1e999})", {"JSON"}),
        json("trailing comma", R"({"wq":)" + w + ",}", {"JSON"}),
        json("root is an array", "[]", {"[]", "object"}),
        json("root is a string", "\"wq\"", {"object"}),
        json("root is a number", "7", {"object"}),
        json("root is null", "null", {"object"}),
        json("nesting of five", R"({"wq":[[[[1]]]]})", {"deeper than 4"}),
        json("nesting of many", std::string(100'000, '['), {"deeper than 4"}),
        json("duplicate tensor", R"({"wq":)" + w + R"(,"wq":)" + w + "}", {"\"wq\" twice"}),
        json("duplicate by escape", R"({"wq":)" + w + R"(,"\u0077q":)" + w + "}", {"\"wq\" twice"}),
        json("duplicate metadata", R"({"__metadata__":{},"__metadata__":{}})", {"__metadata__"}),
        json("duplicate metadata key", R"({"__metadata__":{"a":"1","a":"2"}})", {"\"a\" twice"}),
        json("duplicate dtype",
             R"({"wq":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}})", {"dtype"}),
        json("duplicate shape by escape",
             R"({"wq":{"dtype":"F32","shape":[1],"sh\u0061pe":[1],"data_offsets":[0,4]}})",
             {"shape"}),
    };
}

std::vector<BadFile> files_with_bad_entries() {
    const auto bad = [](const char* what, const std::string& entry_text,
                        std::vector<std::string> mentions, ErrorCode code = ErrorCode::Corrupt) {
        mentions.push_back("wq");
        return BadFile{what, file_of(named(entry_text), 4), code, std::move(mentions)};
    };
    const auto unsupported = ErrorCode::Unsupported;
    return {
        bad("entry is null", "null", {"null", "object"}),
        bad("entry is an array", R"(["F32",[1],[0,4]])", {"object"}),
        bad("entry is a string", R"("F32")", {"object"}),
        bad("unknown key", R"({"dtype":"F32","shape":[1],"data_offsets":[0,4],"offset":0})",
            {"\"offset\""}),
        bad("key in capitals", R"({"DType":"F32","shape":[1],"data_offsets":[0,4]})", {"DType"}),
        bad("no dtype", R"({"shape":[1],"data_offsets":[0,4]})", {"no dtype"}),
        bad("no shape", R"({"dtype":"F32","data_offsets":[0,4]})", {"no shape"}),
        bad("no offsets", R"({"dtype":"F32","shape":[1]})", {"no data_offsets"}),
        bad("empty entry", "{}", {"no dtype"}),
        bad("dtype unknown", entry(R"("F33")", "[1]", "[0,4]"), {"F33"}),
        bad("dtype in small letters", entry(R"("f32")", "[1]", "[0,4]"), {"f32"}),
        bad("dtype with a space", entry(R"("F32 ")", "[1]", "[0,4]"), {"F32 "}),
        bad("dtype empty", entry(R"("")", "[1]", "[0,4]"), {"dtype"}),
        bad("dtype is a number", entry("32", "[1]", "[0,4]"), {"32"}),
        bad("dtype is null", entry("null", "[1]", "[0,4]"), {"null"}),
        bad("dtype C64", entry(R"("C64")", "[1]", "[0,8]"), {"C64"}, unsupported),
        bad("dtype F8_E4M3", entry(R"("F8_E4M3")", "[4]", "[0,4]"), {"F8_E4M3"}, unsupported),
        bad("dtype F8_E5M2", entry(R"("F8_E5M2")", "[4]", "[0,4]"), {"F8_E5M2"}, unsupported),
        bad("dtype F8_E8M0", entry(R"("F8_E8M0")", "[4]", "[0,4]"), {"F8_E8M0"}, unsupported),
        bad("dtype F6_E2M3", entry(R"("F6_E2M3")", "[4]", "[0,3]"), {"F6_E2M3"}, unsupported),
        bad("dtype F4", entry(R"("F4")", "[8]", "[0,4]"), {"F4"}, unsupported),
        bad("shape is an integer", f32("1", "[0,4]"), {"shape 1"}),
        bad("shape is a string", f32(R"("1")", "[0,4]"), {"shape"}),
        bad("shape is null", f32("null", "[0,4]"), {"null"}),
        bad("shape is an object", f32(R"({"0":1})", "[0,4]"), {"shape"}),
        bad("dimension negative", f32("[-1]", "[0,4]"), {"[-1]"}),
        bad("dimensions negative twice", f32("[-1,-1]", "[0,4]"), {"[-1,-1]"}),
        bad("dimension minus zero", f32("[-0]", "[0,0]"), {"shape"}),
        bad("dimension 1.0", f32("[1.0]", "[0,4]"), {"[1.0]"}),
        bad("dimension 1e0", f32("[1e0]", "[0,4]"), {"shape"}),
        bad("dimension 1e2", f32("[1e2]", "[0,400]"), {"[100.0]"}),
        bad("dimension is a string", f32(R"(["1"])", "[0,4]"), {"[\"1\"]"}),
        bad("dimension is true", f32("[true]", "[0,4]"), {"[true]"}),
        bad("dimension is an array", f32("[[1]]", "[0,4]"), {"[[1]]"}),
        bad("dimension above 2^48", f32("[0,281474976710657]", "[0,0]"), {"281474976710656"}),
        bad("dimension above int64", f32("[0,9223372036854775808]", "[0,0]"), {"shape"}),
        bad("dimension above uint64", f32("[0,18446744073709551617]", "[0,0]"), {"shape"}),
        bad("rank nine", f32("[1,1,1,1,1,1,1,1,1]", "[0,4]"), {"at most 8"}),
        bad("elements wrap to one", f32("[281474976710656,65536,1]", "[0,4]"), {"63 bits"}),
        bad("elements overflow before a zero", f32("[281474976710656,281474976710656,0]", "[0,0]"),
            {"63 bits"}),
        bad("bytes wrap to four", f32("[140737488355328,32768,1]", "[0,4]"), {"63 bits"}),
        bad("offsets missing one", f32("[1]", "[0]"), {"data_offsets [0]"}),
        bad("offsets one too many", f32("[1]", "[0,4,4]"), {"[0,4,4]"}),
        bad("offsets empty", f32("[0]", "[]"), {"[]"}),
        bad("offsets are an object", f32("[1]", R"({"a":0,"b":4})"), {"data_offsets"}),
        bad("offsets are null", f32("[1]", "null"), {"null"}),
        bad("offset negative", f32("[1]", "[-4,0]"), {"[-4,0]"}),
        bad("offset fractional", f32("[1]", "[0,4.0]"), {"[0,4.0]"}),
        bad("offset is a string", f32("[1]", R"(["0",4])"), {"data_offsets"}),
        bad("offset above int64", f32("[1]", "[18446744073709551612,18446744073709551615]"),
            {"data_offsets"}),
        bad("end before begin", f32("[1]", "[4,0]"), {"[4, 0]", "begin <= end"}),
        bad("span too long", f32("[1]", "[0,8]"), {"8 bytes", "expected 4"}),
        bad("span too short", f32("[2]", "[0,4]"), {"4 bytes", "expected 8"}),
        bad("span of another dtype", entry(R"("F16")", "[1]", "[0,4]"), {"expected 2"}),
        bad("end past the data", f32("[2]", "[0,8]"), {"only 4 bytes"}),
        bad("far past the data", f32("[1]", "[4611686018427387900,4611686018427387904]"),
            {"only 4 bytes"}),
        bad("exabytes in four", f32("[281474976710656]", "[0,1125899906842624]"), {"only 4 bytes"}),
    };
}

std::vector<BadFile> files_with_bad_layout() {
    const auto corrupt = ErrorCode::Corrupt;
    const auto two = [](const std::string& a, const std::string& b) {
        return R"({"first":)" + a + R"(,"second":)" + b + "}";
    };
    return {
        {"overlap",
         file_of(two(f32("[2]", "[0,8]"), f32("[2]", "[4,12]")), 12),
         corrupt,
         {"second", "overlap"}},
        {"same bytes twice",
         file_of(two(f32("[1]", "[0,4]"), f32("[1]", "[0,4]")), 4),
         corrupt,
         {"second", "overlap"}},
        {"one inside the other",
         file_of(two(f32("[4]", "[0,16]"), f32("[1]", "[4,8]")), 16),
         corrupt,
         {"second", "overlap"}},
        {"empty tensor inside another",
         file_of(two(f32("[2]", "[0,8]"), f32("[0]", "[4,4]")), 8),
         corrupt,
         {"second"}},
        {"gap",
         file_of(two(f32("[1]", "[0,4]"), f32("[1]", "[8,12]")), 12),
         corrupt,
         {"second", "gap"}},
        {"gap at the start", file_of(named(f32("[1]", "[4,8]")), 8), corrupt, {"wq", "gap"}},
        {"empty tensor past a gap", file_of(named(f32("[0]", "[4,4]")), 4), corrupt, {"wq", "gap"}},
        {"data after the last tensor",
         file_of(named(f32("[1]", "[0,4]")), 5),
         corrupt,
         {"5 bytes", "only 4"}},
        {"data without tensors", file_of("{}", 1), corrupt, {"1 bytes", "only 0"}},
        {"data cut by one byte", file_of(named(f32("[1]", "[0,4]")), 3), corrupt, {"wq", "cut"}},
        {"data missing", file_of(named(f32("[1]", "[0,4]")), 0), corrupt, {"wq", "cut"}},
    };
}

std::vector<BadFile> files_with_bad_names_and_metadata() {
    const auto corrupt = ErrorCode::Corrupt;
    const auto metadata = [](const std::string& value) {
        return file_of(R"({"__metadata__":)" + value + "}");
    };
    const auto name = [](const std::string& text) {
        return file_of("{\"" + text + "\":" + f32("[1]", "[0,4]") + "}", 4);
    };
    return {
        {"metadata is null", metadata("null"), corrupt, {"__metadata__", "null"}},
        {"metadata is an array", metadata("[]"), corrupt, {"__metadata__"}},
        {"metadata is a string", metadata(R"("pt")"), corrupt, {"__metadata__"}},
        {"metadata value is a number", metadata(R"({"format":1})"), corrupt, {"format", "1"}},
        {"metadata value is null", metadata(R"({"format":null})"), corrupt, {"format", "null"}},
        {"metadata value is an object", metadata(R"({"format":{}})"), corrupt, {"format"}},
        {"metadata looks like a tensor", metadata(f32("[1]", "[0,4]")), corrupt, {"__metadata__"}},
        {"metadata too long",
         metadata(R"({"a":")" + std::string((1 << 20) + 1, 'm') + "\"}"),
         corrupt,
         {"__metadata__", "1048576"}},
        {"name empty", name(""), corrupt, {"name"}},
        {"name too long", name(std::string(513, 'n')), corrupt, {"name", "513"}},
        {"name with a newline", name("w\\n"), corrupt, {"name", "\\x0a"}},
        {"name with NUL", name("w\\u0000"), corrupt, {"name", "\\x00"}},
        {"name with DEL", name("w\x7f"), corrupt, {"name", "\\x7f"}},
        {"name with a C1 control", name("w\\u0085"), corrupt, {"name"}},
    };
}

std::vector<BadFile> all_bad_files() {
    std::vector<BadFile> all;
    for (auto part : {files_with_bad_lengths(), files_with_bad_json(), files_with_bad_entries(),
                      files_with_bad_layout(), files_with_bad_names_and_metadata()}) {
        all.insert(all.end(), part.begin(), part.end());
    }
    return all;
}

}  // namespace

TEST(SafetensorsFile, RefusesEveryBadFileAndSaysWhy) {
    const test::TempDir dir;
    const std::string path = dir / "bad.safetensors";
    const auto files = all_bad_files();
    EXPECT_GE(files.size(), 120u);
    for (const BadFile& bad : files) {
        SCOPED_TRACE(bad.what);
        write_bytes(path, bad.bytes);
        std::vector<std::string> mentions = bad.mentions;
        mentions.push_back(path);
        expect_error(bad.code, mentions, [&] { SafetensorsFile file(path); });
    }
}

TEST(SafetensorsFile, RefusesMoreThanAMillionTensors) {
    const test::TempDir dir;
    const std::string path = dir / "many.safetensors";
    std::string header = "{";
    for (int i = 0; i < 1'000'002; ++i)
        header.append("\"").append(std::to_string(i)).append("\":0,");
    header.back() = '}';
    write_bytes(path, file_of(header));
    expect_error(ErrorCode::Corrupt, {path, "1000002 tensors"},
                 [&] { SafetensorsFile file(path); });
}

TEST(SafetensorsFile, RefusesWhatIsNotARegularFile) {
    const test::TempDir dir;
    const auto open = [](const std::string& path) { SafetensorsFile file(path); };
    ASSERT_EQ(mkfifo((dir / "fifo").c_str(), 0600), 0);
    std::filesystem::create_symlink("nowhere", dir / "dangling");
    std::filesystem::create_symlink("loop", dir / "loop");
    for (const std::string& path : {dir.path(), dir / "fifo", dir / "missing", dir / "dangling",
                                    dir / "loop", std::string("/dev/null")}) {
        SCOPED_TRACE(path);
        expect_error(ErrorCode::NotFound, {path}, [&] { open(path); });
    }
}

}  // namespace quarot::io

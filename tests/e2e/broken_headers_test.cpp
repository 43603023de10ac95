// Every rule by which a safetensors file is refused, through the program: the exit code and one
// line that names the file.
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "e2e/broken_model.h"
#include "e2e/expectations.h"
#include "e2e/model_surgery.h"
#include "e2e/program.h"

namespace quarot::test {
namespace {

const std::string kName = "model.safetensors";

std::string length_field(uint64_t length) {
    std::string bytes(8, '\0');
    std::memcpy(bytes.data(), &length, bytes.size());
    return bytes;
}

BrokenModel bytes(const char* name, const std::string& content,
                  std::vector<std::string> words = {}) {
    words.push_back(kName);
    return {name, text_file(kName, content), kCorrupt, std::move(words)};
}

// A header and four bytes of data.
BrokenModel header(const char* name, const std::string& text, std::vector<std::string> words = {}) {
    return bytes(name, length_field(text.size()) + text + "data", std::move(words));
}

// A file of one tensor "wq" with this entry.
BrokenModel entry(const char* name, const std::string& text, std::vector<std::string> words = {},
                  int exit_code = kCorrupt) {
    words.emplace_back("wq");
    BrokenModel model = header(name, R"({"wq":)" + text + "}", std::move(words));
    model.exit_code = exit_code;
    return model;
}

BrokenModel tensor(const char* name, const std::string& dtype, const std::string& shape,
                   const std::string& offsets, std::vector<std::string> words = {},
                   int exit_code = kCorrupt) {
    return entry(
        name,
        R"({"dtype":)" + dtype + R"(,"shape":)" + shape + R"(,"data_offsets":)" + offsets + "}",
        std::move(words), exit_code);
}

BrokenModel f32(const char* name, const std::string& shape, const std::string& offsets,
                std::vector<std::string> words = {}) {
    return tensor(name, R"("F32")", shape, offsets, std::move(words));
}

const std::string kGood = R"({"dtype":"F32","shape":[1],"data_offsets":[0,4]})";

const std::vector<BrokenModel> kLengths = {
    bytes("OneByte", "1"),
    bytes("LengthAlone", length_field(2)),
    bytes("LengthZeroAndData", length_field(0) + "data"),
    bytes("LengthOneTooLarge", length_field(3) + "{}"),
    bytes("LengthAboveTheLimit", length_field(100'000'001) + "{}", {"100000001"}),
    bytes("LengthOfAllOnes", length_field(~uint64_t{0}) + "{}"),
    bytes("LengthThatWrapsToNothing", length_field(~uint64_t{7}) + "{}"),
    bytes("LengthNegativeAsSigned", length_field(uint64_t{1} << 63) + "{}"),
    header("TextIsNoJson", "hello"),
    header("TextIsSpaces", "    "),
    header("ObjectNotClosed", R"({"wq":)" + kGood),
    header("OverlongUtf8", "{\"w\xc0\xaf\":" + kGood + "}", {"UTF-8"}),
    header("SurrogateInUtf8", "{\"w\xed\xa0\x80\":" + kGood + "}", {"UTF-8"}),
    header("Utf8CutOff", "{\"w\xe2\x82\":" + kGood + "}", {"UTF-8"}),
    header("SurrogateEscapeAlone", R"({"w\ud800":)" + kGood + "}"),
    header("TextAfterTheObject", R"({"wq":)" + kGood + "} x"),
    header("NulPadding", R"({"wq":)" + kGood + "}" + std::string(3, '\0'), {"NUL"}),
    header("ByteOrderMark", "\xef\xbb\xbf{\"wq\":" + kGood + "}", {"byte order mark"}),
    header("Comment", "/* wq */{\"wq\":" + kGood + "}"),
    header("NanLiteral", R"({"wq":NaN})"),
    header("InfinityLiteral", R"({"wq":Infinity})"),
    header("TrailingComma", R"({"wq":)" + kGood + ",}"),
    header("RootIsANumber", "12345678"),
    header("RootIsNull", "null"),
    header("NestedTooDeep", R"({"wq":[[[[1]]]]})", {"deeper than 4"}),
    header("TwiceByEscape", R"({"wq":)" + kGood + R"(,"\u0077q":)" + kGood + "}", {"twice"}),
};

const std::vector<BrokenModel> kEntries = {
    entry("EntryIsNull", "null"),
    entry("EntryIsAList", R"(["F32",[1],[0,4]])"),
    header("EntryKeyTwice",
           R"({"wq":{"dtype":"F32","shape":[1],"shape":[1],"data_offsets":[0,4]}})",
           {"shape", "twice"}),
    entry("EntryKeyUnknown", R"({"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1})", {"x"}),
    entry("EntryWithoutShape", R"({"dtype":"F32","data_offsets":[0,4]})", {"shape"}),
    entry("EntryWithoutOffsets", R"({"dtype":"F32","shape":[1]})", {"data_offsets"}),
    tensor("TypeInSmallLetters", R"("f32")", "[1]", "[0,4]", {"f32"}),
    tensor("TypeIsANumber", "32", "[1]", "[0,4]", {"dtype"}),
    tensor("TypeOfSixBits", R"("F6_E2M3")", "[4]", "[0,3]", {"F6_E2M3"}, kUnsupported),
    tensor("TypeOfEightBits", R"("F8_E4M3")", "[4]", "[0,4]", {"F8_E4M3"}, kUnsupported),
    f32("ShapeIsANumber", "1", "[0,4]"),
    f32("ShapeIsAText", R"("1")", "[0,4]"),
    f32("DimensionNegative", "[-1]", "[0,4]"),
    f32("DimensionFraction", "[1.0]", "[0,4]"),
    f32("DimensionWithExponent", "[1e0]", "[0,4]"),
    f32("DimensionIsAText", R"(["1"])", "[0,4]"),
    f32("DimensionAboveTheLimit", "[0,281474976710657]", "[0,0]"),
    f32("DimensionBeyond64Bits", "[0,18446744073709551617]", "[0,0]"),
    f32("RankNine", "[1,1,1,1,1,1,1,1,1]", "[0,4]"),
    f32("ElementsWrap", "[281474976710656,65536,1]", "[0,4]", {"63 bits"}),
    f32("BytesWrap", "[140737488355328,32768,1]", "[0,4]", {"63 bits"}),
    f32("OffsetAlone", "[1]", "[0]"),
    f32("OffsetsOfThree", "[1]", "[0,4,4]"),
    f32("OffsetNegative", "[1]", "[-4,0]"),
    f32("OffsetFraction", "[1]", "[0,4.0]"),
    f32("OffsetBeyond64Bits", "[1]", "[18446744073709551612,18446744073709551615]"),
    f32("EndBeforeBegin", "[1]", "[4,0]"),
    f32("SpanLongerThanTheShape", "[1]", "[0,8]"),
    f32("SpanShorterThanTheShape", "[2]", "[0,4]"),
    f32("EndBeyondTheData", "[2]", "[0,8]"),
    f32("GapAtTheBegin", "[0]", "[4,4]"),
    header("GapBetween",
           R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
           R"("b":{"dtype":"U8","shape":[1],"data_offsets":[3,4]}})",
           {"gap"}),
    header("SameBytesTwice", R"({"a":)" + kGood + R"(,"b":)" + kGood + "}", {"overlap"}),
    header("DataOfNobody", "{}"),
    header("MetadataIsAList", R"({"__metadata__":[]})", {"__metadata__"}),
    header("MetadataOfNumbers", R"({"__metadata__":{"a":1}})", {"__metadata__"}),
    header("MetadataAboveTheLimit",
           R"({"__metadata__":{"a":")" + std::string((1 << 20) + 1, 'm') + "\"}}",
           {"__metadata__"}),
    header("NameEmpty", R"({"":)" + kGood + "}", {"name"}),
    header("NameAboveTheLimit", "{\"" + std::string(513, 'n') + "\":" + kGood + "}", {"513"}),
    header("NameWithANewline", R"({"w\n":)" + kGood + "}", {"name"}),
    header("NameWithAnEscapeCode", R"({"\u001b[31m":)" + kGood + "}", {"name"}),
};

// Something else lies where the file should.
BrokenModel instead(const char* name, const std::function<void(const std::string&)>& make) {
    return {name,
            [=](const std::string& folder) {
                remove_file(folder + "/" + kName);
                make(folder + "/" + kName);
            },
            kNotFound,
            {kName}};
}

void make_socket(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    ASSERT_LT(path.size(), sizeof(address.sun_path));
    std::memcpy(address.sun_path, path.c_str(), path.size());
    const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
    ASSERT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    ::close(fd);
}

const std::vector<BrokenModel> kNoFiles = {
    instead("Fifo", [](const std::string& path) { ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0); }),
    instead("Socket", make_socket),
    instead("Device",
            [](const std::string& path) { std::filesystem::create_symlink("/dev/zero", path); }),
    instead("LinkToNowhere",
            [](const std::string& path) { std::filesystem::create_symlink("nowhere", path); }),
    instead("LinkToItself",
            [](const std::string& path) { std::filesystem::create_symlink(kName, path); }),
};

class BrokenHeaderTest : public BrokenModelTest {};

TEST_P(BrokenHeaderTest, IsRefusedByInspect) {
    expect_refusal({"inspect", model_, "--json"});
}

INSTANTIATE_TEST_SUITE_P(Lengths, BrokenHeaderTest, testing::ValuesIn(kLengths), case_name);
INSTANTIATE_TEST_SUITE_P(Entries, BrokenHeaderTest, testing::ValuesIn(kEntries), case_name);
INSTANTIATE_TEST_SUITE_P(NoFiles, BrokenHeaderTest, testing::ValuesIn(kNoFiles), case_name);

// Links as download caches make them are no harm.
TEST(LinkedFolder, IsReadLikeAnyOther) {
    const TempDir dir;
    write_tiny_model(dir / "blobs");
    std::filesystem::create_directory(dir / "model");
    for (const auto& file : std::filesystem::directory_iterator(dir / "blobs")) {
        std::filesystem::create_symlink("../blobs/" + file.path().filename().string(),
                                        dir / "model/" + file.path().filename().string());
    }
    expect_success(run_program({"verify", dir / "model"}));
}

}  // namespace
}  // namespace quarot::test

#include "io/safetensors.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>

#include "core/expect_error.h"
#include "io/handmade_safetensors.h"
#include "io/hash.h"
#include "support/temp_dir.h"

namespace quarot::io {

namespace {

std::string read_all(const SafetensorsFile& file, const std::string& name) {
    const TensorInfo& info = file.tensors().at(name);
    std::string bytes(static_cast<size_t>(info.bytes), '\0');
    file.read(info, 0, std::as_writable_bytes(std::span(bytes)));
    return bytes;
}

std::span<const std::byte> bytes_of(const std::string& text) {
    return std::as_bytes(std::span(text));
}

// Files cannot grow past `bytes` while one of these lives; running into it is an error, no signal.
class FileSizeLimit {
  public:
    explicit FileSizeLimit(rlim_t bytes) : old_handler_(std::signal(SIGXFSZ, SIG_IGN)) {
        getrlimit(RLIMIT_FSIZE, &old_limit_);
        const rlimit limit{.rlim_cur = bytes, .rlim_max = old_limit_.rlim_max};
        setrlimit(RLIMIT_FSIZE, &limit);
    }
    ~FileSizeLimit() {
        setrlimit(RLIMIT_FSIZE, &old_limit_);
        std::signal(SIGXFSZ, old_handler_);
    }
    FileSizeLimit(const FileSizeLimit&) = delete;
    FileSizeLimit& operator=(const FileSizeLimit&) = delete;

  private:
    void (*old_handler_)(int);
    rlimit old_limit_{};
};

}  // namespace

TEST(SafetensorsFile, FollowsSymlinks) {
    const test::TempDir dir;
    write_bytes(dir / "blob", file_of(named(f32("[1]", "[0,4]")), 4));
    std::filesystem::create_symlink("blob", dir / "model.safetensors");
    EXPECT_EQ(read_all(SafetensorsFile(dir / "model.safetensors"), "wq"), "dddd");
}

TEST(SafetensorsFile, AcceptsTheEdgesOfTheFormat) {
    const test::TempDir dir;
    const std::string path = dir / "good.safetensors";
    const std::string w = f32("[1]", "[0,4]");
    const std::string unsorted = R"({"b":)" + f32("[1]", "[4,8]") + R"(,"a":)" + w + "}";
    const std::string empties = R"({"z":)" + f32("[0]", "[4,4]") + R"(,"a":)" + w + R"(,"y":)" +
                                f32("[3,0]", "[0,0]") + R"(,"x":)" + f32("[0,7]", "[4,4]") + "}";
    const std::vector<std::pair<std::string, size_t>> good = {
        {"{}", 0},
        {R"({"__metadata__":{}})", 0},
        {" \t\r\n" + named(w), 4},
        {named(w) + "    \n", 4},
        {named(f32("[]", "[0,4]")), 4},
        {named(f32("[1,1,1,1,1,1,1,1]", "[0,4]")), 4},
        {named(R"({"data_offsets":[0,4],"shape":[1],"dtype":"F32"})"), 4},
        {R"({"__metadata__":{"format":"pt","":"x"},"wq":)" + w + "}", 4},
        {R"({"wq":)" + w + R"(,"__metadata__":{"late":"yes"}})", 4},
        {R"({"a\u00e9\ud83d\ude00":)" + w + "}", 4},
        {"{\"" + std::string(512, 'n') + "\":" + w + "}", 4},
        {unsorted, 8},
        {empties, 4},
        {named(f32("[0,281474976710656]", "[0,0]")), 0},
        {named(entry(R"("BOOL")", "[4]", "[0,4]")), 4},
        {named(entry(R"("F64")", "[1]", "[0,8]")), 8},
        {named(entry(R"("U64")", "[1]", "[0,8]")), 8},
        {named(entry(R"("I16")", "[1]", "[0,2]")), 2},
    };
    for (const auto& [header, data] : good) {
        SCOPED_TRACE(header);
        write_bytes(path, file_of(header, data));
        EXPECT_NO_THROW(SafetensorsFile file(path));
    }
}

TEST(SafetensorsFile, ReadsShapesOffsetsMetadataAndParts) {
    const test::TempDir dir;
    const std::string path = dir / "m.safetensors";
    const std::string header = R"({"__metadata__":{"k":"v"},"b":)" +
                               entry(R"("U8")", "[2,3]", "[2,8]") + R"(,"a":)" +
                               entry(R"("BF16")", "[]", "[0,2]") + "}";
    write_bytes(path, length_of(header.size()) + header + "01234567");
    const SafetensorsFile file(path);
    EXPECT_EQ(file.metadata().at("k"), "v");
    EXPECT_EQ(file.tensors().at("a").dtype, DType::BF16);
    EXPECT_TRUE(file.tensors().at("a").shape.empty());
    EXPECT_EQ(file.tensors().at("b").shape, (Shape{2, 3}));
    EXPECT_EQ(read_all(file, "a"), "01");
    EXPECT_EQ(read_all(file, "b"), "234567");
    std::string part(2, '\0');
    file.read(file.tensors().at("b"), 3, std::as_writable_bytes(std::span(part)));
    EXPECT_EQ(part, "56");
}

TEST(SafetensorsFile, AFileThatChangesUnderUsIsCorrupt) {
    const test::TempDir dir;
    const std::string path = dir / "m.safetensors";
    write_bytes(path, file_of(named(f32("[100]", "[0,400]")), 400));
    const SafetensorsFile file(path);
    std::filesystem::resize_file(path, 100);
    expect_error(ErrorCode::Corrupt, {path, "ends at byte"}, [&] { read_all(file, "wq"); });
    std::filesystem::resize_file(path, 5000);
    expect_error(ErrorCode::Corrupt, {path, "changed", "5000"}, [&] { read_all(file, "wq"); });
}

TEST(SafetensorsWriter, WhatIsWrittenReadsBack) {
    const test::TempDir dir;
    const std::string path = dir / "m.safetensors";
    SafetensorsWriter writer(path, {{"b", DType::I32, {2, 2}},
                                    {"scalar", DType::F64, {}},
                                    {"a", DType::U8, {3}},
                                    {"empty", DType::F32, {0, 5}}});
    writer.write("scalar", 0, bytes_of("12345678"));
    writer.write("b", 8, bytes_of("ijklmnop"));
    writer.write("a", 0, bytes_of("xyz"));
    writer.write("b", 0, bytes_of("abcdefgh"));
    writer.finish();

    const SafetensorsFile file(path);
    EXPECT_EQ(file.metadata().at("format"), "pt");
    EXPECT_EQ(read_all(file, "a"), "xyz");
    EXPECT_EQ(read_all(file, "b"), "abcdefghijklmnop");
    EXPECT_EQ(read_all(file, "scalar"), "12345678");
    EXPECT_EQ(file.tensors().at("empty").shape, (Shape{0, 5}));
    const int64_t data_start = file.tensors().at("a").offset;
    EXPECT_EQ(data_start % 8, 0);
    EXPECT_EQ(file.tensors().at("b").offset, data_start + 3);
}

TEST(SafetensorsWriter, SameInputSameBytes) {
    const test::TempDir dir;
    const auto write = [&](const std::string& path, std::vector<PlannedTensor> plan) {
        SafetensorsWriter writer(path, plan);
        for (const auto& tensor : plan) writer.write(tensor.name, 0, bytes_of("0123"));
        writer.finish();
        return sha256_of_file(path);
    };
    const PlannedTensor a{"a", DType::F32, {1}};
    const PlannedTensor b{"b \"quoted\"", DType::U8, {4}};
    EXPECT_EQ(write(dir / "1", {a, b}), write(dir / "2", {b, a}));
}

TEST(SafetensorsWriter, UnfinishedFilesDisappear) {
    const test::TempDir dir;
    {
        SafetensorsWriter writer(dir / "m.safetensors", {{"a", DType::U8, {4}}});
        writer.write("a", 0, bytes_of("12"));
    }
    EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
}

TEST(SafetensorsWriter, DoesNotTouchAnExistingFile) {
    const test::TempDir dir;
    write_bytes(dir / "m.safetensors", "precious");
    expect_error(ErrorCode::Io, {dir / "m.safetensors", "exists"},
                 [&] { SafetensorsWriter writer(dir / "m.safetensors", {}); });
    EXPECT_EQ(std::filesystem::file_size(dir / "m.safetensors"), 8u);
}

TEST(SafetensorsWriter, AFullDiskIsAnErrorThatNamesTheFile) {
    const test::TempDir dir;
    const std::string path = dir / "m.safetensors";
    const FileSizeLimit limit(4096);
    expect_error(ErrorCode::Io, {path}, [&] {
        SafetensorsWriter writer(path, {{"a", DType::U8, {100'000}}});
    });
    EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(SafetensorsWriter, ForgettingBytesIsOurBug) {
    const test::TempDir dir;
    SafetensorsWriter writer(dir / "m.safetensors", {{"a", DType::U8, {4}}});
    writer.write("a", 0, bytes_of("12"));
    expect_error(ErrorCode::Internal, {"tensor a: 2 of 4 bytes written"}, [&] { writer.finish(); });
    expect_error(ErrorCode::Internal, {"tensor a"}, [&] { writer.write("a", 3, bytes_of("12")); });
    expect_error(ErrorCode::Internal, {"tensor b is not planned"},
                 [&] { writer.write("b", 0, bytes_of("12")); });
}

}  // namespace quarot::io

#include "io/checkpoint.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <numeric>

#include "core/expect_error.h"
#include "io/json.h"
#include "support/temp_dir.h"
#include "tensor/float_convert.h"

namespace quarot::io {

namespace {

constexpr const char* kSingle = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";

// A file of F32 [2, 2] tensors with values 0, 1, 2, 3.
void write_shard(const std::string& path, const std::vector<std::string>& names) {
    std::vector<PlannedTensor> plan;
    for (const auto& name : names) plan.push_back({name, DType::F32, {2, 2}});
    SafetensorsWriter writer(path, plan);
    const std::vector<float> values = {0, 1, 2, 3};
    for (const auto& name : names) writer.write(name, 0, std::as_bytes(std::span(values)));
    writer.finish();
}

void write_text(const std::string& path, const std::string& text) {
    std::ofstream(path) << text;
}

void write_index(const test::TempDir& dir, const std::string& weight_map,
                 const std::string& metadata = R"({"total_size": 32})") {
    write_text(dir / kIndex,
               R"({"metadata": )" + metadata + R"(, "weight_map": )" + weight_map + "}");
}

// Two shards of one tensor each and an index that tells so.
struct Sharded {
    test::TempDir dir;
    Sharded() {
        write_shard(dir / "model-1.safetensors", {"a"});
        write_shard(dir / "model-2.safetensors", {"b"});
        write_index(dir, R"({"a": "model-1.safetensors", "b": "model-2.safetensors"})");
    }
};

Checkpoint with_tensor(const test::TempDir& dir, DType dtype, const Shape& shape,
                       std::span<const std::byte> data) {
    SafetensorsWriter writer(dir / kSingle, {{"w", dtype, shape}});
    writer.write("w", 0, data);
    writer.finish();
    return Checkpoint::open(dir.path());
}

}  // namespace

TEST(Checkpoint, OpensASingleFile) {
    const test::TempDir dir;
    write_shard(dir / kSingle, {"b", "a"});
    const Checkpoint checkpoint = Checkpoint::open(dir.path());
    EXPECT_EQ(checkpoint.names(), (std::vector<std::string>{"a", "b"}));
    EXPECT_EQ(checkpoint.files(), std::vector<std::string>{dir / kSingle});
    EXPECT_EQ(checkpoint.info("a").shape, (Shape{2, 2}));
    EXPECT_EQ(checkpoint.read("b").as<float>()[3], 3.0f);
}

TEST(Checkpoint, OpensShardsAndKnowsWhereEachTensorStands) {
    const Sharded model;
    const Checkpoint checkpoint = Checkpoint::open(model.dir.path() + "/");
    EXPECT_EQ(checkpoint.names(), (std::vector<std::string>{"a", "b"}));
    EXPECT_EQ(checkpoint.files().size(), 2u);
    EXPECT_EQ(checkpoint.file_of("b"), model.dir.path() + "/model-2.safetensors");
    EXPECT_EQ(checkpoint.read("b").as<float>()[2], 2.0f);
}

TEST(Checkpoint, ReadsASingleFileWhateverShardsLieBesideItAndSaysSo) {
    for (const bool shards_are_there : {true, false}) {
        const Sharded model;
        write_shard(model.dir / kSingle, {"only"});
        if (!shards_are_there) std::filesystem::remove(model.dir / "model-1.safetensors");
        testing::internal::CaptureStderr();
        const Checkpoint checkpoint = Checkpoint::open(model.dir.path());
        const std::string said = testing::internal::GetCapturedStderr();
        EXPECT_EQ(checkpoint.names(), std::vector<std::string>{"only"});
        EXPECT_NE(said.find(kIndex), std::string::npos) << said;
    }
}

TEST(Checkpoint, ReadsShardsRatherThanASingleFileThatIsALinkToNowhere) {
    const Sharded model;
    std::filesystem::create_symlink("gone", model.dir / kSingle);
    EXPECT_EQ(Checkpoint::open(model.dir.path()).names(), (std::vector<std::string>{"a", "b"}));
}

TEST(Checkpoint, LinksToNowhereAreNamedWithTheirTargets) {
    for (const char* name : {kSingle, kIndex}) {
        const test::TempDir dir;
        std::filesystem::create_symlink("../../blobs/12ab", dir / name);
        expect_error(ErrorCode::NotFound, {dir / name, "link to ../../blobs/12ab"},
                     [&] { Checkpoint::open(dir.path()); });
    }
    const Sharded model;
    std::filesystem::remove(model.dir / "model-2.safetensors");
    std::filesystem::create_symlink("../../blobs/34cd", model.dir / "model-2.safetensors");
    expect_error(ErrorCode::NotFound, {model.dir / "model-2.safetensors", "../../blobs/34cd"},
                 [&] { Checkpoint::open(model.dir.path()); });
}

TEST(Checkpoint, AnAdapterBesideAWholeModelIsSaidToBeLeftOut) {
    const test::TempDir dir;
    write_shard(dir / kSingle, {"a"});
    write_text(dir / "adapter_config.json", "{}");
    testing::internal::CaptureStderr();
    Checkpoint::open(dir.path());
    const std::string said = testing::internal::GetCapturedStderr();
    EXPECT_NE(said.find("adapter"), std::string::npos) << said;
}

TEST(Checkpoint, FollowsSymlinkedFiles) {
    const test::TempDir dir;
    std::filesystem::create_directory(dir / "blobs");
    std::filesystem::create_directory(dir / "snapshot");
    write_shard(dir / "blobs/123", {"a"});
    write_text(dir / "blobs/456", R"({"weight_map": {"a": "model-1.safetensors"}})");
    std::filesystem::create_symlink("../blobs/123", dir / "snapshot/model-1.safetensors");
    std::filesystem::create_symlink("../blobs/456", dir / "snapshot/model.safetensors.index.json");
    EXPECT_EQ(Checkpoint::open(dir / "snapshot").names(), std::vector<std::string>{"a"});
}

TEST(Checkpoint, MissingTensorsAreNamed) {
    const Sharded model;
    const Checkpoint checkpoint = Checkpoint::open(model.dir.path());
    expect_error(ErrorCode::Corrupt, {model.dir.path(), "lm_head.weight"},
                 [&] { checkpoint.info("lm_head.weight"); });
    expect_error(ErrorCode::Corrupt, {"lm_head.weight"},
                 [&] { checkpoint.read("lm_head.weight"); });
}

TEST(Checkpoint, FoldersWithoutWeightsAreNotFound) {
    const test::TempDir dir;
    expect_error(ErrorCode::NotFound, {dir.path(), kSingle}, [&] { Checkpoint::open(dir.path()); });
}

TEST(Checkpoint, ShardNamesMustBePlain) {
    for (const char* name :
         {"../model-1.safetensors", "/etc/model.safetensors", "sub/model-1.safetensors",
          "model-1.bin", ".safetensors", "", "model 1.safetensors", "model-1.safetensors\\n",
          "model-1.safetensors\\u0000", "m\\u00f6del.safetensors", "model-1.SAFETENSORS",
          "..\\\\model-1.safetensors"}) {
        SCOPED_TRACE(name);
        const Sharded model;
        write_index(model.dir, R"({"a": ")" + std::string(name) + "\"}");
        expect_error(ErrorCode::Corrupt, {kIndex, "tensor a"},
                     [&] { Checkpoint::open(model.dir.path()); });
    }
}

TEST(Checkpoint, BrokenIndexesAreCorrupt) {
    for (const char* text :
         {"", "[]", "{}", R"({"weight_map": null})", R"({"weight_map": []})",
          R"({"weight_map": {}})", R"({"weight_map": {"a": 1}})", R"({"weight_map": {"a": null}})",
          R"({"weight_map": {"a": "model-1.safetensors", "a": "model-1.safetensors"}})"}) {
        SCOPED_TRACE(text);
        const Sharded model;
        write_text(model.dir / kIndex, text);
        expect_error(ErrorCode::Corrupt, {kIndex}, [&] { Checkpoint::open(model.dir.path()); });
    }
}

TEST(Checkpoint, EachTensorStandsInExactlyTheShardOfTheIndex) {
    const Sharded model;
    const auto expect_corrupt = [&](const std::string& map,
                                    const std::vector<std::string>& mentions) {
        SCOPED_TRACE(map);
        write_index(model.dir, map);
        expect_error(ErrorCode::Corrupt, mentions, [&] { Checkpoint::open(model.dir.path()); });
    };
    expect_corrupt(R"({"a": "model-2.safetensors", "b": "model-1.safetensors"})",
                   {"tensor a", "model-1.safetensors", "model-2.safetensors"});
    expect_corrupt(R"({"a": "model-1.safetensors", "b": "model-2.safetensors",
                       "c": "model-2.safetensors"})",
                   {"tensor c", "model-2.safetensors"});
    write_shard(model.dir / "model-3.safetensors", {"a", "c"});
    expect_corrupt(R"({"a": "model-1.safetensors", "b": "model-2.safetensors",
                       "c": "model-3.safetensors"})",
                   {"tensor a", "model-1.safetensors", "model-3.safetensors"});
    expect_corrupt(R"({"a": "model-3.safetensors"})", {"tensor c", "weight_map"});
}

TEST(Checkpoint, MissingAndBrokenShardsAreNamed) {
    const Sharded model;
    std::filesystem::remove(model.dir / "model-2.safetensors");
    expect_error(ErrorCode::NotFound, {"model-2.safetensors"},
                 [&] { Checkpoint::open(model.dir.path()); });
    write_text(model.dir / "model-2.safetensors", "garbage!");
    expect_error(ErrorCode::Corrupt, {"model-2.safetensors"},
                 [&] { Checkpoint::open(model.dir.path()); });
}

TEST(Checkpoint, RefusesMoreThanTenThousandShards) {
    const test::TempDir dir;
    std::string map = "{";
    for (int i = 0; i < 10'001; ++i) {
        const std::string n = std::to_string(i);
        map += "\"t" + n + "\": \"s" + n + ".safetensors\",";
    }
    map.back() = '}';
    write_index(dir, map);
    expect_error(ErrorCode::Corrupt, {kIndex, "10001 files", "10000"},
                 [&] { Checkpoint::open(dir.path()); });
}

TEST(Checkpoint, AWrongTotalSizeIsAWarning) {
    const Sharded model;
    const std::string map = R"({"a": "model-1.safetensors", "b": "model-2.safetensors"})";
    const auto warning_of = [&](const std::string& metadata) {
        write_index(model.dir, map, metadata);
        testing::internal::CaptureStderr();
        Checkpoint::open(model.dir.path());
        return testing::internal::GetCapturedStderr();
    };
    EXPECT_EQ(warning_of(R"({"total_size": 32})"), "");
    EXPECT_EQ(warning_of(R"({"total_size": 32.0})"), "");
    EXPECT_EQ(warning_of("null"), "");
    EXPECT_NE(warning_of(R"({"total_size": 33})").find("total_size is 33"), std::string::npos);
    EXPECT_NE(warning_of(R"({"total_size": "x"})").find("total_size"), std::string::npos);
}

TEST(Checkpoint, ReadsRowsOfMatricesAndElementsOfVectors) {
    const test::TempDir dir;
    std::vector<int32_t> values(12);
    std::iota(values.begin(), values.end(), 0);
    const Checkpoint checkpoint =
        with_tensor(dir, DType::I32, {4, 3}, std::as_bytes(std::span(values)));
    const Tensor rows = checkpoint.read_rows("w", 1, 2);
    EXPECT_EQ(rows.shape(), (Shape{2, 3}));
    EXPECT_EQ(rows.as<int32_t>()[0], 3);
    EXPECT_EQ(rows.as<int32_t>()[5], 8);
    EXPECT_EQ(checkpoint.read_rows("w", 4, 0).bytes(), 0);

    const test::TempDir vector_dir;
    const Checkpoint vector =
        with_tensor(vector_dir, DType::I32, {12}, std::as_bytes(std::span(values)));
    EXPECT_EQ(vector.read_rows("w", 10, 2).as<int32_t>()[1], 11);
}

TEST(Checkpoint, RowsThatAreNotThereAreAnError) {
    const test::TempDir dir;
    const std::vector<float> values(6);
    const Checkpoint checkpoint =
        with_tensor(dir, DType::F32, {2, 3}, std::as_bytes(std::span(values)));
    const int64_t huge = std::numeric_limits<int64_t>::max();
    for (const auto& [first, n] : std::vector<std::pair<int64_t, int64_t>>{
             {0, 3}, {2, 1}, {-1, 1}, {0, -1}, {1, huge}, {huge, huge}}) {
        expect_error(ErrorCode::Corrupt, {kSingle, "tensor w", "[2,3]"},
                     [&] { checkpoint.read_rows("w", first, n); });
    }
    const test::TempDir scalar_dir;
    const Checkpoint scalar =
        with_tensor(scalar_dir, DType::F32, {}, std::as_bytes(std::span(values).first(1)));
    expect_error(ErrorCode::Corrupt, {"[]"}, [&] { scalar.read_rows("w", 0, 1); });
}

TEST(ReadFiniteRows, WidensEveryFloatFormat) {
    const std::vector<float> values = {1.5f, -2.0f, 0.0f, 0.25f};
    for (const DType dtype : {DType::F32, DType::F16, DType::BF16}) {
        const test::TempDir dir;
        std::vector<std::byte> stored(values.size() * static_cast<size_t>(size_of(dtype)));
        narrow(dtype, values, stored.data());
        const Checkpoint checkpoint = with_tensor(dir, dtype, {2, 2}, stored);
        const Tensor rows = read_finite_rows(checkpoint, "w", 1, 1);
        EXPECT_EQ(rows.dtype(), DType::F32);
        EXPECT_EQ(rows.shape(), (Shape{1, 2}));
        EXPECT_EQ(rows.as<float>()[1], 0.25f);
    }
}

TEST(ReadFiniteRows, NamesTheFirstValueThatIsNotFinite) {
    const float inf = std::numeric_limits<float>::infinity();
    for (const auto& [bad, text] : std::vector<std::pair<float, std::string>>{
             {std::nanf(""), "nan"}, {inf, "inf"}, {-inf, "-inf"}}) {
        for (const DType dtype : {DType::F32, DType::F16, DType::BF16}) {
            SCOPED_TRACE(text);
            const test::TempDir dir;
            std::vector<float> values(5 * 7, 1.0f);
            values[3 * 7 + 4] = bad;
            std::vector<std::byte> stored(values.size() * static_cast<size_t>(size_of(dtype)));
            narrow(dtype, values, stored.data());
            const Checkpoint checkpoint = with_tensor(dir, dtype, {5, 7}, stored);
            EXPECT_NO_THROW(read_finite_rows(checkpoint, "w", 0, 3));
            expect_error(ErrorCode::Corrupt, {kSingle, "tensor w", text, "row 3, column 4"},
                         [&] { read_finite_rows(checkpoint, "w", 2, 3); });
        }
    }
}

TEST(ReadFiniteRows, OnlyFloatsAreWeights) {
    const test::TempDir dir;
    const std::vector<int64_t> values = {1, 2};
    const Checkpoint checkpoint =
        with_tensor(dir, DType::I64, {1, 2}, std::as_bytes(std::span(values)));
    expect_error(ErrorCode::Unsupported, {"tensor w", "I64"},
                 [&] { read_finite_rows(checkpoint, "w", 0, 1); });
}

}  // namespace quarot::io

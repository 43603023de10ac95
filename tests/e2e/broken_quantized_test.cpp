// Quantized folders that somebody broke after they were made.
#include <filesystem>
#include <functional>
#include <limits>

#include "e2e/broken_model.h"
#include "e2e/expectations.h"
#include "e2e/model_surgery.h"
#include "e2e/program.h"

namespace quarot::test {
namespace {

const std::string kQ = "model.layers.0.self_attn.q_proj";

// The one file of tensors; its name is the program's choice.
std::string weights_file(const std::string& folder) {
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        if (entry.path().extension() == ".safetensors") return entry.path().string();
    }
    return folder + "/no.safetensors";
}

Damage recipe(std::function<void(io::Json&)> change) {
    return [=](const std::string& folder) {
        edit_json(folder + "/config.json", [&](io::Json& json) {
            io::Json recipe = json.at("quantization_config");
            change(recipe);
            json.set("quantization_config", recipe);
        });
    };
}

std::function<void(io::Json&)> nested(const std::string& section, const std::string& key,
                                      const io::Json& value) {
    return [=](io::Json& recipe) {
        io::Json changed = recipe.at(section);
        changed.set(key, value);
        recipe.set(section, changed);
    };
}

Damage scale(float value) {
    return [=](const std::string& folder) {
        overwrite_tensor(weights_file(folder), kQ + ".weight_scale", 4,
                         {reinterpret_cast<const char*>(&value), sizeof(value)});
    };
}

Damage renamed(const std::string& from, const std::string& to) {
    return [=](const std::string& folder) {
        edit_header(weights_file(folder), [&](io::Json& header) {
            for (auto& [name, entry] : header.as_object()) {
                if (name == from) name = to;
            }
        });
    };
}

Damage entry(const std::string& tensor, const std::string& key, const io::Json& value) {
    return [=](const std::string& folder) {
        edit_header(weights_file(folder), [&](io::Json& header) {
            io::Json changed = header.at(tensor);
            changed.set(key, value);
            header.set(tensor, changed);
        });
    };
}

const std::vector<BrokenModel> kFolders = {
    {"ScaleNan", scale(std::numeric_limits<float>::quiet_NaN()), kCorrupt, {kQ}},
    {"ScaleZero", scale(0.0f), kCorrupt, {kQ}},
    {"ScaleNegative", scale(-1.0f), kCorrupt, {kQ}},
    {"CodesMissing",
     renamed(kQ + ".weight_packed", kQ + ".weight_pakced"),
     kCorrupt,
     {kQ + ".weight_packed"}},
    {"ScalesMissing",
     renamed(kQ + ".weight_scale", kQ + ".weight_skale"),
     kCorrupt,
     {kQ + ".weight_scale"}},
    {"CodesOfTheWrongShape",
     entry(kQ + ".weight_packed", "shape", io::Json::Array{16, 8}),
     kCorrupt,
     {kQ + ".weight_packed"}},
    {"CodesOfTheWrongType",
     entry(kQ + ".weight_packed", "dtype", "F32"),
     kCorrupt,
     {kQ + ".weight_packed"}},
    {"ShapeTensorLies",
     [](const std::string& folder) {
         overwrite_tensor(weights_file(folder), kQ + ".weight_shape", 0, "\x7f");
     },
     kCorrupt,
     {kQ + ".weight_shape"}},
    {"OneCodeFlipped",
     [](const std::string& folder) {
         const std::string file = weights_file(folder);
         overwrite_tensor(file, kQ + ".weight_packed", 0, "\x12\x34\x56\x78\x12\x34\x56\x78");
     },
     kCorrupt,
     {kQ + ".weight_packed"}},
    {"RecipeOfANewerProgram",
     recipe([](io::Json& r) { r.set("format_version", 99); }),
     kUnsupported,
     {"format_version", "99"}},
    {"RecipeWithNineBits", recipe(nested("weights", "bits", 9)), kCorrupt, {"weights.bits", "9"}},
    {"RecipeWithOtherBitsThanTheCodes",
     recipe(nested("weights", "bits", 8)),
     kCorrupt,
     {"weight_packed"}},
    {"RecipeWithoutRotation",
     recipe([](io::Json& r) { r.set("rotation", io::Json()); }),
     kCorrupt,
     {"rotation"}},
    {"RecipeWithAnUnknownRotation",
     recipe(nested("rotation", "residual", "spin")),
     kCorrupt,
     {"residual", "spin"}},
    {"RecipeWithAClipOfTwo", recipe(nested("k", "clip", 2.0)), kCorrupt, {"k.clip"}},
    {"WeightGroupsThatDoNotDivide",
     recipe(nested("weights", "group_size", 20)),
     kCorrupt,
     {"weights.group_size 20", "32 inputs"}},
    {"WeightGroupsWiderThanTheInputs",
     recipe(nested("weights", "group_size", 1 << 20)),
     kCorrupt,
     {"weights.group_size", "32 inputs"}},
    {"ActivationGroupsThatDoNotDivide",
     recipe(nested("activations", "group_size", 20)),
     kCorrupt,
     {"activations.group_size 20", "32 inputs"}},
    {"ActivationGroupsWiderThanTheInputs",
     recipe(nested("activations", "group_size", 1 << 20)),
     kCorrupt,
     {"activations.group_size", "32 inputs"}},
};

class BrokenQuantizedTest : public testing::TestWithParam<BrokenModel> {};

TEST_P(BrokenQuantizedTest, IsRefusedByLogits) {
    const TempDir dir;
    write_tiny_model(dir / "model");
    expect_success(run_program({"quantize", dir / "model", dir / "w4", "--recipe", "quarot-rtn"}));
    GetParam().damage(dir / "w4");
    const std::vector<std::string> before = listing(dir.path());
    expect_failure(
        run_program({"logits", dir / "w4", "--ids", "1,2", "--out", dir / "out", "--json"}),
        GetParam().exit_code, GetParam().words);
    EXPECT_EQ(listing(dir.path()), before);
}

INSTANTIATE_TEST_SUITE_P(Folders, BrokenQuantizedTest, testing::ValuesIn(kFolders), case_name);

// ---- folders with columns kept apart

const std::string kK = "model.layers.0.self_attn.k_proj";

// Bytes of a tensor, in a folder whose digests are gone, so that it is its values that must tell.
Damage bytes_at(const std::string& tensor, int64_t offset, const std::string& bytes) {
    return [=](const std::string& folder) {
        remove_file(folder + "/quarot.json");
        overwrite_tensor(weights_file(folder), tensor, offset, bytes);
    };
}

std::string column(int32_t index) {
    return {reinterpret_cast<const char*>(&index), sizeof(index)};
}

// The same column twice, whatever the order is.
Damage second_column_is_the_first() {
    return [](const std::string& folder) {
        bytes_at(kQ + ".column_order", 0, column(3) + column(3))(folder);
    };
}

// The order of k backwards, which is a permutation too.
Damage another_order_for_k() {
    return [](const std::string& folder) {
        std::string order;
        for (int32_t i = 32; i-- > 0;) order += column(i);
        bytes_at(kK + ".column_order", 0, order)(folder);
    };
}

const std::vector<BrokenModel> kFoldersWithOutliers = {
    {"ColumnTwice", second_column_is_the_first(), kCorrupt, {kQ + ".column_order", "3"}},
    {"ColumnBeyondTheInputs",
     bytes_at(kQ + ".column_order", 20, column(32)),
     kCorrupt,
     {kQ + ".column_order", "32", "31"}},
    {"ColumnNegative",
     bytes_at(kQ + ".column_order", 124, column(-1)),
     kCorrupt,
     {kQ + ".column_order", "-1"}},
    {"ColumnHuge",
     bytes_at(kQ + ".column_order", 0, column(std::numeric_limits<int32_t>::max())),
     kCorrupt,
     {kQ + ".column_order", "2147483647"}},
    {"OrdersOfOnePlaceDiffer", another_order_for_k(), kCorrupt, {kQ, kK, "column_order"}},
    {"OrderFlippedUnderItsDigest",
     [](const std::string& folder) {
         overwrite_tensor(weights_file(folder), kQ + ".column_order", 0, column(99));
     },
     kCorrupt,
     {kQ + ".column_order"}},
    {"OrderMissing",
     renamed(kQ + ".column_order", kQ + ".column_ordr"),
     kCorrupt,
     {kQ + ".column_order"}},
    {"OrderOfTheWrongShape",
     entry(kQ + ".column_order", "shape", io::Json::Array{8, 4}),
     kCorrupt,
     {kQ + ".column_order"}},
    {"OrderOfTheWrongType",
     entry(kQ + ".column_order", "dtype", "F32"),
     kCorrupt,
     {kQ + ".column_order"}},
    {"OutlierNan",
     bytes_at(kQ + ".outlier.weight", 2, std::string("\x00\x7e", 2)),
     kCorrupt,
     {kQ + ".outlier.weight"}},
    {"OutliersMissing",
     renamed(kQ + ".outlier.weight", kQ + ".outlier.wait"),
     kCorrupt,
     {kQ + ".outlier.weight"}},
    {"OutliersOfTheWrongType",
     entry(kQ + ".outlier.weight", "dtype", "BF16"),
     kCorrupt,
     {kQ + ".outlier.weight"}},
    {"ShareOfOutliersOverAHalf",
     recipe(nested("outliers", "share", 0.51)),
     kCorrupt,
     {"outliers.share"}},
    {"ShareOfOutliersNegative",
     recipe(nested("outliers", "share", -0.25)),
     kCorrupt,
     {"outliers.share"}},
    {"OtherShareThanTheTensors",
     recipe(nested("outliers", "share", 0.25)),
     kCorrupt,
     {"model.layers.0"}},
    {"OutliersOfNineBits", recipe(nested("outliers", "bits", 9)), kCorrupt, {"outliers.bits", "9"}},
    {"OutliersOfOtherBitsThanTheTensors",
     recipe(nested("outliers", "bits", 8)),
     kCorrupt,
     {"outlier.weight_packed"}},
    {"GroupsThatLeaveNoColumn",
     recipe(nested("weights", "group_size", 1 << 20)),
     kCorrupt,
     {"apart"}},
    {"MeasureUnknown",
     recipe(nested("outliers", "measure", "luck")),
     kCorrupt,
     {"measure", "luck"}},
};

class BrokenOutliersTest : public testing::TestWithParam<BrokenModel> {};

TEST_P(BrokenOutliersTest, IsRefusedByLogits) {
    const TempDir dir;
    write_tiny_model(dir / "model");
    write_bytes(dir / "text", std::string(200, 'a') + "It was the best of times.");
    expect_success(run_program({"quantize", dir / "model", dir / "w4", "--recipe", "quik-4b",
                                "--calib", dir / "text", "--nsamples", "2", "--seqlen", "64"}));
    GetParam().damage(dir / "w4");
    expect_failure(
        run_program({"logits", dir / "w4", "--ids", "1,2", "--out", dir / "out", "--json"}),
        GetParam().exit_code, GetParam().words);
}

INSTANTIATE_TEST_SUITE_P(Folders, BrokenOutliersTest, testing::ValuesIn(kFoldersWithOutliers),
                         case_name);

TEST(QuantizedFolder, IsNotQuantizedAgain) {
    const TempDir dir;
    write_tiny_model(dir / "model");
    expect_success(run_program({"quantize", dir / "model", dir / "w4", "--recipe", "quarot-rtn"}));
    expect_failure(run_program({"quantize", dir / "w4", dir / "again", "--recipe", "quarot-rtn"}),
                   kUnsupported, {"w4"});
    EXPECT_FALSE(std::filesystem::exists(dir / "again"));
}

}  // namespace
}  // namespace quarot::test

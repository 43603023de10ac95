#include "reproduce/run_keys.h"

#include <gtest/gtest.h>

#include <fstream>

#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace quarot::reproduce {
namespace {

class RunKeys : public testing::Test {
  protected:
    void SetUp() override { test::write_tiny_model(dir / "model"); }

    io::Json identity(const std::vector<int32_t>& ids, int64_t seqlen = 16) const {
        const folder::SourceModel source = folder::SourceModel::open(dir / "model");
        return run_identity(source, {.ids = ids, .seqlen = seqlen, .backend = "cpu"});
    }

    const test::TempDir dir;
};

TEST_F(RunKeys, TellModelTextAndWindowsApart) {
    const std::string same = identity({1, 2, 3}).dump();
    EXPECT_EQ(identity({1, 2, 3}).dump(), same);
    EXPECT_NE(identity({1, 2, 4}).dump(), same);
    EXPECT_NE(identity({1, 2, 3}, 32).dump(), same);
    test::TinyModelOptions other;
    other.seed = 2;
    test::TempDir elsewhere;
    test::write_tiny_model(elsewhere / "model", other);
    const folder::SourceModel source = folder::SourceModel::open(elsewhere / "model");
    const std::vector<int32_t> ids = {1, 2, 3};
    EXPECT_NE(run_identity(source, {.ids = ids, .seqlen = 16, .backend = "cpu"}).dump(), same);
}

TEST_F(RunKeys, RecipesThatDifferInNameAloneAreOneMeasurement) {
    const io::Json run = identity({1, 2, 3});
    EXPECT_EQ(measurement_key(run, named_recipe("k4v4"), ""),
              measurement_key(run, named_recipe("kv4-clip95"), ""));
    EXPECT_NE(measurement_key(run, named_recipe("k4v4"), ""),
              measurement_key(run, named_recipe("kv4-clip90"), ""));
    EXPECT_NE(measurement_key(run, named_recipe("k4v4"), ""),
              measurement_key(run, named_recipe("k4v4"), "", true));
}

TEST_F(RunKeys, UncalibratedRecipesShareWeightsWhateverActivationsAndCacheAre) {
    const io::Json run = identity({1, 2, 3});
    const auto key = [&](const Recipe& recipe) { return weights_key(run, recipe, ""); };
    EXPECT_EQ(key(named_recipe("k4v2")), key(named_recipe("a4-clip85")));
    Recipe wider = named_recipe("quarot-rtn");
    wider.activations.bits = 8;
    wider.activations.clip = 1.0f;
    EXPECT_EQ(key(named_recipe("quarot-rtn")), key(wider));
    Recipe small = named_recipe("w4a8kv4");
    small.weights.method = "rtn";
    EXPECT_NE(key(wider), key(small)) << "head and embedding have 8 bits";
    EXPECT_NE(key(named_recipe("quarot-rtn")), key(named_recipe("w8a8kv8")));
    EXPECT_NE(key(named_recipe("quarot-rtn")), key(named_recipe("rtn")));
    Recipe half = named_recipe("quarot-rtn");
    half.rotation.online_dtype = DType::F16;
    EXPECT_NE(key(half), key(named_recipe("quarot-rtn")))
        << "not to be changed at run time, so not to be shared";
}

TEST_F(RunKeys, CalibrationCountsOnlyWhereItIsRead) {
    const std::string digest = calibration_digest({{1, 2}, {3, 4}});
    EXPECT_EQ(digest, calibration_digest({{1, 2}, {3, 4}}));
    EXPECT_NE(digest, calibration_digest({{1, 2}, {3, 5}}));
    EXPECT_EQ(calibration_digest({}), "");
    const io::Json run = identity({1, 2, 3});
    Recipe rounded = named_recipe("quarot-rtn");
    const std::string key = measurement_key(run, rounded, digest);
    rounded.calibration.n_samples = 3;
    EXPECT_EQ(measurement_key(run, rounded, "other"), key);
    Recipe calibrated = named_recipe("quarot");
    EXPECT_NE(measurement_key(run, calibrated, digest), measurement_key(run, calibrated, "other"));
    EXPECT_NE(weights_key(run, calibrated, digest), weights_key(run, calibrated, "other"));
}

}  // namespace
}  // namespace quarot::reproduce

// Are `after` the weights that a rotated folder stores, and their errors those that quantize tells?
#include "stats/weight_statistics.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/expect_error.h"
#include "folder/stored_names.h"
#include "quantize/folder_fixture_for_tests.h"

namespace quarot::stats {
namespace {

using WeightStatistics = quantize::FolderTest;

std::vector<WeightReport> measure(const std::string& folder, const Recipe& recipe,
                                  int n_threads = 1) {
    ThreadPool pool(n_threads);
    const folder::SourceModel source = folder::SourceModel::open(folder);
    const auto rotation = rotation_of(source, recipe);
    return measure_weights(source, {0, 1}, recipe, rotation ? &*rotation : nullptr, pool);
}

// Of the columns of [rows, n].
void expect_extremes(const Bands& bands, const std::vector<float>& weight) {
    const size_t n = bands.min.size();
    for (size_t c = 0; c < n; ++c) {
        float min = weight[c], max = weight[c];
        for (size_t at = c; at < weight.size(); at += n) {
            min = std::min(min, weight[at]);
            max = std::max(max, weight[at]);
        }
        EXPECT_EQ(bands.min[c], min);
        EXPECT_EQ(bands.max[c], max);
    }
}

TEST_F(WeightStatistics, StagesAreTheWeightsOfBothFolders) {
    write({.seed = 2});
    const Recipe recipe = quantize::rotated_only();
    quantize::quantize_model(in, out, quantize::with_recipe(recipe));
    const auto reports = measure(in, recipe);
    ASSERT_EQ(reports.size(), 14u);
    for (const WeightReport& report : reports) {
        const std::string name = folder::linear_name(report.id) + ".weight";
        expect_extremes(report.before->bands, quantize::tensor_of(in, name));
        expect_extremes(report.after->bands, quantize::tensor_of(out, name));
        EXPECT_EQ(report.before->n_rows, report.n_rows);
        EXPECT_FALSE(report.after->sqnr_db.has_value()) << "16 bits";
    }
    const auto of_rotated = measure(out, recipe);
    for (size_t i = 0; i < reports.size(); ++i) {
        EXPECT_FALSE(of_rotated[i].before.has_value());
        EXPECT_EQ(of_rotated[i].after->bands.p75, reports[i].after->bands.p75);
    }
}

TEST_F(WeightStatistics, NoiseIsWhatQuantizingTells) {
    write({.seed = 3});
    const Recipe rotated = named_recipe("quarot-rtn"), plain = named_recipe("rtn");
    const auto of_rotated =
        quantize::quantize_model(in, out + "1", quantize::with_recipe(rotated)).layers;
    const auto of_plain =
        quantize::quantize_model(in, out + "2", quantize::with_recipe(plain)).layers;
    const auto reports = measure(in, rotated, 2);
    ASSERT_EQ(reports.size(), 14u);  // quantize tells of the head, too
    for (size_t i = 0; i < reports.size(); ++i) {
        ASSERT_EQ(of_rotated[i].name, folder::linear_name(reports[i].id));
        EXPECT_EQ(reports[i].bits, 4);
        EXPECT_NEAR(*reports[i].after->sqnr_db, -20 * std::log10(of_rotated[i].relative_error),
                    1e-9);
        EXPECT_NEAR(*reports[i].before->sqnr_db, -20 * std::log10(of_plain[i].relative_error),
                    1e-9);
    }
}

TEST_F(WeightStatistics, CodesAreRefusedByName) {
    write({.seed = 4});
    const Recipe recipe = named_recipe("quarot-rtn");
    quantize::quantize_model(in, out, quantize::with_recipe(recipe));
    try {
        measure(out, recipe);
        FAIL() << "expected an error";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::Unsupported);
        EXPECT_NE(std::string(error.what()).find("q_proj of layer 0"), std::string::npos);
    }
}

TEST_F(WeightStatistics, CodesAreFoundBeforeAnythingIsMeasured) {
    write({.seed = 4});
    quantize::quantize_model(in, out, quantize::with_recipe(named_recipe("quarot-rtn")));
    const auto found = first_of_codes(folder::SourceModel::open(out), {1});
    ASSERT_TRUE(found.has_value());
    EXPECT_EQ(found->layer, 1);
    EXPECT_FALSE(first_of_codes(folder::SourceModel::open(in), {0, 1}).has_value());
}

}  // namespace
}  // namespace quarot::stats

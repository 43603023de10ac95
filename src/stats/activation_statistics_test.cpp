// Are `before` the activations of the network as it is, and `after` those that the rotated model
// itself has?
#include "stats/activation_statistics.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "kernels/backend.h"
#include "linalg/orthogonal.h"
#include "quantize/folder_fixture_for_tests.h"
#include "quantize/residual_matrix.h"
#include "support/plain_network.h"
#include "tensor/affine.h"

namespace quarot::stats {
namespace {

constexpr double kRounding = 2e-5;  // of the largest value: activations are fp32

// 12 = 4 * 3 heads' and 48 = 12 * 4 ffn columns: mixers with a dense factor that is not symmetric.
test::TinyModelOptions options_of(uint32_t seed) {
    return {.ffn = 48, .attention_bias = true, .mlp_bias = true, .seed = seed};
}

std::vector<int32_t> token_ids(int32_t n) {
    std::vector<int32_t> ids;
    for (int32_t i = 0; i < n; ++i) ids.push_back((i * i * 5 + 3 * i) % 250);
    return ids;
}

Selection everything() {
    Selection selection = {.layers = {0, 1}, .points = {}};
    for (const PointRule& rule : point_rules()) selection.points.push_back(rule.point);
    return selection;
}

class ActivationStatistics : public quantize::FolderTest {
  protected:
    std::vector<PointReport> measure(const std::string& folder, const Recipe& recipe,
                                     int n_threads = 1, std::vector<double> r1 = {}) const {
        const folder::SourceModel source = folder::SourceModel::open(folder);
        const auto rotation = rotation_of(source, recipe, std::move(r1));
        const auto backend = kernels::make_backend("cpu", {.n_threads = n_threads, .isa = {}});
        return measure_activations(source,
                                   {.selection = everything(),
                                    .recipe = source.is_quantized() ? source.recipe() : recipe,
                                    .rotation = rotation ? &*rotation : nullptr,
                                    .ids = ids_,
                                    .window = 20,
                                    .n_threads = n_threads},
                                   *backend);
    }

    const std::vector<int32_t> ids_ = token_ids(50);  // windows of 20, 20 and 10
};

void expect_near(const std::vector<float>& found, const std::vector<float>& expected) {
    ASSERT_EQ(found.size(), expected.size());
    double largest = 0.0;
    for (const float x : expected) largest = std::max(largest, std::fabs(double{x}));
    for (size_t i = 0; i < found.size(); ++i) {
        EXPECT_NEAR(found[i], expected[i], kRounding * largest) << i;
    }
}

TEST_F(ActivationStatistics, BeforeIsWhatLinearsRead) {
    const test::TinyModelOptions options = options_of(7);
    const test::TinyModel tiny = test::make_tiny_model(options);
    test::write_model(tiny, in);
    const auto reports = measure(in, named_recipe("quarot-rtn"));
    ASSERT_EQ(reports.size(), 12u);
    for (const PointReport& report : reports) {
        const auto site = rule_of(report.point).site;
        if (!site) continue;
        std::vector<double> values;  // of all windows
        for (size_t first = 0; first < ids_.size(); first += 20) {
            const auto window = std::span(ids_).subspan(first, std::min<size_t>(20, 50 - first));
            const test::PlainRun run = test::run_plain(tiny, options, window);
            const auto& x =
                run.layers[static_cast<size_t>(report.layer)][static_cast<size_t>(*site)];
            values.insert(values.end(), x.begin(), x.end());
        }
        const auto n = static_cast<size_t>(report.n_channels);
        ASSERT_EQ(values.size(), 50 * n);
        std::vector<float> min(n, 1e9f), max(n, -1e9f);
        double squares = 0.0, error = 0.0;
        for (size_t row = 0; row < 50; ++row) {
            double row_max = 0.0;
            for (size_t c = 0; c < n; ++c) {
                const auto x = static_cast<float>(values[row * n + c]);
                min[c] = std::min(min[c], x);
                max[c] = std::max(max[c], x);
                row_max = std::max(row_max, std::fabs(double{x}));
            }
            const Affine affine = symmetric_affine(static_cast<float>(row_max) * 0.9f, 4);
            for (size_t c = 0; c < n; ++c) {
                const double x = values[row * n + c];
                const int32_t q = quantize_symmetric(static_cast<float>(x), affine.scale, 4);
                squares += x * x;
                error += std::pow(x - double{affine.scale} * q, 2);
            }
        }
        ASSERT_TRUE(report.before.has_value());
        expect_near(report.before->bands.min, min);
        expect_near(report.before->bands.max, max);
        EXPECT_EQ(report.before->n_rows, 50);
        EXPECT_EQ(report.bits, 4);
        // Single values next to a tie may round otherwise.
        EXPECT_NEAR(*report.before->sqnr_db, 10 * std::log10(squares / error), 0.05);
    }
}

void expect_equal_summaries(const PointReport& ours, const PointReport& rotated) {
    SCOPED_TRACE(std::string(rule_of(ours.point).name));
    ASSERT_TRUE(ours.after.has_value());
    ASSERT_TRUE(rotated.after.has_value());
    EXPECT_FALSE(rotated.before.has_value());
    expect_near(ours.after->bands.min, rotated.after->bands.min);
    expect_near(ours.after->bands.max, rotated.after->bands.max);
    EXPECT_NEAR(*ours.after->kurtosis, *rotated.after->kurtosis, 1e-3);
    EXPECT_NEAR(ours.after->peak_ratio.mean, rotated.after->peak_ratio.mean, 1e-3);
}

TEST_F(ActivationStatistics, AfterIsWhatTheRotatedModelReads) {
    write(options_of(9));
    for (const ResidualRotation kind : {ResidualRotation::Hadamard, ResidualRotation::Random}) {
        Recipe recipe = quantize::rotated_only();
        recipe.rotation.residual = kind;
        recipe.rotation.seed = 3;
        const std::string folder = out + std::to_string(static_cast<int>(kind));
        quantize::quantize_model(in, folder, quantize::with_recipe(recipe));
        const auto ours = measure(in, recipe), rotated = measure(folder, recipe);
        ASSERT_EQ(ours.size(), rotated.size());
        for (size_t i = 0; i < ours.size(); ++i) expect_equal_summaries(ours[i], rotated[i]);
    }
}

TEST_F(ActivationStatistics, AForeignR1IsTheOneThatQuantizeFolds) {
    write(options_of(11));
    Recipe recipe = quantize::rotated_only();
    const std::vector<double> r1 = linalg::random_orthogonal(32, 5);
    quantize::use_as_residual({.sha256 = std::string(64, 'a'), .q = r1}, recipe);
    auto options = quantize::with_recipe(recipe);
    options.residual = r1;
    quantize::quantize_model(in, out, options);
    const auto ours = measure(in, recipe, 1, r1), rotated = measure(out, recipe);
    ASSERT_EQ(ours.size(), rotated.size());
    for (size_t i = 0; i < ours.size(); ++i) expect_equal_summaries(ours[i], rotated[i]);
}

TEST_F(ActivationStatistics, TheCacheIsRoundedInItsOwnFormat) {
    write(options_of(4));
    Recipe recipe = named_recipe("quarot-rtn");
    recipe.k.bits = 2;
    recipe.v.bits = 8;
    recipe.v.clip = 1.0f;
    for (const PointReport& report : measure(in, recipe)) {
        if (report.point == Point::Key) {
            EXPECT_EQ(report.bits, 2);
            EXPECT_LT(*report.after->sqnr_db, 12.0);
        }
        if (report.point == Point::Value) {
            EXPECT_EQ(report.bits, 8);
            EXPECT_GT(*report.after->sqnr_db, 30.0);
        }
    }
    recipe.k.bits = 16;
    for (const PointReport& report : measure(in, recipe)) {
        EXPECT_EQ(report.after->sqnr_db.has_value(), report.point != Point::Key);
    }
}

TEST_F(ActivationStatistics, ThreadsChangeNothing) {
    write(options_of(5));
    const auto one = measure(in, named_recipe("quarot-rtn"), 1);
    const auto three = measure(in, named_recipe("quarot-rtn"), 3);
    for (size_t i = 0; i < one.size(); ++i) {
        EXPECT_EQ(*one[i].after->kurtosis, *three[i].after->kurtosis);
        EXPECT_EQ(*one[i].after->sqnr_db, *three[i].after->sqnr_db);
        EXPECT_EQ(one[i].after->bands.p99, three[i].after->bands.p99);
    }
}

TEST_F(ActivationStatistics, RecipesThatDoMoreThanRotateAreRefused) {
    write(options_of(6));
    EXPECT_THROW(measure(in, named_recipe("smoothquant")), Error);
    EXPECT_THROW(measure(in, named_recipe("quik-4b")), Error);
    for (const PointReport& report : measure(in, named_recipe("rtn"))) {
        EXPECT_TRUE(report.before.has_value());
        EXPECT_FALSE(report.after.has_value()) << "nothing is rotated";
    }
}

}  // namespace
}  // namespace quarot::stats

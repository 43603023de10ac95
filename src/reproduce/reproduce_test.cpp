#include "reproduce/reproduce.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <set>

#include "eval/perplexity.h"
#include "folder/load_weights.h"
#include "kernels/backend.h"
#include "model/weights.h"
#include "quantize/quantize_model.h"
#include "reproduce/run_keys.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace quarot::reproduce {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kSeqlen = 16;

class MeasureRows : public testing::Test {
  protected:
    void SetUp() override {
        test::write_tiny_model(model);
        for (int32_t i = 0; i < 3 * kSeqlen; ++i) ids.push_back((i * i * 7 + 3 * i) % 256);
        settings.model = model;
        settings.ids = ids;
        settings.seqlen = kSeqlen;
    }

    io::Json identity() const {
        const folder::SourceModel source = folder::SourceModel::open(model);
        return run_identity(source, {.ids = ids, .seqlen = kSeqlen, .backend = "cpu"});
    }

    std::vector<PlannedRow> plan(const std::vector<int>& tables) const {
        return plan_rows({.tables = tables}, folder::SourceModel::open(model).config());
    }

    Results measure(const std::vector<PlannedRow>& rows) {
        const RunFolder folder(dir / "out", identity(), false);
        return measure_rows(rows, identity(), settings, folder, *backend);
    }

    // What two separate commands give.
    double alone(const Recipe& recipe) {
        std::string folder = model;
        if (recipe.name != "none") {
            folder = dir / "alone";
            quantize::QuantizeOptions options;
            options.recipe = recipe;
            options.overwrite = true;
            quantize::quantize_model(model, folder, options);
        }
        const folder::SourceModel source = folder::SourceModel::open(folder);
        const model::Weights weights = folder::load_weights(source, {}, kSeqlen, *backend);
        runtime::Engine engine(weights, *backend, {.context = kSeqlen});
        return eval::perplexity(engine, nullptr, ids, {.seqlen = kSeqlen}).perplexity;
    }

    std::set<std::string> names_in(const std::string& folder) const {
        std::set<std::string> names;
        for (const auto& entry : fs::directory_iterator(dir / folder)) {
            names.insert(entry.path().filename().string());
        }
        return names;
    }

    const test::TempDir dir;
    const std::string model = dir / "model";
    std::vector<int32_t> ids;
    RunnerSettings settings;
    std::unique_ptr<kernels::Backend> backend = kernels::make_backend("cpu", {});
};

TEST_F(MeasureRows, EveryRowEqualsSeparateQuantizeAndPerplexity) {
    const Results results = measure(plan({3, 5, 6}));
    ASSERT_EQ(results.rows.size(), 21u);
    for (const MeasuredRow& row : results.rows) {
        SCOPED_TRACE(row.plan.paper.row);
        ASSERT_TRUE(row.perplexity()) << row.reason();
        EXPECT_EQ(*row.perplexity(), alone(*row.plan.recipe));
        EXPECT_EQ(row.measurement->windows(), 3);
    }
    EXPECT_EQ(results.full_precision.perplexity, results.rows.front().perplexity());
}

TEST_F(MeasureRows, CountsBitsAndTimeOfEachRow) {
    const Results results = measure(plan({3}));
    const Measurement& four = *results.rows[1].measurement;
    EXPECT_GT(four.bits_per_weight, 4.0);
    EXPECT_LT(four.bits_per_weight, 6.0);
    EXPECT_GT(four.quantize_seconds, 0.0);
    EXPECT_GT(four.perplexity_seconds, 0.0);
    EXPECT_EQ(results.full_precision.bits_per_weight, 16.0);
    EXPECT_EQ(results.full_precision.bits_per_kv, 16.0);
    EXPECT_EQ(results.full_precision.quantize_seconds, 0.0);
}

TEST_F(MeasureRows, LeavesNoWeightsBehindAndOneFileForEachDistinctRecipe) {
    measure(plan({5, 6}));
    EXPECT_TRUE(names_in("out/models").empty());
    // Full precision, and 4 + 4 clips + 9 widths of which one is the same as a clip's.
    EXPECT_EQ(names_in("out/rows").size(), 1u + 8u + 9u - 1u);
}

TEST_F(MeasureRows, TakesFinishedRowsFromTheFolder) {
    const Results first = measure(plan({3}));
    settings.model = dir / "gone";  // nothing is left to be opened
    const Results second = measure(plan({3}));
    ASSERT_EQ(second.rows.size(), first.rows.size());
    for (size_t i = 0; i < first.rows.size(); ++i) {
        EXPECT_EQ(to_json(*second.rows[i].measurement).dump(),
                  to_json(*first.rows[i].measurement).dump());
    }
}

TEST_F(MeasureRows, GoesOnWhereARunWasStopped) {
    const Results whole = measure(plan({3, 6}));
    const std::string lost = dir / "out/rows/" + *names_in("out/rows").begin();
    fs::remove(lost);
    fs::create_directories(dir / "out/models/.0123.partial-1-1");  // as a kill leaves it
    const Results resumed = measure(plan({3, 6}));
    EXPECT_TRUE(fs::exists(lost));
    EXPECT_TRUE(names_in("out/models").empty());
    for (size_t i = 0; i < whole.rows.size(); ++i) {
        EXPECT_EQ(resumed.rows[i].perplexity(), whole.rows[i].perplexity());
        EXPECT_EQ(resumed.rows[i].measurement->bits_per_weight,
                  whole.rows[i].measurement->bits_per_weight);
    }
}

TEST_F(MeasureRows, KeepsRowsThatAreNotAvailable) {
    const Results results = measure({{paper_rows().front(), std::nullopt, "because"}});
    ASSERT_EQ(results.rows.size(), 1u);
    EXPECT_FALSE(results.rows.front().measurement);
    EXPECT_EQ(results.rows.front().reason(), "because");
    EXPECT_TRUE(results.full_precision.perplexity) << "what the others are compared with";
}

}  // namespace
}  // namespace quarot::reproduce

#include "reproduce/reproduce.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "eval/perplexity.h"
#include "folder/load_weights.h"
#include "kernels/backend.h"
#include "model/weights.h"
#include "quantize/quantize_model.h"
#include "reproduce/run_keys.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"
#include "tokenizer/tokenizer.h"

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

    // Questions of two tasks about the letters that the model knows.
    void ask_questions() {
        fs::create_directories(dir / "data");
        std::ofstream(dir / "data/piqa.jsonl")
            << R"({"goal": "ab", "sol1": "cd", "sol2": "dc", "label": 0})"
            << "\n"
            << R"({"goal": "ba", "sol1": "c", "sol2": "ddd", "label": 1})"
            << "\n"
            << R"({"goal": "it was", "sol1": "dark", "sol2": "light", "label": 0})"
            << "\n";
        std::ofstream(dir / "data/lambada_openai.jsonl") << R"({"text": "a night of rain"})"
                                                         << "\n";
        questions = read_zero_shot(dir / "data", 0, tokenizer::Tokenizer::load(model),
                                   tokenizer::AddBos::Auto);
        settings.tasks = questions.tasks;
    }

    // What `quarot eval` gives for a task.
    double percent_alone(const Recipe& recipe, const ZeroShotTask& task) {
        quantize::QuantizeOptions options;
        options.recipe = recipe;
        options.overwrite = true;
        quantize::quantize_model(model, dir / "alone", options);
        const folder::SourceModel source = folder::SourceModel::open(dir / "alone");
        const model::Weights weights = folder::load_weights(source, {}, 64, *backend);
        runtime::Engine engine(weights, *backend,
                               eval::scoring_limits(task.pairs, weights, *backend));
        const eval::TaskResult result = eval::run_task(engine, task.data, task.pairs);
        return 100.0 * (result.acc_norm ? result.acc_norm->value : result.acc.value);
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
    ZeroShotQuestions questions;
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

TEST_F(MeasureRows, ComparesWithFullPrecisionOnRequest) {
    EXPECT_FALSE(measure(plan({3})).rows[1].measurement->kl);
    settings.beside_full_precision = true;
    const Results results = measure(plan({3}));  // in the folder of a run that did not compare
    EXPECT_EQ(results.full_precision.kl, 0.0);
    EXPECT_EQ(results.full_precision.same_top1, 1.0);
    const Measurement& four = *results.rows[1].measurement;
    const Measurement& eight = *results.rows[2].measurement;
    ASSERT_TRUE(four.kl && eight.kl);
    EXPECT_GT(*four.kl, *eight.kl);
    EXPECT_GT(*eight.kl, 0.0);
    EXPECT_LT(*four.same_top1, 1.0);
    EXPECT_GT(four.tokens_per_second, 0.0);
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

TEST_F(MeasureRows, AnswersTheTasksOfTablesThatHaveAccuracies) {
    ask_questions();
    const Results results = measure(plan({3, 6}));
    for (const MeasuredRow& row : results.rows) {
        SCOPED_TRACE(row.plan.label());
        if (row.plan.paper.table == 6) {
            EXPECT_TRUE(row.tasks.empty());
            continue;
        }
        ASSERT_EQ(row.tasks.size(), 2u);
        EXPECT_EQ(row.tasks[0].task, "piqa");
        EXPECT_EQ(row.tasks[0].n, 3);
        EXPECT_FALSE(average_percent(row.tasks)) << "of two tasks out of six";
        if (row.plan.paper.recipe == "none") continue;
        for (size_t i = 0; i < row.tasks.size(); ++i) {
            EXPECT_EQ(row.tasks[i].percent, percent_alone(*row.plan.recipe, questions.tasks[i]));
        }
    }
}

TEST_F(MeasureRows, AddsTasksToARunWithoutThemAndTakesUpSingleOnes) {
    const Results text_alone = measure(plan({3}));
    EXPECT_FALSE(text_alone.has_tasks());
    ask_questions();
    const size_t n_texts = names_in("out/rows").size();
    const Results both = measure(plan({3}));
    EXPECT_EQ(names_in("out/rows").size(), n_texts + 2 * n_texts) << "a file a recipe and task";
    for (size_t i = 0; i < both.rows.size(); ++i) {
        EXPECT_EQ(both.rows[i].perplexity(), text_alone.rows[i].perplexity());
        EXPECT_EQ(both.rows[i].measurement->perplexity_seconds,
                  text_alone.rows[i].measurement->perplexity_seconds)
            << "not measured again";
    }
    settings.tasks = settings.tasks.first(1);
    settings.model = dir / "gone";  // nothing is left to be opened
    const Results piqa = measure(plan({3}));
    EXPECT_EQ(to_json(piqa.rows[1].tasks[0]).dump(), to_json(both.rows[1].tasks[0]).dump());
}

TEST_F(MeasureRows, RepeatsARowWithEachOfItsSeeds) {
    const PlanOptions options{.tables = {3}, .seed = 2, .n_seeds = 3};
    const auto config = folder::SourceModel::open(model).config();
    const Results results = measure(plan_rows(options, config));
    const MeasuredRow& row = results.rows[1];
    ASSERT_EQ(row.seeds.size(), 3u);
    EXPECT_EQ(results.rows[0].seeds.size(), 1u) << "full precision has no random numbers";
    double sum = 0.0;
    for (size_t i = 0; i < row.seeds.size(); ++i) {
        Recipe recipe = *row.plan.recipe;
        recipe.rotation.seed = row.seeds[i].seed;
        EXPECT_EQ(row.seeds[i].seed, 2 + i);
        EXPECT_EQ(row.seeds[i].text.perplexity, alone(recipe));
        sum += *row.seeds[i].text.perplexity;
    }
    EXPECT_DOUBLE_EQ(*row.perplexity(), sum / 3.0);
    EXPECT_GT(*perplexity_deviation(row.seeds), 0.0);
}

TEST_F(MeasureRows, KeepsRowsThatAreNotAvailable) {
    const Results results =
        measure({{.paper = paper_rows().front(), .recipe = std::nullopt, .reason = "because"}});
    ASSERT_EQ(results.rows.size(), 1u);
    EXPECT_FALSE(results.rows.front().measurement);
    EXPECT_EQ(results.rows.front().reason(), "because");
    EXPECT_TRUE(results.full_precision.perplexity) << "what the others are compared with";
}

}  // namespace
}  // namespace quarot::reproduce

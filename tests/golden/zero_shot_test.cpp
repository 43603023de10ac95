// Log-likelihoods and predictions of zero-shot tasks against lm-evaluation-harness, which ran the
// same items (make_zero_shot.py): texts to clean, labels of every kind, an empty context, a context
// longer than the model's.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

#include "eval/task_run.h"
#include "golden/golden_support.h"
#include "support/checkout.h"
#include "tokenizer/tokenizer.h"

namespace quarot::test {

namespace {

constexpr double kLimit = 1e-3;
constexpr double kSureMargin = 2e-3;

// How far the likeliest choice is ahead.
double margin_of(std::vector<double> values) {
    if (values.size() < 2) return kSureMargin;
    std::sort(values.rbegin(), values.rend());
    return values[0] - values[1];
}

void expect_item(const io::Json& expected, const eval::ItemResult& actual, double& largest) {
    const auto& values = expected.at("loglikelihoods").as_array();
    ASSERT_EQ(values.size(), actual.loglikelihoods.size());
    for (size_t i = 0; i < values.size(); ++i) {
        EXPECT_NEAR(actual.loglikelihoods[i], values[i].as_double(), kLimit) << "choice " << i;
        largest = std::max(largest, std::abs(actual.loglikelihoods[i] - values[i].as_double()));
    }
    if (margin_of(actual.loglikelihoods) < kSureMargin) return;
    EXPECT_EQ(actual.prediction == actual.gold, expected.at("acc").as_double() == 1.0);
    const io::Json& norm = expected.at("acc_norm");
    ASSERT_EQ(norm.is_null(), !actual.prediction_norm);
    if (!norm.is_null()) {
        EXPECT_EQ(actual.prediction_norm == actual.gold, norm.as_double() == 1.0);
    }
}

// As many of the items as the harness has answered.
void expect_task(const eval::Task& task, const std::string& items, const io::Json& answers,
                 const tokenizer::Tokenizer& tokenizer, runtime::Engine& engine) {
    const auto& expected = answers.as_array();
    const eval::TaskData data = eval::read_task(task, items, std::ssize(expected));
    const auto pairs = eval::encode_task(data, tokenizer, tokenizer::AddBos::Auto);
    const eval::TaskResult result = eval::run_task(engine, data, pairs);
    ASSERT_EQ(expected.size(), result.items.size()) << task.name;
    double right = 0.0, largest = 0.0;
    for (size_t i = 0; i < expected.size(); ++i) {
        SCOPED_TRACE(std::string(task.name) + " item " + std::to_string(i));
        expect_item(expected[i], result.items[i], largest);
        right += expected[i].at("acc").as_double();
    }
    EXPECT_NEAR(result.acc.value, right / static_cast<double>(expected.size()), 1e-12);
    std::printf("%s: %zu items, largest difference of log-likelihoods %.1e\n",
                std::string(task.name).c_str(), expected.size(), largest);
}

// Of the tasks that it has answered; how many these are.
size_t expect_the_harness(const std::string& folder, const std::string& items,
                          const std::string& answers) {
    const auto tokenizer = tokenizer::Tokenizer::load(folder);
    const auto harness = io::Json::parse_file(answers);
    LoadedModel model = load(folder, {.context = 2048});
    size_t n_tasks = 0;
    for (const eval::Task& task : eval::tasks()) {
        if (!harness.contains(task.name)) continue;
        expect_task(task, items, harness.at(task.name), tokenizer, *model.engine);
        ++n_tasks;
    }
    return n_tasks;
}

TEST(ZeroShot, EveryItemAgreesWithTheHarness) {
    const std::string items = in_checkout("tests/golden/zero_shot");
    EXPECT_EQ(expect_the_harness(model_folder("tiny-novels"), items, items + "/harness.json"),
              eval::tasks().size());
}

// Of another model and other items: QUAROT_ZERO_SHOT=MODEL:ITEMS:ANSWERS. harness_tasks.py DATA
// LIMIT ITEMS writes items of the data sets, make_zero_shot.py MODEL ITEMS LIMIT ANSWERS [TASKS]
// what the harness says of them.
TEST(ZeroShot, ItemsOfTheEnvironmentAgreeWithTheHarness) {
    const char* given = std::getenv("QUAROT_ZERO_SHOT");
    if (given == nullptr) GTEST_SKIP() << "QUAROT_ZERO_SHOT names no model, items and answers";
    std::vector<std::string> paths;
    std::stringstream text(given);
    for (std::string path; std::getline(text, path, ':');) paths.push_back(path);
    ASSERT_EQ(paths.size(), 3u) << given;
    EXPECT_GT(expect_the_harness(paths[0], paths[1], paths[2]), 0u);
}

}  // namespace

}  // namespace quarot::test

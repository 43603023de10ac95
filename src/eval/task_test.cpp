// What each task asks of a model, line by line of its data, and what its results say.
#include "eval/task.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "core/error.h"
#include "eval/statistics.h"
#include "eval/task_data.h"
#include "eval/task_run.h"
#include "support/temp_dir.h"

namespace quarot::eval {

namespace {

Item item(const char* task, const std::string& line) {
    return item_of(task_of(task), io::Json::parse(line, "line"));
}

// What an error says, or nothing.
template <typename Body>
std::string error_of(const Body& body) {
    try {
        body();
    } catch (const Error& error) {
        return error.what();
    }
    return "";
}

void expect_choice(const Choice& choice, const std::string& context,
                   const std::string& continuation) {
    EXPECT_EQ(choice.context, context);
    EXPECT_EQ(choice.continuation, continuation);
}

}  // namespace

TEST(Task, PiqaAsksAQuestionAndKeepsSpacesOfAnswers) {
    const Item piqa =
        item("piqa", R"({"goal": "kettle", "sol1": "a", "sol2": "b\u00e9 ", "label": 1})");
    ASSERT_EQ(piqa.choices.size(), 2u);
    expect_choice(piqa.choices[0], "Question: kettle\nAnswer:", " a");
    expect_choice(piqa.choices[1], "Question: kettle\nAnswer:", " b\xc3\xa9 ");
    EXPECT_EQ(piqa.choices[1].n_characters, 3) << "characters, not bytes";
    EXPECT_EQ(piqa.gold, 1);
}

TEST(Task, WinograndePutsOptionsIntoTheContextAndScoresTheRest) {
    const Item both = item("winogrande",
                           R"({"sentence": "The _ ran off.", "option1": "dog", "option2": "man",
                               "answer": "2"})");
    expect_choice(both.choices[0], "The dog", " ran off.");
    expect_choice(both.choices[1], "The man", " ran off.");
    EXPECT_EQ(both.gold, 1);
    EXPECT_NE(error_of([] {
                  item("winogrande", R"({"sentence": "None.", "option1": "a", "option2": "b",
                                         "answer": "1"})");
              }).find("has no _"),
              std::string::npos);
}

TEST(Task, HellaSwagJoinsItsPartsAndCleansThem) {
    const Item whole = item("hellaswag",
                            R"({"activity_label": "Sailing", "ctx_a": "A man [step] pulls.",
                                "ctx_b": "the Boat", "endings": ["turns [title] So.", "x"],
                                "label": "0"})");
    expect_choice(whole.choices[0], "Sailing: A man pulls. The boat", " turns. So.");
    EXPECT_EQ(whole.choices[0].n_characters, 10);
}

TEST(Task, ArcTakesLabelsOfLettersAndDigitsInEveryLayout) {
    const std::string line =
        R"({"question": "Q?", "choices": {"text": ["a", "b"], "label": ["1", "2"]},
            "answerKey": "2"})";
    EXPECT_EQ(item("arc_easy", line).gold, 1);
    expect_choice(item("arc_easy", line).choices[0], "Question: Q?\nAnswer:", " a");
    const std::string nested =
        R"({"question": {"stem": "Q?", "choices": [{"text": "a", "label": "A"},
                                                   {"text": "b", "label": "B"}]},
            "answerKey": "A"})";
    EXPECT_EQ(item("arc_challenge", nested).gold, 0);
    expect_choice(item("arc_challenge", nested).choices[1], "Question: Q?\nAnswer:", " b");
}

TEST(Task, LambadaScoresWhatStandsBehindTheLastSpace) {
    const Item last = item("lambada_openai", R"({"text": "He saw the sea"})");
    ASSERT_EQ(last.choices.size(), 1u);
    expect_choice(last.choices[0], "He saw the", " sea");
}

TEST(Task, UnknownNamesAndBrokenItemsAreNamed) {
    EXPECT_NE(error_of([] { task_of("boolq"); }).find("piqa, winogrande, hellaswag"),
              std::string::npos);
    EXPECT_NE(error_of([] { item("piqa", R"({"question": "?"})"); }).find("has no \"goal\""),
              std::string::npos);
    EXPECT_NE(error_of([] {
                  item("piqa", R"({"goal": "g", "sol1": "a", "sol2": "b", "label": 2})");
              }).find("label"),
              std::string::npos);
}

TEST(TaskData, NamesTheLineThatIsWrongAndTheFilesThatAreMissing) {
    const test::TempDir dir;
    const Task& piqa = task_of("piqa");
    const std::string missing = error_of([&] { read_task(piqa, dir.path(), 0); });
    EXPECT_NE(missing.find("piqa.jsonl"), std::string::npos) << missing;
    std::ofstream(dir.path() + "/piqa.jsonl")
        << R"({"goal": "g", "sol1": "a", "sol2": "b", "label": 0})"
        << "\n\n{\"goal\": \n";
    const std::string broken = error_of([&] { read_task(piqa, dir.path(), 0); });
    EXPECT_NE(broken.find("piqa.jsonl:3"), std::string::npos) << broken;
    EXPECT_EQ(read_task(piqa, dir.path(), 1).items.size(), 1u) << "no line behind the limit counts";
}

TEST(Judge, TakesTheFirstOfEqualsAndDividesByCharacters) {
    TaskData data;
    data.task = &task_of("piqa");
    data.items = {{.choices = {{"c", " ab", 2}, {"c", " abcd", 4}}, .gold = 0},
                  {.choices = {{"c", " ab", 2}, {"c", " abcd", 4}}, .gold = 0}};
    const std::vector<PairScore> scores = {{.loglikelihood = -3.0},
                                           {.loglikelihood = -4.0, .is_cut = true},
                                           {.loglikelihood = -2.0},
                                           {.loglikelihood = -2.0}};
    const TaskResult result = judge(data, scores);
    EXPECT_EQ(result.items[0].prediction, 0);
    EXPECT_EQ(result.items[0].prediction_norm, 1) << "-1.5 and -1 a character";
    EXPECT_EQ(result.items[1].prediction, 0);
    EXPECT_EQ(result.acc.value, 1.0);
    EXPECT_EQ(result.acc_norm->value, 0.0);
    EXPECT_EQ(result.n_cut, 1);
}

TEST(Judge, ALastWordIsRightWhereTheModelSaysIt) {
    TaskData data;
    data.task = &task_of("lambada_openai");
    data.items = {{.choices = {{"c", " sea", 3}}, .gold = 0},
                  {.choices = {{"c", " sky", 3}}, .gold = 0}};
    const std::vector<PairScore> scores = {{.loglikelihood = -1.0, .is_greedy = true},
                                           {.loglikelihood = -3.0}};
    const TaskResult result = judge(data, scores);
    EXPECT_EQ(result.acc.value, 0.5);
    EXPECT_NEAR(result.perplexity->value, std::exp(2.0), 1e-12);
    EXPECT_NEAR(*result.perplexity->standard_error, std::exp(2.0), 1e-12);  // that of the mean is 1
}

TEST(Statistics, MeansHaveTheErrorOfASample) {
    const std::vector<double> values = {1.0, 0.0, 1.0, 1.0};
    EXPECT_EQ(mean_of(values).value, 0.75);
    EXPECT_NEAR(*mean_of(values).standard_error, 0.25, 1e-15);
    EXPECT_FALSE(mean_of(std::span(values).first(1)).standard_error);
}

TEST(Statistics, McNemarCountsChangesBothWays) {
    EXPECT_EQ(mcnemar(0, 0), 1.0);
    EXPECT_NEAR(mcnemar(0, 5), 2.0 / 32.0, 1e-12);
    EXPECT_NEAR(mcnemar(1, 5), 2.0 * 7.0 / 64.0, 1e-12);
    EXPECT_EQ(mcnemar(5, 1), mcnemar(1, 5));
    EXPECT_EQ(mcnemar(3, 3), 1.0);
}

}  // namespace quarot::eval

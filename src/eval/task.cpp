// What each task asks, and where its items lie: one table, and a function for each layout.
#include "eval/task.h"

#include <algorithm>
#include <charconv>

#include "core/error.h"
#include "eval/hellaswag_text.h"
#include "eval/plain_text.h"
#include "io/text.h"

namespace quarot::eval {

namespace {

using io::Json;

constexpr int64_t kMostChoices = 64;

// Between a context and what answers it.
std::string after_space(std::string_view text) {
    std::string spaced = " ";
    return spaced.append(text);
}

Item choices_of(const std::string& context, const std::vector<std::string>& answers, int64_t gold) {
    Item item = {.choices = {}, .gold = gold};
    for (const std::string& answer : answers) {
        item.choices.push_back({context, after_space(answer), count_characters(answer)});
    }
    return item;
}

// A number, or its digits as a string, as data sets have both.
int64_t integer_of(const Json& json, int64_t min, int64_t max) {
    if (!json.is_string()) return json.as_int(min, max);
    const std::string& text = json.as_string();
    int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error == std::errc() && end == text.data() + text.size() && value >= min && value <= max) {
        return value;
    }
    fail(ErrorCode::Corrupt, "{} is \"{}\", expected a number from {} to {}", json.place(),
         io::printable(text), min, max);
}

std::vector<std::string> strings_of(const Json& array) {
    std::vector<std::string> strings;
    for (const Json& element : array.as_array()) strings.push_back(element.as_string());
    if (strings.empty() || std::ssize(strings) > kMostChoices) {
        fail(ErrorCode::Corrupt, "{} has {} elements, expected 1 to {}", array.place(),
             strings.size(), kMostChoices);
    }
    return strings;
}

Item piqa(const Json& record) {
    return choices_of("Question: " + record.at("goal").as_string() + "\nAnswer:",
                      {record.at("sol1").as_string(), record.at("sol2").as_string()},
                      integer_of(record.at("label"), 0, 1));
}

Item hellaswag_item(const std::string& context, const Json& record) {
    std::vector<std::string> endings = strings_of(record.at("endings"));
    for (std::string& ending : endings) ending = without_artifacts(ending);
    const int64_t gold = integer_of(record.at("label"), 0, std::ssize(endings) - 1);
    return choices_of(without_artifacts(context), endings, gold);
}

Item hellaswag(const Json& record) {
    return hellaswag_item(record.at("activity_label").as_string() + ": " +
                              record.at("ctx_a").as_string() + " " +
                              capitalized(record.at("ctx_b").as_string()),
                          record);
}

// Label and context are one text, whose last sentence may be the second part.
Item hellaswag_of_text(const Json& record) {
    return hellaswag_item(with_capital_second_part(record.at("text").as_string()), record);
}

// The options stand in the context, and what follows is scored.
Item winogrande_item(const std::vector<std::string>& contexts, std::string_view rest,
                     int64_t gold) {
    Item item = {.choices = {}, .gold = gold};
    for (const std::string& context : contexts) {
        item.choices.push_back({context, after_space(rest), count_characters(rest)});
    }
    return item;
}

Item winogrande(const Json& record) {
    const Json& sentence = record.at("sentence");
    const std::string& text = sentence.as_string();
    const size_t blank = text.find('_');
    if (blank == std::string::npos) {
        fail(ErrorCode::Corrupt, "{} has no _ for the options, in \"{}\"", sentence.place(),
             io::printable(text));
    }
    const std::string before = text.substr(0, blank);
    return winogrande_item(
        {before + record.at("option1").as_string(), before + record.at("option2").as_string()},
        stripped(std::string_view(text).substr(blank + 1)),
        integer_of(record.at("answer"), 1, 2) - 1);
}

Item winogrande_split(const Json& record) {
    const std::vector<std::string> contexts = strings_of(record.at("context_options"));
    return winogrande_item(contexts, stripped(record.at("continuation").as_string()),
                           integer_of(record.at("gold"), 0, std::ssize(contexts) - 1));
}

// A list of texts and one of labels, or a list of both together.
struct LabelledChoices {
    std::vector<std::string> texts, labels;
};

LabelledChoices labelled(const Json& choices) {
    if (choices.is_object()) {
        return {strings_of(choices.at("text")), strings_of(choices.at("label"))};
    }
    LabelledChoices both;
    for (const Json& choice : choices.as_array()) {
        both.texts.push_back(choice.at("text").as_string());
        both.labels.push_back(choice.at("label").as_string());
    }
    return both;
}

Item arc(const Json& record) {
    const Json& question = record.at("question");
    const bool is_nested = question.is_object();  // as AI2 publishes it
    const std::string& text = (is_nested ? question.at("stem") : question).as_string();
    const auto [texts, labels] =
        labelled(is_nested ? question.at("choices") : record.at("choices"));
    const std::string& answer = record.at("answerKey").as_string();
    const auto found = std::find(labels.begin(), labels.end(), answer);
    if (found == labels.end() || texts.size() != labels.size()) {
        fail(ErrorCode::Corrupt, "{} is \"{}\", expected one of {} labels of {} choices",
             record.at("answerKey").place(), io::printable(answer), labels.size(), texts.size());
    }
    return choices_of("Question: " + text + "\nAnswer:", texts, found - labels.begin());
}

Item arc_query(const Json& record) {
    const std::vector<std::string> choices = strings_of(record.at("choices"));
    return choices_of(record.at("query").as_string() + "\nAnswer:", choices,
                      integer_of(record.at("gold"), 0, std::ssize(choices) - 1));
}

// What stands behind the last space is the word to guess.
Item lambada(const Json& record) {
    const std::string& text = record.at("text").as_string();
    const size_t space = text.rfind(' ');
    if (space == std::string::npos) return choices_of("", {text}, 0);
    return choices_of(text.substr(0, space), {text.substr(space + 1)}, 0);
}

Item lambada_split(const Json& record) {
    return choices_of(record.at("context").as_string(), {record.at("continuation").as_string()}, 0);
}

// Names are those of data sets as people have them: one file a task, a folder a task with a file a
// split, and what the makers of the data published.
constexpr DataFile kPiqaFiles[] = {
    {"piqa.jsonl"}, {"piqa/validation.jsonl"}, {"piqa/valid.jsonl", "piqa/valid-labels.lst"}};
constexpr DataFile kWinograndeFiles[] = {{"winogrande.jsonl"},
                                         {"winogrande/validation.jsonl"},
                                         {"winogrande/dev.jsonl"},
                                         {"winogrande/winogrande_dev.jsonl"}};
constexpr DataFile kHellaswagFiles[] = {{"hellaswag.jsonl"},
                                        {"hellaswag/validation.jsonl"},
                                        {"hellaswag/hellaswag_val.jsonl"},
                                        {"hellaswag/hellaswag_val_full.txt"}};
constexpr DataFile kArcEasyFiles[] = {{"arc_easy.jsonl"},
                                      {"arc_easy/test.jsonl"},
                                      {"arc/ARC-Easy-Test.jsonl"},
                                      {"arc/arc_easy_test.jsonl"}};
constexpr DataFile kArcChallengeFiles[] = {{"arc_challenge.jsonl"},
                                           {"arc_challenge/test.jsonl"},
                                           {"arc/ARC-Challenge-Test.jsonl"},
                                           {"arc/arc_challenge_test.jsonl"}};
constexpr DataFile kLambadaFiles[] = {{"lambada_openai.jsonl"},
                                      {"lambada_openai/test.jsonl"},
                                      {"lambada/lambada_openai.jsonl"},
                                      {"lambada/lambada_test.jsonl"}};

constexpr Layout kPiqa[] = {{"goal", piqa}};
constexpr Layout kWinogrande[] = {{"sentence", winogrande}, {"context_options", winogrande_split}};
constexpr Layout kHellaswag[] = {{"ctx_a", hellaswag}, {"text", hellaswag_of_text}};
constexpr Layout kArc[] = {{"answerKey", arc}, {"query", arc_query}};
constexpr Layout kLambada[] = {{"text", lambada}, {"continuation", lambada_split}};

constexpr Task kTasks[] = {
    {"piqa", Metrics::ChoiceNorm, kPiqaFiles, kPiqa},
    {"winogrande", Metrics::Choice, kWinograndeFiles, kWinogrande},
    {"hellaswag", Metrics::ChoiceNorm, kHellaswagFiles, kHellaswag},
    {"arc_easy", Metrics::ChoiceNorm, kArcEasyFiles, kArc},
    {"arc_challenge", Metrics::ChoiceNorm, kArcChallengeFiles, kArc},
    {"lambada_openai", Metrics::LastWord, kLambadaFiles, kLambada},
};

}  // namespace

std::span<const Task> tasks() {
    return kTasks;
}

const Task& task_of(std::string_view name) {
    std::string known;
    for (const Task& task : kTasks) {
        if (task.name == name) return task;
        known += (known.empty() ? "" : ", ") + std::string(task.name);
    }
    fail(ErrorCode::Usage, "there is no task \"{}\"; those there are: {}", io::printable(name),
         known);
}

Item item_of(const Task& task, const Json& record) {
    std::string keys;
    for (const Layout& layout : task.layouts) {
        if (record.contains(layout.key)) return layout.item_of(record);
        keys += (keys.empty() ? "\"" : " or \"") + std::string(layout.key) + "\"";
    }
    fail(ErrorCode::Corrupt, "{} has no {}, expected an item of {}", record.place(), keys,
         task.name);
}

}  // namespace quarot::eval

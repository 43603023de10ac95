#include "reproduce/zero_shot.h"

#include <fmt/format.h>

#include <utility>

#include "core/error.h"
#include "core/setting.h"
#include "io/hash.h"

namespace quarot::reproduce {

namespace {

void add(io::Xxh3& hash, int64_t value) {
    hash.add(std::as_bytes(std::span(&value, 1)));
}

void add(io::Xxh3& hash, const std::vector<int32_t>& ids) {
    add(hash, std::ssize(ids));  // so that borders count
    hash.add(std::as_bytes(std::span(ids)));
}

std::string digest_of(const eval::TaskData& data, const std::vector<eval::TokenPair>& pairs) {
    io::Xxh3 hash;
    for (const eval::Item& item : data.items) {
        add(hash, item.gold);
        for (const eval::Choice& choice : item.choices) add(hash, choice.n_characters);
    }
    for (const eval::TokenPair& pair : pairs) {
        add(hash, pair.context);
        add(hash, pair.continuation);
    }
    return hash.hex();
}

std::optional<double> percent_of(const io::Json& json, const char* key) {
    const io::Json* value = json.find(key);
    if (value == nullptr) return std::nullopt;
    const double percent = value->as_double();
    if (percent >= 0.0 && percent <= 100.0) return percent;
    fail(ErrorCode::Corrupt, "{} is {}, expected 0 to 100; {} measures anew", value->place(),
         percent, Setting{"overwrite"});
}

}  // namespace

int64_t ZeroShotTask::n_tokens() const {
    int64_t n = 0;
    for (const eval::TokenPair& pair : pairs) {
        n += std::ssize(pair.context) + std::ssize(pair.continuation);
    }
    return n;
}

ZeroShotQuestions read_zero_shot(const std::string& folder, int64_t limit,
                                 const tokenizer::Tokenizer& tokenizer, tokenizer::AddBos bos) {
    ZeroShotQuestions questions;
    for (const eval::Task& task : eval::tasks()) {
        try {
            ZeroShotTask asked{
                .data = eval::read_task(task, folder, limit), .pairs = {}, .digest = {}};
            asked.pairs = eval::encode_task(asked.data, tokenizer, bos);
            asked.digest = digest_of(asked.data, asked.pairs);
            questions.tasks.push_back(std::move(asked));
        } catch (const Error& error) {
            if (error.code() != ErrorCode::NotFound) throw;
            questions.missing.emplace_back(error.what());
        }
    }
    if (questions.tasks.empty()) {
        fail(ErrorCode::NotFound, "{} has data of no zero-shot task: {}", folder,
             questions.missing.front());
    }
    return questions;
}

TaskScore score_of(const eval::TaskResult& result) {
    const eval::Mean& mean = result.acc_norm ? *result.acc_norm : result.acc;
    TaskScore score;
    score.task = result.task;
    score.metric = result.acc_norm ? "acc_norm" : "acc";
    score.percent = 100.0 * mean.value;
    if (mean.standard_error) score.percent_error = 100.0 * *mean.standard_error;
    score.n = std::ssize(result.items);
    return score;
}

io::Json to_json(const TaskScore& score) {
    return io::Json::Object{{"task", score.task},
                            {"metric", score.metric},
                            {"percent", io::or_null(score.percent)},
                            {"reason", score.reason},
                            {"percent_error", io::or_null(score.percent_error)},
                            {"n", score.n},
                            {"seconds", score.seconds}};
}

TaskScore task_score_from_json(const io::Json& json) {
    TaskScore score;
    score.task = json.at("task").as_string();
    score.metric = json.at("metric").as_string();
    score.percent = percent_of(json, "percent");
    score.reason = json.at("reason").as_string();
    score.percent_error = percent_of(json, "percent_error");
    score.n = json.at("n").as_int();
    score.seconds = json.at("seconds").as_double();
    return score;
}

std::optional<double> average_percent(std::span<const TaskScore> scores) {
    if (scores.size() != eval::tasks().size()) return std::nullopt;
    double sum = 0.0;
    for (const TaskScore& score : scores) {
        if (!score.percent) return std::nullopt;
        sum += *score.percent;
    }
    return sum / static_cast<double>(scores.size());
}

}  // namespace quarot::reproduce

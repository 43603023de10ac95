#include "eval/partial_scores.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <system_error>
#include <utility>

#include "core/error.h"
#include "core/setting.h"
#include "eval/task_data.h"
#include "io/output_file.h"

namespace quarot::eval {

namespace {

using io::Json;

constexpr std::chrono::seconds kBetweenSaves{2};

std::string line_of(size_t pair, const PairScore& score) {
    return Json(Json::Object{{"request", static_cast<int64_t>(pair)},
                             {"loglikelihood", score.loglikelihood},
                             {"greedy", score.is_greedy},
                             {"cut", score.is_cut}})
               .dump(-1) +
           "\n";
}

PairScore score_in(const Json& json) {
    const double loglikelihood = json.at("loglikelihood").as_double();
    if (!(loglikelihood <= 0.0 && std::isfinite(loglikelihood))) {
        fail(ErrorCode::Corrupt, "{}: loglikelihood is {}, expected a number of at most 0",
             json.place(), loglikelihood);
    }
    return {.loglikelihood = loglikelihood,
            .is_greedy = json.at("greedy").as_bool(),
            .is_cut = json.at("cut").as_bool()};
}

}  // namespace

PartialScores::PartialScores(std::string path, std::string job, size_t n_pairs)
    : path_(std::move(path)), job_(std::move(job)), scores_(n_pairs) {}

void PartialScores::load() {
    std::error_code ignored;
    if (!std::filesystem::exists(path_, ignored)) return;
    const std::vector<Json> lines = read_json_lines(path_);
    if (lines.empty()) fail(ErrorCode::Corrupt, "{} is empty, expected scores", path_);
    if (lines.front().at("job").as_string() != job_) {
        fail(ErrorCode::Usage,
             "{} is of another model, recipe, task or data; evaluate without {} to begin anew",
             path_, Setting{"resume"});
    }
    for (size_t i = 1; i < lines.size(); ++i) {
        const int64_t pair = lines[i].at("request").as_int(0, std::ssize(scores_) - 1);
        scores_[static_cast<size_t>(pair)] = score_in(lines[i]);
    }
}

int64_t PartialScores::n_known() const {
    return std::ranges::count_if(scores_, [](const auto& score) { return score.has_value(); });
}

void PartialScores::set(size_t pair, const PairScore& score) {
    scores_[pair] = score;
    if (Clock::now() - saved_ >= kBetweenSaves) save();
}

void PartialScores::save() {
    std::string text = Json(Json::Object{{"job", job_}}).dump(-1) + "\n";
    for (size_t i = 0; i < scores_.size(); ++i) {
        const std::optional<PairScore>& score = scores_[i];
        if (score) text += line_of(i, *score);
    }
    io::write_whole(path_, text);
    saved_ = Clock::now();
}

void PartialScores::remove() const {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
}

}  // namespace quarot::eval

#include "reproduce/reproduce.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "core/check.h"
#include "core/error.h"
#include "core/log.h"
#include "core/process.h"
#include "core/progress.h"
#include "quantize/quantize_model.h"
#include "reproduce/run_keys.h"

namespace quarot::reproduce {

namespace {

// A row and which of its seeds.
struct Use {
    size_t row = 0;
    size_t seed = 0;
};

// One distinct recipe.
struct Job {
    Recipe recipe;
    std::string key;
    std::string weights_key;  // empty: the model as it came
    std::vector<Use> uses;    // that ask for it
    std::optional<Measurement> text;
    // Of the run's tasks; none if no row that asks for it has accuracies.
    std::vector<std::string> task_keys;
    std::vector<std::optional<TaskScore>> tasks;

    bool is_done() const {
        return text && std::all_of(tasks.begin(), tasks.end(),
                                   [](const auto& score) { return score.has_value(); });
    }
};

// Relative costs, for the estimate of the time left: tokens that go through the model count one;
// the others were fitted to runs of the sample model.
constexpr int64_t kCalibrationTokenCost = 2;
constexpr int64_t kRoundingCost = 1500;

class Measurer {
  public:
    Measurer(const std::vector<PlannedRow>& plan, const io::Json& identity,
             const RunnerSettings& settings, const RunFolder& folder, kernels::Backend& backend)
        : identity_(identity), settings_(settings), folder_(folder), runner_(settings, backend) {
        job_of(full_precision_recipe());
        for (const PlannedRow& row : plan) add(row);
    }

    Results run() {
        for (Job& job : jobs_) load(job);
        folder_.keep_models(pending_weights());
        const ProgressScope whole("");  // announce() tells of each row
        Progress progress("reproducing", pending_cost());
        for (size_t i = 0; i < jobs_.size(); ++i) {
            if (!jobs_[i].is_done()) run_group(jobs_[i].weights_key, progress);
            announce(jobs_[i]);
        }
        const std::optional<Measurement>& full_precision = jobs_.front().text;
        QUAROT_CHECK(full_precision.has_value());
        results_.full_precision = *full_precision;
        for (MeasuredRow& row : results_.rows) {
            if (row.seeds.empty()) continue;
            row.measurement = together(row.seeds);
            row.tasks = tasks_together(row.seeds);
        }
        return std::move(results_);
    }

    // "3 of 40 recipes"
    std::string progress() const {
        const auto done =
            std::count_if(jobs_.begin(), jobs_.end(), [](const Job& job) { return job.is_done(); });
        return fmt::format("{} of {} recipes", done, jobs_.size());
    }

  private:
    void add(const PlannedRow& row) {
        const size_t index = results_.rows.size();
        results_.rows.push_back({.plan = row});
        if (!row.recipe) return;
        results_.rows.back().seeds.resize(row.seeds.size());
        for (size_t i = 0; i < row.seeds.size(); ++i) {
            Recipe recipe = *row.recipe;
            recipe.rotation.seed = row.seeds[i];
            results_.rows.back().seeds[i].seed = row.seeds[i];
            Job& job = job_of(recipe);
            job.uses.push_back({index, i});
            if (row.has_zero_shot()) want_tasks(job);
        }
    }

    Job& job_of(const Recipe& recipe) {
        const std::string calibration = calibration_digest(settings_.windows_of(recipe));
        const std::string key =
            measurement_key(identity_, recipe, calibration, settings_.beside_full_precision);
        const auto known = std::find_if(jobs_.begin(), jobs_.end(),
                                        [&](const Job& job) { return job.key == key; });
        if (known != jobs_.end()) return *known;
        Job job;
        job.recipe = recipe;
        job.key = key;
        if (recipe.name != "none") job.weights_key = weights_key(identity_, recipe, calibration);
        return jobs_.emplace_back(std::move(job));
    }

    void want_tasks(Job& job) {
        if (!job.task_keys.empty()) return;
        const std::string calibration = calibration_digest(settings_.windows_of(job.recipe));
        for (const ZeroShotTask& task : settings_.tasks) {
            job.task_keys.push_back(task_key(identity_, job.recipe, calibration, task));
        }
        job.tasks.resize(job.task_keys.size());
    }

    void load(Job& job) const {
        if (const auto json = folder_.load(job.key)) job.text = measurement_from_json(*json);
        for (size_t i = 0; i < job.tasks.size(); ++i) {
            if (const auto json = folder_.load(job.task_keys[i])) {
                job.tasks[i] = task_score_from_json(*json);
            }
        }
    }

    std::vector<std::string> pending_weights() const {
        std::vector<std::string> keys;
        for (const Job& job : jobs_) {
            if (!job.is_done() && !job.weights_key.empty()) keys.push_back(job.weights_key);
        }
        return keys;
    }

    // Everything that is left to do with one set of weights.
    void run_group(const std::string& weights, Progress& progress) {
        std::optional<WeightsFolder> made;
        std::optional<Error> failure;
        for (Job& job : jobs_) {
            if (job.weights_key != weights || job.is_done()) continue;
            throw_if_interrupted();
            const ProgressScope row(name_of(job));
            if (!made && !failure) {
                made = make_weights(job, failure);
                progress.advance(weights_cost(job.recipe));
            }
            if (made) {
                measure_or_give_up(job, *made, progress);
            } else {
                QUAROT_CHECK(failure.has_value());
                give_up(job, *failure, progress);
            }
        }
        folder_.keep_models(pending_weights());
    }

    // A backend may lack what running the weights takes.
    void measure_or_give_up(Job& job, const WeightsFolder& made, Progress& progress) {
        try {
            measure(job, made, progress);
        } catch (const Error& error) {
            if (error.code() != ErrorCode::Unsupported) throw;
            give_up(job, error, progress);
        }
    }

    void measure(Job& job, const WeightsFolder& made, Progress& progress) {
        if (!job.text) {
            job.text = runner_.measure(job.recipe, made);
            folder_.save(job.key, to_json(*job.text));
            progress.advance(text_cost());
        }
        std::vector<const ZeroShotTask*> left;
        std::vector<size_t> places;
        for (size_t i = 0; i < job.tasks.size(); ++i) {
            if (job.tasks[i]) continue;
            left.push_back(&settings_.tasks[i]);
            places.push_back(i);
        }
        if (left.empty()) return;
        size_t done = 0;
        runner_.answer(job.recipe, made, left, [&](const TaskScore& score) {
            const size_t place = places[done];
            job.tasks[place] = score;
            folder_.save(job.task_keys[place], to_json(score));
            progress.advance(left[done++]->n_tokens());
        });
    }

    // Weights that could not be made or run; what may be otherwise another time is not kept.
    void give_up(Job& job, const Error& failure, Progress& progress) {
        const bool keep = failure.code() == ErrorCode::Numeric;
        progress.advance(cost_of(job));
        if (!job.text) {
            job.text.emplace().reason = failure.what();
            if (keep) folder_.save(job.key, to_json(*job.text));
        }
        for (size_t i = 0; i < job.tasks.size(); ++i) {
            if (job.tasks[i]) continue;
            TaskScore& score = job.tasks[i].emplace();
            score.task = settings_.tasks[i].name();
            score.reason = failure.what();
            if (keep) folder_.save(job.task_keys[i], to_json(score));
        }
    }

    // That of the first row which asks for it.
    std::string name_of(const Job& job) const {
        return job.uses.empty() ? "full precision" : name_of(job.uses.front());
    }

    std::string name_of(const Use& use) const {
        const MeasuredRow& row = results_.rows[use.row];
        std::string name = fmt::format("{}, {}", row.plan.place(), row.plan.label());
        if (row.seeds.size() > 1) name += fmt::format(", seed {}", row.seeds[use.seed].seed);
        return name;
    }

    // Empty, with the reason, if this model cannot be quantized so.
    std::optional<WeightsFolder> make_weights(const Job& job, std::optional<Error>& failure) const {
        if (job.weights_key.empty()) return runner_.original();
        try {
            return runner_.weights(job.recipe, folder_, job.weights_key);
        } catch (const Error& error) {
            if (error.code() != ErrorCode::Numeric && error.code() != ErrorCode::Unsupported) throw;
            failure = error;
            return std::nullopt;
        }
    }

    int64_t text_cost() const {
        const int64_t whole = std::ssize(settings_.ids) / settings_.seqlen;
        const int64_t windows =
            settings_.max_windows > 0 ? std::min(settings_.max_windows, whole) : whole;
        return windows * settings_.seqlen;
    }

    // What is left of it, without its weights.
    int64_t cost_of(const Job& job) const {
        int64_t cost = job.text ? 0 : text_cost();
        for (size_t i = 0; i < job.tasks.size(); ++i) {
            if (!job.tasks[i]) cost += settings_.tasks[i].n_tokens();
        }
        return cost;
    }

    int64_t weights_cost(const Recipe& recipe) const {
        if (!recipe.quantizes_weights()) return 0;
        int64_t tokens = 0;
        for (const auto& window : settings_.windows_of(recipe)) tokens += std::ssize(window);
        return kRoundingCost + kCalibrationTokenCost * tokens;
    }

    int64_t pending_cost() const {
        std::map<std::string, int64_t> weights;
        int64_t cost = 0;
        for (const Job& job : jobs_) {
            if (job.is_done()) continue;
            weights[job.weights_key] = weights_cost(job.recipe);
            cost += cost_of(job);
        }
        for (const auto& [key, each] : weights) cost += each;
        return cost;
    }

    void announce(const Job& job) {
        QUAROT_CHECK(job.text.has_value());
        for (const Use& use : job.uses) {
            SeedResult& result = results_.rows[use.row].seeds[use.seed];
            result.text = *job.text;
            if (results_.rows[use.row].plan.has_zero_shot()) {
                for (const std::optional<TaskScore>& score : job.tasks) {
                    QUAROT_CHECK(score.has_value());
                    result.tasks.push_back(*score);
                }
            }
            say(use, result);
        }
    }

    void say(const Use& use, const SeedResult& result) const {
        const Measurement& text = result.text;
        if (!text.perplexity) return log_info("{}: {}", name_of(use), text.reason);
        double seconds = text.seconds();
        for (const TaskScore& score : result.tasks) seconds += score.seconds;
        const std::optional<double> average = average_percent(result.tasks);
        log_info("{}: perplexity {:.4f}, {}{:.2f} bits a weight, {:.1f} s", name_of(use),
                 *text.perplexity, average ? fmt::format("{:.2f} % right, ", *average) : "",
                 text.bits_per_weight, seconds);
    }

    const io::Json& identity_;
    const RunnerSettings& settings_;
    const RunFolder& folder_;
    RowRunner runner_;
    std::vector<Job> jobs_;  // the first: full precision
    Results results_;
};

}  // namespace

double MeasuredRow::seconds() const {
    double seconds = measurement ? measurement->seconds() : 0.0;
    for (const TaskScore& score : tasks) seconds += score.seconds;
    return seconds;
}

bool Results::has_tasks() const {
    return std::any_of(rows.begin(), rows.end(),
                       [](const MeasuredRow& row) { return !row.tasks.empty(); });
}

Results measure_rows(const std::vector<PlannedRow>& plan, const io::Json& identity,
                     const RunnerSettings& settings, const RunFolder& folder,
                     kernels::Backend& backend) {
    Measurer measurer(plan, identity, settings, folder, backend);
    try {
        return measurer.run();
    } catch (const Error& error) {
        if (error.code() != ErrorCode::Interrupted && error.code() != ErrorCode::Terminated) throw;
        throw Error(error.code(), fmt::format("{}; {} are measured and kept in {}, and the same "
                                              "command goes on",
                                              error.what(), measurer.progress(), folder.path()));
    }
}

}  // namespace quarot::reproduce

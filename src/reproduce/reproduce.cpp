#include "reproduce/reproduce.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "core/error.h"
#include "core/log.h"
#include "core/process.h"
#include "core/progress.h"
#include "quantize/quantize_model.h"
#include "reproduce/run_keys.h"

namespace quarot::reproduce {

namespace {

// One distinct recipe.
struct Job {
    Recipe recipe;
    std::string key;
    std::string weights_key;   // empty: the model as it came
    std::vector<size_t> rows;  // that ask for it
    std::optional<Measurement> result;
};

// Relative costs, for the estimate of the time left: tokens that go through the model count one;
// the others were fitted to runs of the sample model.
constexpr int64_t kCalibrationTokenCost = 2;
constexpr int64_t kRoundingCost = 1500;

class Measurer {
  public:
    Measurer(const std::vector<PlannedRow>& plan, const io::Json& identity,
             const RunnerSettings& settings, const RunFolder& folder, kernels::Backend& backend)
        : identity_(identity),
          settings_(settings),
          calibration_(calibration_digest(settings.calibration)),
          folder_(folder),
          runner_(settings, backend) {
        job_of(full_precision_recipe());
        for (const PlannedRow& row : plan) {
            if (row.recipe) job_of(*row.recipe).rows.push_back(results_.rows.size());
            results_.rows.push_back({row, std::nullopt});
        }
    }

    Results run() {
        for (Job& job : jobs_) job.result = folder_.load(job.key);
        folder_.keep_models(pending_weights());
        const ProgressScope whole("");  // announce() tells of each row
        Progress progress("reproducing", pending_cost());
        for (size_t i = 0; i < jobs_.size(); ++i) {
            if (!jobs_[i].result) run_group(jobs_[i].weights_key, progress);
            announce(jobs_[i]);
        }
        results_.full_precision = *jobs_.front().result;
        return std::move(results_);
    }

    // "3 of 40 recipes"
    std::string progress() const {
        const auto done = std::count_if(jobs_.begin(), jobs_.end(),
                                        [](const Job& job) { return job.result.has_value(); });
        return fmt::format("{} of {} recipes", done, jobs_.size());
    }

  private:
    Job& job_of(const Recipe& recipe) {
        const std::string key = measurement_key(identity_, recipe, calibration_);
        const auto known = std::find_if(jobs_.begin(), jobs_.end(),
                                        [&](const Job& job) { return job.key == key; });
        if (known != jobs_.end()) return *known;
        Job job;
        job.recipe = recipe;
        job.key = key;
        if (recipe.name != "none") job.weights_key = weights_key(identity_, recipe, calibration_);
        return jobs_.emplace_back(std::move(job));
    }

    std::vector<std::string> pending_weights() const {
        std::vector<std::string> keys;
        for (const Job& job : jobs_) {
            if (!job.result && !job.weights_key.empty()) keys.push_back(job.weights_key);
        }
        return keys;
    }

    // Everything that is left to do with one set of weights.
    void run_group(const std::string& weights, Progress& progress) {
        std::optional<WeightsFolder> made;
        std::optional<Error> failure;
        for (Job& job : jobs_) {
            if (job.weights_key != weights || job.result) continue;
            throw_if_interrupted();
            const ProgressScope row(name_of(job));
            if (!made && !failure) {
                made = make_weights(job, failure);
                progress.advance(weights_cost(job.recipe));
            }
            job.result = made ? runner_.measure(job.recipe, *made) : failed(*failure);
            if (made || failure->code() == ErrorCode::Numeric) folder_.save(job.key, *job.result);
            progress.advance(text_cost());
        }
        folder_.keep_models(pending_weights());
    }

    // That of the first row which asks for it.
    std::string name_of(const Job& job) const {
        if (job.rows.empty()) return "full precision";
        const PaperRow& paper = results_.rows[job.rows.front()].plan.paper;
        return fmt::format("table {}, {}", paper.table, paper.row);
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

    static Measurement failed(const Error& error) {
        Measurement measurement;
        measurement.reason = error.what();
        return measurement;
    }

    int64_t text_cost() const {
        const int64_t whole = std::ssize(settings_.ids) / settings_.seqlen;
        const int64_t windows =
            settings_.max_windows > 0 ? std::min(settings_.max_windows, whole) : whole;
        return windows * settings_.seqlen;
    }

    int64_t weights_cost(const Recipe& recipe) const {
        if (!recipe.quantizes_weights()) return 0;
        if (!quantize::needs_calibration(recipe)) return kRoundingCost;
        int64_t tokens = 0;
        for (const auto& window : settings_.calibration) tokens += std::ssize(window);
        return kRoundingCost + kCalibrationTokenCost * tokens;
    }

    int64_t pending_cost() const {
        std::map<std::string, int64_t> weights;
        int64_t texts = 0;
        for (const Job& job : jobs_) {
            if (job.result) continue;
            weights[job.weights_key] = weights_cost(job.recipe);
            texts += text_cost();
        }
        int64_t cost = texts;
        for (const auto& [key, each] : weights) cost += each;
        return cost;
    }

    void announce(const Job& job) {
        for (const size_t index : job.rows) {
            MeasuredRow& row = results_.rows[index];
            row.measurement = job.result;
            const PaperRow& paper = row.plan.paper;
            if (!row.perplexity()) {
                log_info("table {}, {}: {}", paper.table, paper.row, row.reason());
                continue;
            }
            log_info("table {}, {}: perplexity {:.4f}, {:.2f} bits a weight, {:.1f} s", paper.table,
                     paper.row, *row.perplexity(), job.result->bits_per_weight,
                     job.result->seconds());
        }
    }

    const io::Json& identity_;
    const RunnerSettings& settings_;
    const std::string calibration_;
    const RunFolder& folder_;
    RowRunner runner_;
    std::vector<Job> jobs_;  // the first: full precision
    Results results_;
};

}  // namespace

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

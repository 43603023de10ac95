// Measures one recipe after another: quantize, predict the text, answer the tasks.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "eval/perplexity.h"
#include "kernels/ops.h"
#include "quantize/calibration/calibration_windows.h"
#include "recipe/recipe.h"
#include "reproduce/measurement.h"
#include "reproduce/run_folder.h"
#include "reproduce/zero_shot.h"

namespace quarot::reproduce {

struct RunnerSettings {
    std::string model;             // the folder as it came
    std::span<const int32_t> ids;  // of the text
    int64_t seqlen = 2048;
    int64_t max_windows = 0;  // 0: all
    int n_threads = 1;
    std::string device = "cpu";  // of quantizing, as QuantizeOptions has it
    // Calibration windows by the seed that they were drawn from; empty where no row needs them.
    std::map<uint32_t, quantize::TokenWindows> calibration;
    std::vector<double> residual;         // Q of rows whose R1 is from a file
    std::span<const ZeroShotTask> tasks;  // none: no accuracies
    bool beside_full_precision = false;   // measure how far predictions are from full precision's

    // Those that the recipe calibrates on; none if it does not.
    const quantize::TokenWindows& windows_of(const Recipe& recipe) const;
};

// A folder to measure: the model as it came, or weights made here.
struct WeightsFolder {
    std::string path;
    bool is_made = false;
    double bits_per_weight = 16.0;
    double seconds = 0.0;                   // of making it
    std::optional<int64_t> peak_rss_bytes;  // while making it
};

class RowRunner {
  public:
    // Both must outlive it.
    RowRunner(const RunnerSettings& settings, kernels::Backend& backend)
        : settings_(settings), backend_(backend) {}

    // The weights of that key: made if they are not in the folder yet, unfinished work on them
    // resumed.
    WeightsFolder weights(const Recipe& recipe, const RunFolder& folder,
                          const std::string& key) const;
    // The model as it came.
    WeightsFolder original() const;

    // With the recipe's widths and clip ratios of activations and cache, whatever the folder says
    // about them. An Error{Numeric} becomes the measurement's reason.
    Measurement measure(const Recipe& recipe, const WeightsFolder& folder) const;
    // The same for tasks; `done` takes the score of each as soon as it is there.
    void answer(const Recipe& recipe, const WeightsFolder& folder,
                std::span<const ZeroShotTask* const> tasks,
                const std::function<void(const TaskScore&)>& done) const;

  private:
    eval::PerplexityResult alone(runtime::Engine& engine) const;
    eval::PerplexityResult beside_full_precision(runtime::Engine& engine) const;
    eval::PerplexityOptions text_options() const;

    const RunnerSettings& settings_;
    kernels::Backend& backend_;
};

}  // namespace quarot::reproduce

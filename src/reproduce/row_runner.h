// Measures one recipe after another: quantize, predict the text, keep the result.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kernels/ops.h"
#include "recipe/recipe.h"
#include "reproduce/measurement.h"
#include "reproduce/run_folder.h"

namespace quarot::reproduce {

struct RunnerSettings {
    std::string model;             // the folder as it came
    std::span<const int32_t> ids;  // of the text
    int64_t seqlen = 2048;
    int64_t max_windows = 0;  // 0: all
    int n_threads = 1;
    std::string device = "cpu";                     // of quantizing, as QuantizeOptions has it
    std::vector<std::vector<int32_t>> calibration;  // windows of token ids
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

  private:
    const RunnerSettings& settings_;
    kernels::Backend& backend_;
};

}  // namespace quarot::reproduce

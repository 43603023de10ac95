// What the flags of quarot bench say: which model, which tests, on which machine.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "apps/args.h"
#include "apps/common_flags.h"
#include "apps/recipe_flags.h"
#include "bench/speed_test.h"

namespace quarot::apps {

struct BenchFlags {
    std::string model, shape;
    std::optional<int64_t> n_layers;
    // Empty: the default of what is measured.
    std::vector<int64_t> prompt_tokens, new_tokens, depths, batches;
    int64_t n_runs = 5;
    bool with_16bit = false;
    bool operations = false;  // single operations instead of whole models
    bool paper = false;       // the paper's tables instead
    RecipeFlags recipe;
    MachineFlags machine;
    OutputFlags output;

    void declare(Args& args);
    // Error{Usage} for flags that contradict each other.
    void check() const;

    // A folder as it is? Else random weights are measured.
    bool runs_folder() const { return shape.empty() && recipe.run_time_changes(); }
    // What is measured, as the user calls it.
    const std::string& subject() const { return shape.empty() ? model : shape; }
    // Error{Usage} if there is none.
    std::vector<bench::SpeedTest> tests() const;
};

// What was given, or else the default.
std::vector<int64_t> given_or(const std::vector<int64_t>& given,
                              const std::vector<int64_t>& otherwise);

}  // namespace quarot::apps

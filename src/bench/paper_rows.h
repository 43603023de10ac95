// The paper's tables 14 to 17 on any backend: what one decoder block and its parts take in 16 bits
// and quantized, beside what the paper has.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bench/paper_figures.h"
#include "bench/sample_step.h"
#include "bench/speed_test.h"
#include "kernels/ops.h"
#include "model/weights.h"

namespace quarot::bench {

// Milliseconds, or gigabytes of memory.
struct PaperRow {
    std::optional<int> table;  // of the paper; decoding a block is in none
    std::string what;          // "4096 x 11008"
    int64_t columns = 0;       // of a linear's inputs; else 0
    int64_t batch = 1;
    int64_t tokens = 0;  // new ones of each sequence
    int64_t depth = 0;   // cached ones
    double dense = 0.0;
    double quantized = 0.0;
    // With the transform, which `quantized` is without in tables 14 and 15; else nothing.
    std::optional<double> rotated;
    std::optional<PaperTimes> paper;
    std::optional<double> paper_ratio;

    double ratio() const { return dense / rotated.value_or(quantized); }
};

struct PaperSizes {
    std::string shape;  // as in shape_names()
    std::vector<int64_t> batches;
    int64_t prompt_tokens = 2048;  // 0: no rows of prompts
    int64_t depth = 2047;          // cached tokens where one more is made
    // Of table 17.
    std::vector<int64_t> memory_batches = {1, 16};
    std::vector<int64_t> memory_depths = {256, 512, 1024, 2048, 4096};
};

// Every step that rows of times are measured on.
std::vector<StepShape> paper_steps(const PaperSizes& sizes, int64_t step_tokens);

// The same model in 16 bits and quantized, for as many positions and sequences as paper_steps have.
// Table 14 has the linears o and down, 15 the attention with what it appends, 16 all of a block;
// 17 counts weights and cache. Prompts that a step of the backend does not hold run one after the
// other, so a batch takes as much longer as it has more of them.
std::vector<PaperRow> paper_rows(const PaperSizes& sizes, const model::Weights& dense,
                                 const model::Weights& quantized, int64_t n_samples,
                                 kernels::Backend& backend, const Clock& clock);

}  // namespace quarot::bench

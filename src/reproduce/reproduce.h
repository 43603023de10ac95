// All planned rows, measured: each distinct recipe once, finished ones taken from the run's folder.
#pragma once

#include <optional>
#include <vector>

#include "folder/source_model.h"
#include "kernels/ops.h"
#include "reproduce/measurement.h"
#include "reproduce/row_plan.h"
#include "reproduce/row_runner.h"
#include "reproduce/run_folder.h"
#include "reproduce/seeds.h"

namespace quarot::reproduce {

struct MeasuredRow {
    PlannedRow plan;
    std::optional<Measurement> measurement;  // empty: not available, plan.reason tells why
    std::vector<TaskScore> tasks;            // none where accuracies do not belong to its table
    std::vector<SeedResult> seeds;           // what both of these are made of
    // Perplexity, or nothing.
    std::optional<double> perplexity() const {
        return measurement ? measurement->perplexity : std::nullopt;
    }
    // What was measured, or null where that is no perplexity.
    const Measurement* measured() const {
        return measurement && measurement->perplexity ? &*measurement : nullptr;
    }
    // Why there is no perplexity.
    const std::string& reason() const { return measurement ? measurement->reason : plan.reason; }
    // Of everything that was done for it.
    double seconds() const;
};

struct Results {
    Measurement full_precision;  // measured whether a row asks for it or not
    std::vector<MeasuredRow> rows;

    bool has_tasks() const;  // of any row
};

// Rows with equal weights share one quantized folder, which is gone when none of them is left to be
// measured. One line on stderr for each row and seed. A stop signal leaves what is finished in
// `folder`.
Results measure_rows(const std::vector<PlannedRow>& plan, const io::Json& identity,
                     const RunnerSettings& settings, const RunFolder& folder,
                     kernels::Backend& backend);

}  // namespace quarot::reproduce

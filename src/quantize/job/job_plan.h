// Will a job work on this machine, and what will it take? Asked before anything is written.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/error.h"
#include "folder/source_model.h"
#include "quantize/quantize_model.h"

namespace quarot::quantize {

struct JobProblem {
    ErrorCode code;
    std::string sentence;
};

// 0 where a problem leaves nothing to estimate.
struct JobPlan {
    int64_t ram_bytes = 0;  // the peak
    // What is free must hold: the output, the work folder's layers, and the largest layer once more
    // while it is being written; 5 % more.
    int64_t disk_bytes = 0;
    int64_t output_bytes = 0;   // of the weight files
    int64_t run_ram_bytes = 0;  // to run the result with a cache of run_context tokens
    int64_t run_context = 0;
    int64_t finished_layers = 0;       // that lie in the work folder; disk_bytes is without them
    std::vector<JobProblem> problems;  // gravest first: settings, then places, then resources
};

// out empty: no place is chosen yet, so none is looked at. Calibration windows that are not there
// count as the recipe wants them. Leaves nothing behind.
JobPlan plan_job(const folder::SourceModel& source, const QuantizeOptions& options,
                 const std::string& out);

// Looks into the work folder as the job would: its refusals become problems, and its finished
// layers count. Reads the whole input if there are any.
void look_at_work(const folder::SourceModel& source, const QuantizeOptions& options,
                  const std::string& out, JobPlan& plan);

// The first problem, if there is one, as the Error it would become.
void throw_first_problem(const JobPlan& plan);

// Where finished layers wait: options.work_folder or "<out>.work".
std::string work_folder_of(const std::string& out, const QuantizeOptions& options);

}  // namespace quarot::quantize

// A job that is ready to run: its plan, what it will take, and what stands in its way. Nothing is
// written before it runs.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "folder/source_model.h"
#include "kernels/ops.h"
#include "quantize/options.h"
#include "quantize/output_plan.h"
#include "rotate/rotation.h"

namespace quarot::quantize {

// 0 where a problem leaves nothing to estimate.
struct JobNeeds {
    int64_t ram_bytes = 0;     // the peak
    int64_t device_bytes = 0;  // of a GPU that the text runs on; 0 without one
    // What is free must hold: the output, the work folder's layers, and the largest layer once more
    // while it is being written; 5 % more.
    int64_t disk_bytes = 0;
    int64_t output_bytes = 0;   // of the weight files
    int64_t run_ram_bytes = 0;  // to run the result with a cache of run_context tokens
    int64_t run_context = 0;
    int64_t finished_layers = 0;  // that are in the work folder; disk_bytes is without them
};

// A job with all that is decided before its first weight is read.
struct PreparedJob {
    folder::SourceModel source;
    QuantizeOptions options;
    std::string out;
    // Both, or neither where a problem prevents them.
    std::optional<rotate::Rotation> rotation;
    std::optional<OutputPlan> plan;
    // What the text runs on; null where none does, or a problem prevents it.
    std::shared_ptr<kernels::Backend> backend;
    JobNeeds needs;
    std::vector<Error> problems;  // gravest first: settings, then places, then resources
};

// Opens options.device if a text is to run, or if it is named and so has to be there.
//
// out empty: no place is chosen yet, so none is looked at. Calibration windows that are not there
// count as the recipe wants them. Leaves nothing behind.
PreparedJob prepare_job(folder::SourceModel source, QuantizeOptions options, std::string out);

// Looks into the work folder as the job would: its refusals become problems, and its finished
// layers count. Reads the whole input if there are any.
void look_at_work(PreparedJob& job);

// Throws the first problem if there is one.
void throw_first_problem(const PreparedJob& job);

// The kind of device that the job's text runs on, as job_identity has it.
std::string device_kind(const PreparedJob& job);

// Where finished layers wait: options.work_folder or "<out>.work".
std::string work_folder_of(const std::string& out, const QuantizeOptions& options);

}  // namespace quarot::quantize

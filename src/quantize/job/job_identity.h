// What decides the bytes of a job's result, so that unfinished work is not taken for another's.
#pragma once

#include <map>
#include <string>

#include "core/thread_pool.h"
#include "folder/source_model.h"
#include "io/json.h"
#include "quantize/calibration/calibration_windows.h"

namespace quarot::quantize {

using InputDigests = std::map<std::string, std::string>;  // SHA-256 by file name

// Of all files of the source folder that the result depends on; reads them whole.
InputDigests digest_inputs(const folder::SourceModel& source, ThreadPool& pool);

// A flat object: version, every setting of the recipe, digests of inputs and calibration tokens,
// and the kind of device that they run on ("cpu", "cuda"; empty where none do), whose sums differ
// in their last bits.
io::Json job_identity(const Recipe& recipe, const InputDigests& inputs,
                      const TokenWindows& calibration, const std::string& device);

}  // namespace quarot::quantize

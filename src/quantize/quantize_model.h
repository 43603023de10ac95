// Rotates and quantizes a whole model folder, one weight at a time, into a new folder.
#pragma once

#include <string>
#include <vector>

#include "quantize/job/prepared_job.h"
#include "quantize/options.h"
#include "quantize/quantized_linear.h"

namespace quarot::quantize {

struct QuantizeReport {
    double bits_per_weight = 0.0;  // of the quantized linears, scales and zero points counted
    double seconds = 0.0;
    std::vector<QuantizedLayerReport> layers;
};

// Does the job; Error with its first problem if it has one. job.out appears whole or not at all.
// Memory is bounded by what one layer needs plus the calibration activations. Finished layers wait
// in the work folder, where a stopped job can be resumed; it is removed at the end. The same input
// and options give the same bytes for any number of threads, stopped or not.
QuantizeReport run_job(const PreparedJob& job);

// Prepares and runs the job. in: an unquantized model folder (Error{Unsupported} if it is one of
// ours already).
QuantizeReport quantize_model(const std::string& in, const std::string& out,
                              const QuantizeOptions& options);

}  // namespace quarot::quantize

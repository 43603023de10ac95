#include "quantize/calibration/calibration_windows.h"

#include <limits>

#include "core/error.h"
#include "core/setting.h"
#include "quantize/calibration/python_random.h"

namespace quarot::quantize {
namespace {

constexpr int64_t kCalibrationTokens = int64_t{1} << 26;  // windows times the tokens of one
constexpr Setting kSamples{"calibration.nsamples"};
constexpr Setting kSeqlen{"calibration.seqlen"};

// The recipe's limits keep n_samples * seqlen far from overflow.
void check_length(int64_t n_tokens, const CalibrationSpec& spec) {
    if (spec.n_samples * spec.seqlen > kCalibrationTokens) {
        fail(ErrorCode::Usage,
             "{} calibration windows of {} tokens are wanted, expected at most {} tokens together; "
             "use a smaller {} or {}",
             spec.n_samples, spec.seqlen, kCalibrationTokens, kSamples, kSeqlen);
    }
    const bool first = spec.windows == CalibrationWindows::First;
    const int64_t needed = first ? spec.n_samples * spec.seqlen : spec.seqlen + 1;
    if (n_tokens >= needed) return;
    fail(ErrorCode::Usage,
         "the calibration text has {} tokens, expected at least {} for {} {} windows of {}; give a "
         "longer text or a smaller {} or {}",
         n_tokens, needed, spec.n_samples, first ? "consecutive" : "random", spec.seqlen, kSamples,
         kSeqlen);
}

std::vector<int64_t> window_starts(int64_t n_tokens, const CalibrationSpec& spec, uint32_t seed) {
    std::vector<int64_t> starts;
    PythonRandom random(seed);
    for (int64_t i = 0; i < spec.n_samples; ++i) {
        starts.push_back(spec.windows == CalibrationWindows::First
                             ? i * spec.seqlen
                             : random.up_to(static_cast<uint32_t>(n_tokens - spec.seqlen - 1)));
    }
    return starts;
}

}  // namespace

TokenWindows calibration_windows(std::span<const int32_t> ids, const CalibrationSpec& spec,
                                 uint32_t seed) {
    const auto n_tokens = static_cast<int64_t>(ids.size());
    check_length(n_tokens, spec);
    if (n_tokens > std::numeric_limits<uint32_t>::max()) {
        fail(ErrorCode::Usage, "the calibration text has {} tokens, expected fewer than 2^32",
             n_tokens);
    }
    TokenWindows windows;
    for (const int64_t start : window_starts(n_tokens, spec, seed)) {
        const auto window =
            ids.subspan(static_cast<size_t>(start), static_cast<size_t>(spec.seqlen));
        windows.emplace_back(window.begin(), window.end());
    }
    return windows;
}

}  // namespace quarot::quantize

#include "quantize/calibration/site_moments.h"

#include <utility>

#include "core/check.h"

namespace quarot::quantize {
namespace {

constexpr int64_t kHeldOutEvery = 8;

// Sums on their way, in the backend's memory.
struct MomentSums {
    kernels::Buffer own, cross;
    int64_t n_tokens = 0;

    void add(const kernels::Rows& quantized, const kernels::Rows& exact,
             kernels::Backend& backend) {
        if (n_tokens == 0) {
            own = zero_sums(quantized.cols, backend);
            cross = zero_sums(quantized.cols, backend);
        }
        backend.accumulate_gram(quantized, static_cast<double*>(own.data()));
        backend.accumulate_cross_gram(exact, quantized, static_cast<double*>(cross.data()));
        n_tokens += quantized.rows;
    }

    // Leaves no memory behind.
    Moments take(kernels::Backend& backend) {
        return {download_sums(std::exchange(own, {}), backend),
                download_sums(std::exchange(cross, {}), backend), n_tokens};
    }
};

}  // namespace

bool is_held_out(int64_t window, int64_t n_windows) {
    if (n_windows < kHeldOutEvery) return window == n_windows - 1;
    return window % kHeldOutEvery == kHeldOutEvery - 1;
}

SiteMoments moments_of(Calibration& quantized, Calibration& exact, model::InputSite site,
                       kernels::Backend& backend) {
    const int64_t n_windows = quantized.n_windows();
    QUAROT_CHECK(n_windows > 1, "{}", n_windows);
    MomentSums fitted, held_out;
    int64_t n = 0;
    quantized.for_inputs_beside(
        exact, site, [&](int64_t window, const kernels::Rows& own, const kernels::Rows& other) {
            MomentSums& sums = is_held_out(window, n_windows) ? held_out : fitted;
            sums.add(own, other, backend);
            n = own.cols;
        });
    return {n, fitted.take(backend), held_out.take(backend)};
}

}  // namespace quarot::quantize

// The mean of x x^T over the calibration tokens of a site, where it was summed: on the host, or in
// the memory of a device that solves GPTQ.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "kernels/column_solver.h"
#include "quantize/calibration/outlier_columns.h"

namespace quarot::quantize {

// In the memory of `backend`, which is a ColumnSolverMaker.
struct DeviceHessian {
    kernels::Backend* backend = nullptr;
    kernels::HessianSums sums;
    std::span<const double> diagonal;  // [n] of the mean, on the host
};

// [n, n] fp64 in the backend's memory, and back from it; the latter waits.
kernels::Buffer zero_sums(int64_t n, kernels::Backend& backend);
std::vector<double> download_sums(const kernels::Buffer& sums, kernels::Backend& backend);

class Hessian {
  public:
    Hessian() = default;  // of no columns: nothing was gathered
    // sums: [n, n] fp64 of n_tokens tokens, row-major in the backend's memory, symmetric. Waits.
    // The backend must outlive it.
    Hessian(kernels::Buffer sums, int64_t n, int64_t n_tokens, kernels::Backend& backend);
    // sums: of n_tokens tokens, on the host.
    Hessian(std::vector<double> sums, int64_t n, int64_t n_tokens);

    std::span<const double> diagonal() const { return diagonal_; }  // [n]
    // [n, n] row-major; empty where it is on a device.
    std::span<const double> on_host() const { return values_; }
    // Nothing where it is on the host. What it points to is this object's.
    std::optional<DeviceHessian> on_device() const;

    // Brings rows and columns into this order.
    void reorder(const ColumnOrder& columns);

  private:
    std::vector<double> diagonal_, values_;
    kernels::Backend* device_ = nullptr;
    kernels::Buffer sums_;
    double n_tokens_ = 0.0;
};

}  // namespace quarot::quantize

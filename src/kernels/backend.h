// The list of backends, and the choice of one by name.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernels/ops.h"

namespace quarot::kernels {

struct BackendOptions {
    int n_threads = 1;
    std::string isa;          // "": the best tier present; else its name, as "avx2" (cpu only)
    DType work = DType::F16;  // of activations between operations, F16 or F32 (cuda only)
};

// name: "reference", "cpu", "cuda", "cuda:N" (GPU N), or "auto": the first of gpus(), else the CPU.
// Error{Device}: no such GPU, or a build without CUDA;
// Error{Usage}: any other name. A tier that is unknown is Error{Usage}; one that is
// not compiled in or not present on this machine is Error{Device}.
std::unique_ptr<Backend> make_backend(const std::string& name, const BackendOptions& options);

// The name for rank r of a group on a device: of a GPU the r-th one after it, else the device's
// own.
std::string device_of_rank(const std::string& name, int64_t rank);

// A GPU of this machine that the cuda backend can use.
struct GpuInfo {
    int ordinal = 0;
    std::string name;            // "NVIDIA H200"
    int compute_capability = 0;  // 90 for 9.0
    int64_t bytes = 0;           // of its memory
};
// In the order of their ordinals; empty without a driver or without CUDA in this build.
std::vector<GpuInfo> gpus();
// Of the CUDA in this build: "13.0"; empty without.
std::string cuda_version();

std::vector<std::string> compiled_isa_tiers();
std::string best_isa_tier();

}  // namespace quarot::kernels

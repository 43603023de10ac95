// The list of backends, and the choice of one by name.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernels/ops.h"

namespace quarot::kernels {

struct BackendOptions {
    int n_threads = 1;
    std::string isa;  // "": the best tier present; else scalar, avx2, avx512vnni (cpu only)
};

// name: "reference", "cpu", "auto" (best available). "cuda" or "cuda:N" is Error{Device} in a build
// without CUDA; any other name Error{Usage}. A tier that is unknown is Error{Usage}; one that is
// not compiled in or not present on this machine is Error{Device}.
std::unique_ptr<Backend> make_backend(const std::string& name, const BackendOptions& options);

std::vector<std::string> compiled_isa_tiers();
std::string best_isa_tier();

}  // namespace quarot::kernels

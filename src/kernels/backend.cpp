#include "kernels/backend.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>
#include <string_view>

#include "core/error.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/reference/reference_backend.h"
#ifdef QUAROT_HAS_CUDA
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/cuda_devices.h"
#endif

namespace quarot::kernels {

std::vector<GpuInfo> gpus() {
#ifdef QUAROT_HAS_CUDA
    return cuda::list_gpus();
#else
    return {};
#endif
}

namespace {

// N of "cuda:N", 0 of "cuda", the first GPU's of "auto"; nothing for other names, or without a GPU
// for "auto".
std::optional<int> gpu_of(std::string_view name) {
    if (name == "cuda") return 0;
    if (name == "auto") {
        const std::vector<GpuInfo> found = gpus();
        return found.empty() ? std::nullopt : std::optional(found.front().ordinal);
    }
    if (!name.starts_with("cuda:")) return std::nullopt;
    name.remove_prefix(5);
    int ordinal = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), ordinal);
    const bool whole = error == std::errc() && end == name.data() + name.size() && ordinal >= 0;
    return whole ? std::optional(ordinal) : std::nullopt;
}

std::unique_ptr<Backend> make_gpu_backend(int ordinal, const BackendOptions& options) {
#ifdef QUAROT_HAS_CUDA
    return make_cuda_backend(ordinal, options);
#else
    (void)options;
    fail(ErrorCode::Device, "device cuda:{} is not available: this program was built without CUDA",
         ordinal);
#endif
}

}  // namespace

std::string cuda_version() {
#ifdef QUAROT_HAS_CUDA
    return cuda::toolkit_version();
#else
    return "";
#endif
}

std::string device_of_rank(const std::string& name, int64_t rank) {
    const auto first = gpu_of(name);
    return first ? fmt::format("cuda:{}", *first + rank) : name;
}

std::unique_ptr<Backend> make_backend(const std::string& name, const BackendOptions& options) {
    if (name == "reference") return make_reference_backend(options.n_threads);
    if (const auto ordinal = gpu_of(name)) return make_gpu_backend(*ordinal, options);
    if (name == "cpu" || name == "auto") return make_cpu_backend(options);
    fail(ErrorCode::Usage, "the device is {}, expected auto, cpu, cuda, cuda:N or reference", name);
}

}  // namespace quarot::kernels

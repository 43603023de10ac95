#include "kernels/backend.h"

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

namespace {

// N of "cuda:N", 0 of "cuda"; nothing for other names.
std::optional<int> gpu_of(std::string_view name) {
    if (name == "cuda") return 0;
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

std::vector<GpuInfo> gpus() {
#ifdef QUAROT_HAS_CUDA
    return cuda::list_gpus();
#else
    return {};
#endif
}

std::string cuda_version() {
#ifdef QUAROT_HAS_CUDA
    return cuda::toolkit_version();
#else
    return "";
#endif
}

std::unique_ptr<Backend> make_backend(const std::string& name, const BackendOptions& options) {
    if (name == "reference") return make_reference_backend(options.n_threads);
    if (name == "auto") {
        const std::vector<GpuInfo> found = gpus();
        if (!found.empty()) return make_gpu_backend(found.front().ordinal, options);
    }
    if (name == "cpu" || name == "auto") return make_cpu_backend(options);
    if (const auto ordinal = gpu_of(name)) return make_gpu_backend(*ordinal, options);
    fail(ErrorCode::Usage, "the device is {}, expected auto, cpu, cuda, cuda:N or reference", name);
}

}  // namespace quarot::kernels

#include "kernels/backend.h"

#include "kernels/cpu/cpu_backend.h"
#include "kernels/reference/reference_backend.h"

namespace quarot::kernels {

std::unique_ptr<Backend> make_backend(const std::string& name, const BackendOptions& options) {
    if (name == "reference") return make_reference_backend(options.n_threads);
    if (name == "cpu" || name == "auto") return make_cpu_backend(options);
    if (name.starts_with("cuda")) {
        fail(ErrorCode::Device, "device {} is not available: this program was built without CUDA",
             name);
    }
    fail(ErrorCode::Usage, "--device is {}, expected auto, cpu or reference", name);
}

}  // namespace quarot::kernels

#include "kernels/cuda/cublas_lt.h"

#include <dlfcn.h>

#include <array>

#include "core/error.h"
#include "core/setting.h"

namespace quarot::kernels::cuda {

namespace {

// As the dynamic linker finds it, then where the toolkit is installed.
constexpr std::array kNames = {"libcublasLt.so.13", "/usr/local/cuda/lib64/libcublasLt.so.13"};

void* open_library() {
    for (const char* name : kNames) {
        if (void* library = dlopen(name, RTLD_NOW | RTLD_LOCAL)) return library;
    }
    fail(ErrorCode::Device,
         "{} cannot be loaded ({}); products of matrices that are not quantized need it on a GPU: "
         "install cuBLAS of CUDA 13 or add its folder to LD_LIBRARY_PATH",
         kNames[0], dlerror());
}

template <typename Function>
void resolve(void* library, const char* name, Function& function) {
    function = reinterpret_cast<Function>(dlsym(library, name));
    if (function == nullptr) fail(ErrorCode::Device, "{} has no {}", kNames[0], name);
}

CublasLt load() {
    void* library = open_library();
    CublasLt lt = {};
    resolve(library, "cublasLtCreate", lt.create);
    resolve(library, "cublasLtDestroy", lt.destroy);
    resolve(library, "cublasLtMatmul", lt.matmul);
    resolve(library, "cublasLtMatmulAlgoCheck", lt.check_algorithm);
    resolve(library, "cublasLtMatmulAlgoGetHeuristic", lt.get_heuristic);
    resolve(library, "cublasLtMatmulDescCreate", lt.create_description);
    resolve(library, "cublasLtMatmulDescDestroy", lt.destroy_description);
    resolve(library, "cublasLtMatmulDescSetAttribute", lt.set_description);
    resolve(library, "cublasLtMatrixLayoutCreate", lt.create_layout);
    resolve(library, "cublasLtMatrixLayoutDestroy", lt.destroy_layout);
    resolve(library, "cublasLtMatmulPreferenceCreate", lt.create_preference);
    resolve(library, "cublasLtMatmulPreferenceDestroy", lt.destroy_preference);
    resolve(library, "cublasLtMatmulPreferenceSetAttribute", lt.set_preference);
    return lt;
}

}  // namespace

const CublasLt& cublas_lt() {
    static const CublasLt lt = load();
    return lt;
}

void check(cublasStatus_t status, const char* call) {
    if (status == CUBLAS_STATUS_SUCCESS) return;
    if (status == CUBLAS_STATUS_ALLOC_FAILED) {
        fail(ErrorCode::OutOfMemory,
             "the GPU's memory is full: {} failed; use a shorter context, fewer sequences at a "
             "time or {} cpu",
             call, Setting{"device"});
    }
    fail(ErrorCode::Device, "{}: cuBLAS status {}", call, static_cast<int>(status));
}

MatrixLayout::MatrixLayout(cudaDataType_t type, int64_t rows, int64_t cols, int64_t stride) {
    check(cublas_lt().create_layout(&layout_, type, static_cast<uint64_t>(cols),
                                    static_cast<uint64_t>(rows), stride),
          "cublasLtMatrixLayoutCreate");
}

MatrixLayout::~MatrixLayout() {
    cublas_lt().destroy_layout(layout_);
}

ProductDescription::ProductDescription() {
    check(cublas_lt().create_description(&description_, CUBLAS_COMPUTE_32F, CUDA_R_32F),
          "cublasLtMatmulDescCreate");
    set(CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
    set(CUBLASLT_MATMUL_DESC_TRANSB, CUBLAS_OP_N);
}

ProductDescription::~ProductDescription() {
    cublas_lt().destroy_description(description_);
}

ProductPreference::ProductPreference(size_t workspace_bytes) {
    check(cublas_lt().create_preference(&preference_), "cublasLtMatmulPreferenceCreate");
    check(cublas_lt().set_preference(preference_, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                     &workspace_bytes, sizeof(workspace_bytes)),
          "cublasLtMatmulPreferenceSetAttribute");
}

ProductPreference::~ProductPreference() {
    cublas_lt().destroy_preference(preference_);
}

std::optional<cublasLtMatmulAlgo_t> first_algorithm(cublasLtHandle_t handle,
                                                    const ProductPlan& plan,
                                                    const ProductPreference& preference) {
    cublasLtMatmulHeuristicResult_t best = {};
    int n_found = 0;
    const cublasStatus_t status =
        cublas_lt().get_heuristic(handle, plan.description, plan.weight, plan.in, plan.out,
                                  plan.out, preference, 1, &best, &n_found);
    if (status != CUBLAS_STATUS_SUCCESS || n_found == 0) return std::nullopt;
    return best.algo;
}

}  // namespace quarot::kernels::cuda

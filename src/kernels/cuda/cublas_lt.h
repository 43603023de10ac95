// cuBLASLt, loaded at first use: the program starts and runs its own kernels without it.
#pragma once

#include <cublasLt.h>

namespace quarot::kernels::cuda {

// The functions of the library that are called.
struct CublasLt {
    decltype(&cublasLtCreate) create;
    decltype(&cublasLtDestroy) destroy;
    decltype(&cublasLtMatmul) matmul;
    decltype(&cublasLtMatmulAlgoCheck) check_algorithm;
    decltype(&cublasLtMatmulAlgoGetHeuristic) get_heuristic;
    decltype(&cublasLtMatmulDescCreate) create_description;
    decltype(&cublasLtMatmulDescDestroy) destroy_description;
    decltype(&cublasLtMatmulDescSetAttribute) set_description;
    decltype(&cublasLtMatrixLayoutCreate) create_layout;
    decltype(&cublasLtMatrixLayoutDestroy) destroy_layout;
    decltype(&cublasLtMatmulPreferenceCreate) create_preference;
    decltype(&cublasLtMatmulPreferenceDestroy) destroy_preference;
    decltype(&cublasLtMatmulPreferenceSetAttribute) set_preference;
};

// Error{Device} naming the library where it cannot be loaded. Any thread.
const CublasLt& cublas_lt();

// Error{Device} naming the call, Error{OutOfMemory} where memory ran out.
void check(cublasStatus_t status, const char* call);

}  // namespace quarot::kernels::cuda

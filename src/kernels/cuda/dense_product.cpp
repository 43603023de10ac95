#include "kernels/cuda/dense_product.h"

#include <cuda_runtime_api.h>

#include <map>
#include <tuple>

#include "core/check.h"
#include "core/error.h"
#include "kernels/cuda/cublas_lt.h"
#include "kernels/cuda/status.h"

namespace quarot::kernels::cuda {

namespace {

constexpr size_t kWorkspaceBytes = size_t{64} << 20;
// The number of rows whose algorithm serves all others where bits have to be the same.
constexpr int64_t kModelRows = 64;

cudaDataType_t type_of(DType dtype) {
    switch (dtype) {
        case DType::F16:
            return CUDA_R_16F;
        case DType::BF16:
            return CUDA_R_16BF;
        default:
            return CUDA_R_32F;
    }
}

struct Problem {
    ProductDescription description;
    MatrixLayout weight, in, out;

    Problem(const DenseProduct& p, int64_t rows)
        : weight(type_of(p.dtype), p.out_features, p.in_features, p.in_features),
          in(type_of(p.dtype), rows, p.in_features, p.in_stride),
          out(type_of(p.out_dtype), rows, p.out_features, p.out_stride) {
        if (p.bias == nullptr) return;
        description.set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
        description.set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, p.bias);
        description.set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, type_of(p.out_dtype));
    }
};

// What an algorithm is chosen by.
using Key = std::tuple<int64_t, int64_t, int64_t, int64_t, int64_t, DType, DType, bool, bool, bool>;

int64_t rows_to_ask_for(const DenseProduct& p) {
    return p.same_bits_for_any_rows ? kModelRows : p.rows;
}

Key key_of(const DenseProduct& p) {
    return {rows_to_ask_for(p), p.in_features,
            p.out_features,     p.in_stride,
            p.out_stride,       p.dtype,
            p.out_dtype,        p.bias != nullptr,
            p.accumulate,       p.same_bits_for_any_rows};
}

}  // namespace

struct DenseMultiplier::State {
    LibraryHandle handle;
    void* workspace = nullptr;
    ProductPreference preference{kWorkspaceBytes};
    std::map<Key, cublasLtMatmulAlgo_t> algorithms;

    const cublasLtMatmulAlgo_t& algorithm(const DenseProduct& p);
};

DenseMultiplier::DenseMultiplier() : state_(std::make_unique<State>()) {
    check(cudaMalloc(&state_->workspace, kWorkspaceBytes), "cudaMalloc");
}

DenseMultiplier::~DenseMultiplier() {
    cudaFree(state_->workspace);
}

const cublasLtMatmulAlgo_t& DenseMultiplier::State::algorithm(const DenseProduct& p) {
    const Key key = key_of(p);
    if (const auto found = algorithms.find(key); found != algorithms.end()) return found->second;
    const Problem problem(p, rows_to_ask_for(p));
    const auto best = first_algorithm(
        handle, {problem.description, problem.weight, problem.in, problem.out}, preference);
    if (!best) {
        fail(ErrorCode::Unsupported, "cuBLAS has no product of [{}, {}] and [{}, {}] in {}", p.rows,
             p.in_features, p.out_features, p.in_features, name_of(p.dtype));
    }
    return algorithms.emplace(key, *best).first->second;
}

void DenseMultiplier::multiply(const DenseProduct& p, Stream stream) {
    QUAROT_CHECK(p.in_stride >= p.in_features && p.out_stride >= p.out_features);
    QUAROT_CHECK(p.out_dtype == DType::F32 || p.out_dtype == p.dtype);
    if (p.rows == 0) return;
    const cublasLtMatmulAlgo_t& algorithm = state_->algorithm(p);
    const Problem problem(p, p.rows);
    const float alpha = 1.0f, beta = p.accumulate ? 1.0f : 0.0f;
    check(cublas_lt().matmul(state_->handle, problem.description, &alpha, p.weight, problem.weight,
                             p.in, problem.in, &beta, p.out, problem.out, p.out, problem.out,
                             &algorithm, state_->workspace, kWorkspaceBytes, stream),
          "cublasLtMatmul");
}

}  // namespace quarot::kernels::cuda

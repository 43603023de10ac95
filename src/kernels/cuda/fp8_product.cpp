#include "kernels/cuda/fp8_product.h"

#include <cuda_fp8.h>
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include "core/check.h"
#include "kernels/cuda/cublas_lt.h"
#include "kernels/cuda/status.h"

namespace quarot::kernels::cuda {

namespace {

constexpr int64_t kWorkspaceBytes = int64_t{64} << 20;
constexpr int64_t kPatternBytes = int64_t{4} << 20;

class DeviceMemory {
  public:
    explicit DeviceMemory(int64_t bytes) : bytes_(bytes) {
        check(cudaMalloc(&data_, static_cast<size_t>(bytes)), "cudaMalloc");
    }
    ~DeviceMemory() { cudaFree(data_); }
    DeviceMemory(const DeviceMemory&) = delete;
    DeviceMemory& operator=(const DeviceMemory&) = delete;
    std::byte* at(int64_t byte = 0) const { return static_cast<std::byte*>(data_) + byte; }

    template <typename T>
    void repeat(const std::vector<T>& pattern) const {
        const auto length = static_cast<int64_t>(pattern.size() * sizeof(T));
        for (int64_t to = 0; to < bytes_; to += length) {
            const auto n = static_cast<size_t>(std::min(length, bytes_ - to));
            check(cudaMemcpy(at(to), pattern.data(), n, cudaMemcpyHostToDevice), "cudaMemcpy");
        }
    }

  private:
    void* data_ = nullptr;
    int64_t bytes_;
};

// Normally distributed: zeros would take less power, and so run faster.
std::vector<__nv_fp8_storage_t> random_values() {
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    std::vector<__nv_fp8_storage_t> values(static_cast<size_t>(kPatternBytes));
    for (auto& value : values) {
        value = __nv_cvt_float_to_fp8(normal(random), __NV_SATFINITE, __NV_E4M3);
    }
    return values;
}

}  // namespace

struct RandomFp8Product::State {
    explicit State(const Fp8Problem& p)
        : problem(p),
          weights(p.n_weights * p.out_features * p.in_features),
          in(p.n_tokens * p.in_features),
          out(2 * p.n_tokens * p.out_features),
          scales(4 * (p.out_features + p.n_tokens)),
          weight_layout(CUDA_R_8F_E4M3, p.out_features, p.in_features, p.in_features),
          in_layout(CUDA_R_8F_E4M3, p.n_tokens, p.in_features, p.in_features),
          out_layout(CUDA_R_16BF, p.n_tokens, p.out_features, p.out_features) {
        description.set(CUBLASLT_MATMUL_DESC_FAST_ACCUM, int8_t{1});
        constexpr auto kOfRows = CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F;
        if (!description.try_set(CUBLASLT_MATMUL_DESC_A_SCALE_MODE, kOfRows) ||
            !description.try_set(CUBLASLT_MATMUL_DESC_B_SCALE_MODE, kOfRows)) {
            return;
        }
        const std::byte *of_rows = scales.at(), *of_tokens = scales.at(4 * p.out_features);
        description.set(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, of_rows);
        description.set(CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, of_tokens);
        algorithm = first_algorithm(handle, {description, weight_layout, in_layout, out_layout},
                                    ProductPreference(static_cast<size_t>(kWorkspaceBytes)));
    }
    void fill() const {
        const auto values = random_values();
        weights.repeat(values);
        in.repeat(values);
        scales.repeat(std::vector<float>(1024, 0.01f));
    }

    Fp8Problem problem;
    DeviceMemory weights, in, out, scales, workspace{kWorkspaceBytes};
    MatrixLayout weight_layout, in_layout, out_layout;
    ProductDescription description;
    LibraryHandle handle;
    std::optional<cublasLtMatmulAlgo_t> algorithm;
};

std::unique_ptr<RandomFp8Product> RandomFp8Product::make(const Fp8Problem& problem) {
    auto state = std::make_unique<State>(problem);
    if (!state->algorithm) return nullptr;
    state->fill();
    return std::unique_ptr<RandomFp8Product>(new RandomFp8Product(std::move(state)));
}

RandomFp8Product::RandomFp8Product(std::unique_ptr<State> state) : state_(std::move(state)) {}
RandomFp8Product::~RandomFp8Product() = default;

void RandomFp8Product::multiply(int64_t weights, Stream stream) const {
    const State& s = *state_;
    QUAROT_CHECK(s.algorithm.has_value() && weights >= 0 && weights < s.problem.n_weights);
    const float alpha = 1.0f, beta = 0.0f;
    const int64_t matrix_bytes = s.problem.out_features * s.problem.in_features;
    check(cublas_lt().matmul(s.handle, s.description, &alpha, s.weights.at(weights * matrix_bytes),
                             s.weight_layout, s.in.at(), s.in_layout, &beta, s.out.at(),
                             s.out_layout, s.out.at(), s.out_layout, &*s.algorithm,
                             s.workspace.at(), static_cast<size_t>(kWorkspaceBytes), stream),
          "cublasLtMatmul");
}

}  // namespace quarot::kernels::cuda

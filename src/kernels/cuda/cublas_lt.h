// cuBLASLt, loaded at first use: the program starts and runs its own kernels without it.
#pragma once

#include <cublasLt.h>

#include <cstdint>
#include <optional>

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

class LibraryHandle {
  public:
    LibraryHandle() { check(cublas_lt().create(&handle_), "cublasLtCreate"); }
    ~LibraryHandle() { cublas_lt().destroy(handle_); }
    LibraryHandle(const LibraryHandle&) = delete;
    LibraryHandle& operator=(const LibraryHandle&) = delete;
    operator cublasLtHandle_t() const { return handle_; }

  private:
    cublasLtHandle_t handle_ = nullptr;
};

// A row-major matrix as the library sees it: column-major, transposed. `stride` in elements.
class MatrixLayout {
  public:
    MatrixLayout(cudaDataType_t type, int64_t rows, int64_t cols, int64_t stride);
    ~MatrixLayout();
    MatrixLayout(const MatrixLayout&) = delete;
    MatrixLayout& operator=(const MatrixLayout&) = delete;
    operator cublasLtMatrixLayout_t() const { return layout_; }

  private:
    cublasLtMatrixLayout_t layout_ = nullptr;
};

// out^T = W in^T with fp32 sums.
class ProductDescription {
  public:
    ProductDescription();
    ~ProductDescription();
    ProductDescription(const ProductDescription&) = delete;
    ProductDescription& operator=(const ProductDescription&) = delete;
    operator cublasLtMatmulDesc_t() const { return description_; }

    template <typename T>
    void set(cublasLtMatmulDescAttributes_t attribute, T value) {
        check(status_of_set(attribute, value), "cublasLtMatmulDescSetAttribute");
    }
    // False where this library does not know the attribute or the value.
    template <typename T>
    bool try_set(cublasLtMatmulDescAttributes_t attribute, T value) {
        return status_of_set(attribute, value) == CUBLAS_STATUS_SUCCESS;
    }

  private:
    template <typename T>
    cublasStatus_t status_of_set(cublasLtMatmulDescAttributes_t attribute, const T& value) {
        const auto* bytes = static_cast<const void*>(&value);
        return cublas_lt().set_description(description_, attribute, bytes, sizeof(value));
    }

    cublasLtMatmulDesc_t description_ = nullptr;
};

// What the library chooses an algorithm by besides the product itself: so much workspace.
class ProductPreference {
  public:
    explicit ProductPreference(size_t workspace_bytes);
    ~ProductPreference();
    ProductPreference(const ProductPreference&) = delete;
    ProductPreference& operator=(const ProductPreference&) = delete;
    operator cublasLtMatmulPreference_t() const { return preference_; }

  private:
    cublasLtMatmulPreference_t preference_ = nullptr;
};

// A product's description and its three matrices.
struct ProductPlan {
    const ProductDescription& description;
    const MatrixLayout &weight, &in, &out;
};

// The library's first choice; nothing where it has none for this product.
std::optional<cublasLtMatmulAlgo_t> first_algorithm(cublasLtHandle_t handle,
                                                    const ProductPlan& plan,
                                                    const ProductPreference& preference);

}  // namespace quarot::kernels::cuda

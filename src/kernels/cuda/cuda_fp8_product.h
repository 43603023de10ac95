// The contract's product in fp8 on a stream.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include "kernels/cuda/fp8_product.h"
#include "kernels/cuda/stream.h"
#include "kernels/fp8_product.h"

namespace quarot::kernels::cuda {

class CudaFp8Product final : public Fp8Product {
  public:
    // Null where the device or its library has none; errors as RandomFp8Product::make's.
    static std::unique_ptr<Fp8Product> make(const Fp8Shape& shape, Stream stream) {
        auto product = RandomFp8Product::make({.n_tokens = shape.tokens,
                                               .out_features = shape.out_features,
                                               .in_features = shape.in_features,
                                               .n_weights = shape.n_weights});
        if (product == nullptr) return nullptr;
        return std::make_unique<CudaFp8Product>(std::move(product), stream);
    }
    CudaFp8Product(std::unique_ptr<RandomFp8Product> product, Stream stream)
        : product_(std::move(product)), stream_(stream) {}
    void multiply(int64_t weights) override { product_->multiply(weights, stream_); }

  private:
    std::unique_ptr<RandomFp8Product> product_;
    Stream stream_;
};

}  // namespace quarot::kernels::cuda

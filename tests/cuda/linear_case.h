// Random linear layers on the device and the same on the host, by the formula of ops.h.
#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "cuda/gpu.h"
#include "kernels/cuda/linear_product.h"

namespace quarot::cuda_test {

struct LinearForm {
    int64_t tokens = 1;
    int64_t rows = 64;
    int64_t cols = 128;
    int weight_bits = 4;
    int64_t weight_group = 0;
    bool weight_symmetric = true;
    int activation_bits = 4;
    int64_t activation_group = 0;
    bool offsets = false;
    bool bases = false;
    bool multiples = false;  // of units of the row, which products take instead of scales
    int64_t wide = 0;        // every so many tokens have 8-bit codes' multiples; 0: none
    bool bias = false;
    bool accumulate = false;
    DType out = DType::F32;
    int64_t padding = 0;       // elements after every output row
    bool half_scales = false;  // weights' scales are halves, as files with groups have them
    float third_scale = 1.0f;  // every third row's scales are so many times larger
    bool extreme = false;      // only the smallest and the largest codes, -8 among them
    int largest = 0;           // multiples alone: 1 and -1: all as large as they get, by the sign
};
std::string describe(const LinearForm& form);

// Operands of one layer in both places; the device packs its weights itself.
class LinearCase {
  public:
    LinearCase(const LinearForm& form, uint32_t seed);

    const kernels::cuda::LinearProduct& product() const { return product_; }
    // q - q_min as the matrix stores it.
    int stored_weight(int64_t row, int64_t col) const;
    // Runs the kernel on a fresh copy of the output and returns all its bytes, padding included.
    std::vector<std::byte> run(kernels::cuda::LinearKernel kernel);
    // Takes the other's activations, of the same form; its memory stays there.
    void share_input(const LinearCase& other);
    // The parts of `run`.
    void clear_output();
    std::vector<std::byte> output_bytes() const;
    bool guards_intact() const { return out_.guards_intact(); }
    // The bytes that `run` has to return.
    std::vector<std::byte> expected() const;

  private:
    void make_weights(std::mt19937& random);
    void make_activations(std::mt19937& random);
    void make_multiples(std::mt19937& random);
    float output(int64_t token, int64_t row) const;
    float output_of_multiples(int64_t token, int64_t row) const;
    int64_t out_stride() const { return form_.rows + form_.padding; }

    LinearForm form_;
    // Host: codes minus zero points, [rows, cols] and [tokens, cols].
    std::vector<int16_t> weights_, activations_;
    std::vector<int32_t> multiples_;             // [tokens, cols]
    std::vector<kernels::cuda::RowUnit> units_;  // [tokens]
    std::vector<float> weight_scales_, activation_scales_, bases_, bias_;
    std::vector<float> before_;  // outputs to be added to, as the output dtype holds them
    std::vector<Memory> memory_;
    Memory out_;
    kernels::cuda::LinearProduct product_;
};

}  // namespace quarot::cuda_test

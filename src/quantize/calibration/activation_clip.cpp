#include "quantize/calibration/activation_clip.h"

#include <algorithm>
#include <array>
#include <utility>

namespace quarot::quantize {
namespace {

// Groups of 32 Gaussian values are best clipped at 0.97, rows of thousands at 0.65.
constexpr std::array kRatios = {1.0f, 0.975f, 0.95f, 0.925f, 0.9f, 0.85f,
                                0.8f, 0.75f,  0.7f,  0.65f,  0.6f};

double squared_distance(const std::vector<float>& a, const std::vector<float>& b) {
    double sum = 0.0;
    for (size_t i = 0; i < a.size(); ++i) {
        const double difference = double{a[i]} - double{b[i]};
        sum += difference * difference;
    }
    return sum;
}

}  // namespace

ActivationClip::ActivationClip(std::vector<std::unique_ptr<kernels::Linear>> linears,
                               const kernels::ActivationFormat& format, kernels::Backend& backend)
    : linears_(std::move(linears)), format_(format), backend_(backend), costs_(kRatios.size()) {}

void ActivationClip::add(const kernels::Rows& inputs) {
    std::vector<std::vector<float>> exact;
    for (size_t i = 0; i < linears_.size(); ++i) {
        exact.push_back(outputs(kernels::Operand{inputs}, i));
    }
    for (size_t ratio = 0; ratio < kRatios.size(); ++ratio) {
        kernels::ActivationFormat format = format_.of_rows(inputs.cols);
        format.clip = kRatios[ratio];
        const kernels::Buffer memory =
            backend_.allocate(backend_.quantized_bytes(inputs.rows, inputs.cols, format));
        const auto codes =
            backend_.place_quantized(memory.data(), inputs.rows, inputs.cols, format);
        backend_.quantize(inputs, codes, {});
        for (size_t i = 0; i < linears_.size(); ++i) {
            costs_[ratio] += squared_distance(exact[i], outputs(kernels::Operand{codes}, i));
        }
    }
}

float ActivationClip::best() const {
    const auto least = std::min_element(costs_.begin(), costs_.end());
    return kRatios[static_cast<size_t>(least - costs_.begin())];
}

std::vector<float> ActivationClip::outputs(const kernels::Operand& in, size_t i) {
    const int64_t n_rows = in.n_rows(), n_out = linears_[i]->out_features();
    const int64_t bytes = n_rows * n_out * size_of(DType::F32);
    const kernels::Buffer memory = backend_.allocate(bytes);
    backend_.linear({.in = in,
                     .weight = *linears_[i],
                     .out = {memory.data(), DType::F32, n_rows, n_out, n_out}});
    std::vector<float> values(static_cast<size_t>(n_rows * n_out));
    backend_.download(values.data(), memory.data(), bytes);
    backend_.synchronize();
    return values;
}

}  // namespace quarot::quantize

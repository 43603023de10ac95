#include "bench/operation.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <utility>

#include "bench/random_weights.h"
#include "core/process.h"
#include "kernels/fp8_product.h"

namespace quarot::bench {

namespace {

using kernels::QuantizedRows;
using kernels::Rows;
using model::InputSite;
using model::LinearRole;

constexpr double kSampleSeconds = 0.1;

// What operations of a step move, in bytes.
class Traffic {
  public:
    explicit Traffic(const SampleStep& step) : step_(step), config_(step.weights().config) {}

    double rows() const { return static_cast<double>(step_.shape().rows()); }
    double work(int64_t cols) const { return rows() * size_in_work() * static_cast<double>(cols); }
    double f32(int64_t cols) const { return rows() * 4.0 * static_cast<double>(cols); }
    double operand(InputSite site) const {
        const auto& in = step_.operand(site).rows;
        if (const auto* values = std::get_if<Rows>(&in)) return work(values->cols);
        const auto& codes = std::get<QuantizedRows>(in);
        return static_cast<double>(
            step_.backend().quantized_bytes(codes.rows, codes.cols, codes.format));
    }
    double weights(LinearRole role) const {
        return static_cast<double>(linear_bytes(role, config_, step_.weights().recipe));
    }
    // K and V of one position in one layer.
    double cached() const {
        const kernels::KvDescriptor kv = step_.weights().kv_descriptor();
        const int64_t bytes = step_.backend().kv_bytes(kv, 1).value_or(0) -
                              step_.backend().kv_bytes(kv, 0).value_or(0);
        return static_cast<double>(bytes) / static_cast<double>(kv.page_tokens * kv.n_layers);
    }

  private:
    double size_in_work() const {
        return static_cast<double>(size_of(step_.backend().traits().work));
    }

    const SampleStep& step_;
    const model::ModelConfig& config_;
};

double products(int64_t rows, int64_t out, int64_t in) {
    return 2.0 * static_cast<double>(rows) * static_cast<double>(out) * static_cast<double>(in);
}

std::string of_columns(int64_t cols) {
    return std::to_string(cols);
}

Operation norm(SampleStep& step) {
    const Traffic traffic(step);
    const int64_t hidden = step.weights().config.hidden;
    return {.cost = {.name = "norm",
                     .shape = of_columns(hidden),
                     .bytes = 3.0 * traffic.f32(hidden) + traffic.operand(InputSite::Attention)},
            .enqueue = [&step](int64_t layer) { step.norm(layer, InputSite::Attention); }};
}

Operation linears(SampleStep& step, const std::string& name, InputSite site) {
    const Traffic traffic(step);
    const model::ModelConfig& config = step.weights().config;
    const bool is_partial = site == InputSite::Output || site == InputSite::Down;
    int64_t out = 0, in = 0;
    double weights = 0.0;
    for (const LinearRole role : roles_at(site, config)) {
        out += out_features(role, config);
        in = in_features(role, config);
        weights += traffic.weights(role);
    }
    return {.cost = {.name = name,
                     .shape = fmt::format("{} x {}", out, in),
                     .computed = products(step.shape().rows(), out, in),
                     .bytes = weights + traffic.operand(site) +
                              (is_partial ? traffic.f32(out) : traffic.work(out)),
                     .product = ProductShape{step.shape().rows(), out, in, config.n_layers}},
            .enqueue = [&step, site](int64_t layer) { step.linears(layer, site); }};
}

Operation append(SampleStep& step) {
    const Traffic traffic(step);
    const model::ModelConfig& config = step.weights().config;
    return {
        .cost = {.name = "RoPE, cache",
                 .shape = of_columns(config.q_dim() + 2 * config.kv_dim()),
                 .bytes = 2.0 * traffic.work(config.q_dim()) + 2.0 * traffic.work(config.kv_dim()) +
                          traffic.rows() * traffic.cached()},
        .enqueue = [&step](int64_t layer) { step.append(layer); }};
}

// A token attends to the ones before it and to itself.
Operation attention(SampleStep& step) {
    const Traffic traffic(step);
    const model::ModelConfig& config = step.weights().config;
    const StepShape& shape = step.shape();
    const int64_t pairs =
        shape.sequences * (shape.tokens * shape.depth + shape.tokens * (shape.tokens + 1) / 2);
    return {.cost = {.name = "attention",
                     .shape = fmt::format("{} x {}", config.n_heads, config.head_dim),
                     .computed = 2.0 * products(pairs, config.n_heads, config.head_dim),
                     .bytes =
                         static_cast<double>(shape.sequences * shape.context()) * traffic.cached() +
                         2.0 * traffic.work(config.q_dim())},
            .enqueue = [&step](int64_t layer) { step.attention(layer); }};
}

Operation mix_heads(SampleStep& step) {
    const Traffic traffic(step);
    const int64_t cols = step.weights().config.q_dim();
    return {.cost = {.name = "head mix",
                     .shape = of_columns(cols),
                     .bytes = traffic.work(cols) + traffic.operand(InputSite::Output)},
            .enqueue = [&step](int64_t) { step.mix_heads(); }};
}

Operation activate(SampleStep& step) {
    const Traffic traffic(step);
    const bool gated = step.weights().config.gated;
    const int64_t cols = step.weights().config.ffn;
    return {.cost = {.name = gated ? "SwiGLU" : "activation",
                     .shape = of_columns(cols),
                     .bytes = (gated ? 2.0 : 1.0) * traffic.work(cols) +
                              traffic.operand(InputSite::Down)},
            .enqueue = [&step](int64_t) { step.activate(); }};
}

Operation head(SampleStep& step) {
    const Traffic traffic(step);
    const model::ModelConfig& config = step.weights().config;
    const int64_t rows = step.shape().sequences;
    const double in = traffic.work(config.hidden) / traffic.rows();
    return {.cost = {.name = "head",
                     .shape = fmt::format("{} x {}", config.vocab, config.hidden),
                     .computed = products(rows, config.vocab, config.hidden),
                     .bytes =
                         traffic.weights(LinearRole::LmHead) +
                         static_cast<double>(rows) * (in + 4.0 * static_cast<double>(config.vocab)),
                     .product = ProductShape{rows, config.vocab, config.hidden}},
            .enqueue = [&step](int64_t) { step.head(); }};
}

bool does_nothing(const SampleStep& step) {
    return step.weights().head_mix == nullptr &&
           std::holds_alternative<Rows>(step.operand(InputSite::Output).rows);
}

double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
}

}  // namespace

std::vector<Operation> operations_of(SampleStep& step) {
    std::vector<Operation> all = {norm(step), linears(step, "q, k, v", InputSite::Attention),
                                  append(step), attention(step)};
    if (!does_nothing(step)) all.push_back(mix_heads(step));
    all.push_back(linears(step, "o", InputSite::Output));
    const bool gated = step.weights().config.gated;
    all.push_back(linears(step, gated ? "gate, up" : "up", InputSite::Mlp));
    all.push_back(activate(step));
    all.push_back(linears(step, "down", InputSite::Down));
    all.push_back(head(step));
    return all;
}

double seconds_of(const std::function<void(int64_t layer)>& enqueue, int64_t n_layers,
                  int64_t n_samples, kernels::Backend& backend, const Clock& clock) {
    const auto all_layers = [&] {
        for (int64_t layer = 0; layer < n_layers; ++layer) enqueue(layer);
    };
    all_layers();  // a backend takes scratch at the first call, and may not while it records
    backend.synchronize();
    const auto recording = backend.record(all_layers);
    const auto time = [&](int64_t n_replays) {
        throw_if_interrupted();
        const double start = clock();
        for (int64_t i = 0; i < n_replays; ++i) recording->replay();
        backend.synchronize();
        return (clock() - start) / static_cast<double>(n_replays);
    };
    const double once = std::max(time(1), 1e-7);
    const auto n_replays = static_cast<int64_t>(std::ceil(kSampleSeconds / once));
    std::vector<double> samples;
    samples.reserve(static_cast<size_t>(n_samples));
    for (int64_t i = 0; i < n_samples; ++i) samples.push_back(time(n_replays));
    return median(std::move(samples)) / static_cast<double>(n_layers);
}

std::optional<double> fp8_seconds_of(const ProductShape& shape, int64_t n_samples,
                                     kernels::Backend& backend, const Clock& clock) {
    kernels::Fp8ProductMaker* maker = kernels::fp8_product_maker(backend);
    if (maker == nullptr) return std::nullopt;
    const auto product = maker->make_fp8_product({.tokens = shape.rows,
                                                  .out_features = shape.out_features,
                                                  .in_features = shape.in_features,
                                                  .n_weights = shape.n_matrices});
    if (product == nullptr) return std::nullopt;
    return seconds_of([&](int64_t weights) { product->multiply(weights); }, shape.n_matrices,
                      n_samples, backend, clock);
}

double copy_speed(int64_t bytes, int64_t n_samples, kernels::Backend& backend, const Clock& clock) {
    constexpr int64_t kCols = 4096;
    const int64_t rows = std::max<int64_t>(1, bytes / (kCols * 4));
    const kernels::Buffer from = backend.allocate(rows * kCols * 4);
    const kernels::Buffer to = backend.allocate(rows * kCols * 4);
    const kernels::Buffer order = backend.allocate(rows * 4);
    std::vector<int32_t> indices(static_cast<size_t>(rows));
    std::iota(indices.begin(), indices.end(), 0);
    backend.upload(order.data(), indices.data(), rows * 4);
    const Rows in = {from.data(), DType::F32, rows, kCols, kCols};
    const Rows out = {to.data(), DType::F32, rows, kCols, kCols};
    // Pages that nobody wrote to are one page of zeros on a host.
    const std::vector<float> ones(static_cast<size_t>(kCols), 1.0f);
    for (int64_t row = 0; row < rows; ++row) backend.upload(in.at(row), ones.data(), kCols * 4);
    const double seconds = seconds_of(
        [&](int64_t) { backend.gather_rows(in, static_cast<const int32_t*>(order.data()), out); },
        1, n_samples, backend, clock);
    return 2.0 * static_cast<double>(rows * kCols * 4) / seconds;
}

}  // namespace quarot::bench

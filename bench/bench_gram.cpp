// Gram sums of 2048 rows on one thread, and for comparison the same work as a dense product. The
// counter is 2 * rows * outputs * inputs per second, where a Gram matrix has only the half of its
// outputs that stands at or below the diagonal.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <memory>
#include <random>
#include <vector>

#include "kernels/backend.h"

namespace quarot::kernels {

namespace {

constexpr int64_t kRows = 2048;

std::vector<float> random_floats(int64_t n) {
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    std::vector<float> values(static_cast<size_t>(n));
    for (auto& value : values) value = normal(random);
    return values;
}

void count(benchmark::State& state, double work) {
    state.counters["ops"] = benchmark::Counter(work * static_cast<double>(state.iterations()),
                                               benchmark::Counter::kIsRate);
}

void gram(benchmark::State& state) {
    const int64_t cols = state.range(0);
    const auto backend = make_backend("cpu", {.n_threads = static_cast<int>(state.range(1))});
    auto x = random_floats(kRows * cols);
    std::vector<double> sums(static_cast<size_t>(cols * cols));
    for (auto step : state) {
        static_cast<void>(step);
        backend->accumulate_gram({x.data(), DType::F32, kRows, cols, cols}, sums.data());
    }
    count(state, static_cast<double>(kRows * cols * (cols + 1)));
}

void dense(benchmark::State& state) {
    const int64_t cols = state.range(0);
    const auto backend = make_backend("cpu", {.n_threads = static_cast<int>(state.range(1))});
    auto x = random_floats(kRows * cols);
    auto weights = std::make_shared<Tensor>(DType::F32, Shape{cols, cols});
    std::ranges::copy(random_floats(cols * cols), weights->as<float>());
    const auto linear = backend->prepare_linear({.matrix = std::move(weights)});
    std::vector<float> out(static_cast<size_t>(kRows * cols));
    const Operand in = {Rows{x.data(), DType::F32, kRows, cols, cols}};
    for (auto step : state) {
        static_cast<void>(step);
        backend->linear(
            {.in = in, .weight = *linear, .out = {out.data(), DType::F32, kRows, cols, cols}});
    }
    count(state, 2.0 * static_cast<double>(kRows * cols * cols));
}

void shapes(benchmark::internal::Benchmark* bench) {
    for (const int64_t cols : {576, 1536, 5632}) bench->Args({cols, 1});
    bench->Args({1536, 2});
    bench->UseRealTime();
}

BENCHMARK(gram)->Apply(shapes);
BENCHMARK(dense)->Apply(shapes);

}  // namespace

}  // namespace quarot::kernels

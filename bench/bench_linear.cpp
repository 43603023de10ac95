// One linear of 512 tokens on one thread: full precision by our kernel and by OpenBLAS on fixed
// tiles, and integers of every pair of widths that a recipe has, beside what their instructions do
// at most. The counter is 2 * tokens * outputs * inputs per second.
#include <benchmark/benchmark.h>
#include <cblas.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <variant>
#include <vector>

#include "cpu_probe.h"
#include "kernels/backend.h"
#include "kernels/cpu/cpu_memory.h"
#include "tensor/float_convert.h"

namespace quarot::kernels {

namespace {

constexpr int64_t kTokens = 512;

std::vector<float> random_floats(int64_t n) {
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    std::vector<float> values(static_cast<size_t>(n));
    for (auto& value : values) value = normal(random);
    return values;
}

std::shared_ptr<Tensor> dense_weights(int64_t out, int64_t in, DType dtype) {
    auto weights = std::make_shared<Tensor>(dtype, Shape{out, in});
    narrow(dtype, random_floats(out * in), weights->data());
    return weights;
}

QuantizedMatrix random_codes(int64_t out, int64_t in, int bits, int64_t group) {
    auto matrix = make_quantized_matrix(out, in, bits, group, true);
    std::mt19937 random(1);
    std::vector<uint8_t> codes(static_cast<size_t>(in));
    for (int64_t row = 0; row < out; ++row) {
        for (auto& code : codes) code = static_cast<uint8_t>(random() & ((1u << bits) - 1));
        matrix.pack_row(row, codes);
    }
    narrow(matrix.scales.dtype(),
           std::vector<float>(static_cast<size_t>(out * matrix.n_groups()), 0.01f),
           matrix.scales.data());
    return matrix;
}

void count(benchmark::State& state, int64_t out, int64_t in) {
    const double work = 2.0 * static_cast<double>(kTokens * out * in);
    state.counters["ops"] = benchmark::Counter(work * static_cast<double>(state.iterations()),
                                               benchmark::Counter::kIsRate);
}

void run_ours(benchmark::State& state, Backend& backend, const Operand& in, LinearWeights weights) {
    const int64_t out_features = state.range(0);
    const auto linear = backend.prepare_linear(std::move(weights));
    std::vector<float> out(static_cast<size_t>(kTokens * out_features));
    const Rows to = {out.data(), DType::F32, kTokens, out_features, out_features};
    for (auto step : state) {
        static_cast<void>(step);
        backend.linear({.in = in, .weight = *linear, .out = to});
    }
    count(state, out_features, state.range(1));
}

void dense(benchmark::State& state, DType dtype) {
    const int64_t out = state.range(0), in = state.range(1);
    const auto backend = make_backend("cpu", {.n_threads = 1});
    auto x = random_floats(kTokens * in);
    const Operand rows = {Rows{x.data(), DType::F32, kTokens, in, in}};
    run_ours(state, *backend, rows, {.matrix = dense_weights(out, in, dtype)});
}

struct Widths {
    int weights, activations;
    int64_t group = 0;  // of both sides; 0: whole rows
};

void integers(benchmark::State& state, Widths widths) {
    const int64_t out = state.range(0), in = state.range(1);
    if (widths.group != 0 && in % widths.group != 0) return state.SkipWithError("no whole groups");
    const auto backend = make_backend("cpu", {.n_threads = 1});
    auto x = random_floats(kTokens * in);
    const ActivationFormat format = {
        .bits = widths.activations, .group_size = widths.group, .clip = 0.9f};
    const Buffer memory = backend->allocate(backend->quantized_bytes(kTokens, in, format));
    const QuantizedRows codes = backend->place_quantized(memory.data(), kTokens, in, format);
    backend->quantize({x.data(), DType::F32, kTokens, in, in}, codes, {});
    run_ours(state, *backend, {codes},
             {.matrix = random_codes(out, in, widths.weights, widths.group)});
}

void probe(benchmark::State& state, bench::ProbeKind kind) {
    if (!bench::can_probe(kind)) return state.SkipWithError("no such instructions");
    constexpr int64_t kSteps = 10'000;
    for (auto step : state) {
        static_cast<void>(step);
        bench::run_probe(kind, kSteps);
    }
    const auto work = static_cast<double>(kSteps * bench::kProbeOperations);
    state.counters["ops"] = benchmark::Counter(work * static_cast<double>(state.iterations()),
                                               benchmark::Counter::kIsRate);
}

// More than any cache holds, read by 1 or 2 threads of huge pages.
void read_memory(benchmark::State& state) {
    constexpr int64_t kBytes = int64_t{1} << 30;
    static const cpu::MappedMemory memory = [] {
        cpu::MappedMemory mapped(2 * kBytes, cpu::PageAdvice::Huge);
        std::memset(mapped.data(), 1, static_cast<size_t>(mapped.bytes()));
        return mapped;
    }();
    for (auto step : state) {
        static_cast<void>(step);
        bench::read_all(memory.data() + state.thread_index() * kBytes, kBytes);
    }
    state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) * kBytes);
}

// The alternative: panels of 64 outputs widened to fp32, cblas_sgemm on tiles of 128 tokens.
void blas(benchmark::State& state, DType dtype) {
    constexpr int64_t kOutputs = 64, kRows = 128;
    const int64_t out = state.range(0), in = state.range(1);
    openblas_set_num_threads(1);
    const auto weights = dense_weights(out, in, dtype);
    const auto x = random_floats(kTokens * in);
    std::vector<float> y(static_cast<size_t>(kTokens * out)),
        panel(static_cast<size_t>(kOutputs * in));
    for (auto step : state) {
        static_cast<void>(step);
        for (int64_t o = 0; o < out; o += kOutputs) {
            widen(dtype, weights->data() + o * in * size_of(dtype), panel);
            for (int64_t row = 0; row < kTokens; row += kRows) {
                cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, kRows, kOutputs,
                            static_cast<blasint>(in), 1.0f, x.data() + row * in,
                            static_cast<blasint>(in), panel.data(), static_cast<blasint>(in), 0.0f,
                            y.data() + row * out + o, static_cast<blasint>(out));
            }
        }
        benchmark::DoNotOptimize(y.data());
    }
    count(state, out, in);
}

void shapes(benchmark::internal::Benchmark* bench) {
    for (const auto& [out, in] :
         {std::pair{576, 576}, {1536, 576}, {576, 1536}, {2048, 2048}, {5632, 2048}}) {
        bench->Args({out, in});
    }
}

BENCHMARK_CAPTURE(dense, fp32, DType::F32)->Apply(shapes);
BENCHMARK_CAPTURE(blas, fp32, DType::F32)->Apply(shapes);
BENCHMARK_CAPTURE(dense, bf16, DType::BF16)->Apply(shapes);
BENCHMARK_CAPTURE(blas, bf16, DType::BF16)->Apply(shapes);
BENCHMARK_CAPTURE(integers, w4a4, Widths{4, 4})->Apply(shapes);
BENCHMARK_CAPTURE(integers, w4a8, Widths{4, 8})->Apply(shapes);
BENCHMARK_CAPTURE(integers, w8a4, Widths{8, 4})->Apply(shapes);
BENCHMARK_CAPTURE(integers, w6a6, Widths{6, 6})->Apply(shapes);
BENCHMARK_CAPTURE(integers, w8a8, Widths{8, 8})->Apply(shapes);
BENCHMARK_CAPTURE(integers, w4a4_groups, Widths{4, 4, 128})->Apply(shapes);
BENCHMARK_CAPTURE(integers, w4a8_groups, Widths{4, 8, 128})->Apply(shapes);
BENCHMARK_CAPTURE(integers, w8a8_groups, Widths{8, 8, 128})->Apply(shapes);
BENCHMARK_CAPTURE(probe, short_sums, bench::ProbeKind::ShortSums);
BENCHMARK_CAPTURE(probe, widened_sums, bench::ProbeKind::WidenedSums);
BENCHMARK_CAPTURE(probe, word_sums, bench::ProbeKind::WordSums);
BENCHMARK_CAPTURE(probe, vnni, bench::ProbeKind::VnniSums);
BENCHMARK(read_memory)->ThreadRange(1, 2)->UseRealTime();

}  // namespace

}  // namespace quarot::kernels

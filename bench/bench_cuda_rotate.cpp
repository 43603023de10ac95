// Transforms and norms with quantization behind them on one GPU, as a share of the bandwidth of a
// large copy measured in the same run. Rows of halves in, 4-bit codes out; buffers rotate over more
// than 340 MB, a graph of many launches is replayed, medians of 11.
#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "kernels/cuda/norm.h"
#include "kernels/cuda/rotate.h"
#include "kernels/cuda/status.h"
#include "linalg/mixer.h"
#include "tensor/float_convert.h"

namespace quarot::kernels::cuda {

namespace {

constexpr int64_t kRotatedBytes = 340'000'000;
constexpr int kReplays = 13, kWarmUps = 2;

using Memory = std::shared_ptr<void>;

Memory allocate(int64_t bytes) {
    void* memory = nullptr;
    check(cudaMalloc(&memory, static_cast<size_t>(bytes)), "cudaMalloc");
    return {memory, [](void* p) { cudaFree(p); }};
}

double median(std::vector<double> values) {
    std::ranges::sort(values);
    return values[values.size() / 2];
}

// Microseconds between the two ends of what `enqueue` puts on the stream.
double time_once(Stream stream, const std::function<void()>& enqueue) {
    cudaEvent_t start, end;
    check(cudaEventCreate(&start), "cudaEventCreate");
    check(cudaEventCreate(&end), "cudaEventCreate");
    check(cudaEventRecord(start, stream), "cudaEventRecord");
    enqueue();
    check(cudaEventRecord(end, stream), "cudaEventRecord");
    check(cudaEventSynchronize(end), "cudaEventSynchronize");
    float milliseconds = 0.0f;
    check(cudaEventElapsedTime(&milliseconds, start, end), "cudaEventElapsedTime");
    cudaEventDestroy(start);
    cudaEventDestroy(end);
    return 1e3 * milliseconds;
}

// Median microseconds of one launch in a graph of `count`, launch i being `enqueue(i)`.
double time_launches(Stream stream, int count, const std::function<void(int)>& enqueue) {
    cudaGraph_t graph;
    cudaGraphExec_t executable;
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), "cudaStreamBeginCapture");
    for (int i = 0; i < count; ++i) enqueue(i);
    check(cudaStreamEndCapture(stream, &graph), "cudaStreamEndCapture");
    check(cudaGraphInstantiate(&executable, graph, 0), "cudaGraphInstantiate");
    std::vector<double> times;
    for (int i = 0; i < kReplays; ++i) {
        const double time = time_once(
            stream, [&] { check(cudaGraphLaunch(executable, stream), "cudaGraphLaunch"); });
        if (i >= kWarmUps) times.push_back(time / count);
    }
    cudaGraphExecDestroy(executable);
    cudaGraphDestroy(graph);
    return median(times);
}

// Bytes per microsecond, read and written.
double copy_bandwidth(Stream stream) {
    constexpr int64_t kBytes = int64_t{1} << 30;
    const Memory from = allocate(kBytes), to = allocate(kBytes);
    check(cudaMemset(from.get(), 1, kBytes), "cudaMemset");
    std::vector<double> times;
    for (int i = 0; i < kReplays; ++i) {
        times.push_back(time_once(stream, [&] {
            check(cudaMemcpyAsync(to.get(), from.get(), kBytes, cudaMemcpyDeviceToDevice, stream),
                  "cudaMemcpyAsync");
        }));
    }
    return 2.0 * kBytes / median(times);
}

// Normal halves, one in 4096 twenty times as large.
Memory random_halves(int64_t count, uint32_t seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    std::vector<uint16_t> pool(1 << 20);
    for (auto& x : pool) {
        x = f32_to_f16(normal(random) * (random() % 4096 == 0 ? 20.0f : 1.0f));
    }
    const Memory memory = allocate(2 * count);
    const auto size = static_cast<int64_t>(pool.size());
    for (int64_t start = 0; start < count; start += size) {
        // Each piece begins elsewhere in the pool, so that rows differ.
        std::ranges::rotate(pool, pool.begin() + 7919);
        check(cudaMemcpy(static_cast<uint16_t*>(memory.get()) + start, pool.data(),
                         static_cast<size_t>(2 * std::min(size, count - start)),
                         cudaMemcpyHostToDevice),
              "cudaMemcpy");
    }
    return memory;
}

// Sets of inputs and outputs, enough of them to leave no input in the cache.
class Buffers {
  public:
    Buffers(int64_t rows, int64_t cols, int n_inputs) : rows_(rows), cols_(cols) {
        const int64_t set_bytes = rows * cols * (2 * n_inputs + 1);
        const auto n_sets = static_cast<int>(std::max<int64_t>(6, kRotatedBytes / set_bytes + 1));
        for (int i = 0; i < n_sets; ++i) {
            std::vector<Memory> inputs;
            for (int k = 0; k < n_inputs; ++k) {
                if (i == 0) {
                    inputs.push_back(random_halves(rows * cols, static_cast<uint32_t>(k)));
                    continue;
                }
                inputs.push_back(allocate(2 * rows * cols));
                check(cudaMemcpy(inputs.back().get(), inputs_[0][static_cast<size_t>(k)].get(),
                                 static_cast<size_t>(2 * rows * cols), cudaMemcpyDeviceToDevice),
                      "cudaMemcpy");
            }
            inputs_.push_back(inputs);
            codes_.push_back(allocate(rows * activation_stride(cols)));
        }
        scales_ = allocate(4 * rows);
        sums_ = allocate(4 * rows);
    }

    int size() const { return static_cast<int>(inputs_.size()); }
    RowsView rows(int set, int input, int64_t count) const {
        return {inputs_[static_cast<size_t>(set)][static_cast<size_t>(input)].get(), DType::F16,
                count, cols_, cols_};
    }
    QuantizeTarget target(int set, int64_t count) const {
        return {.codes = {.codes = static_cast<uint8_t*>(codes_[static_cast<size_t>(set)].get()),
                          .scales = static_cast<float*>(scales_.get()),
                          .row_sums = static_cast<int32_t*>(sums_.get()),
                          .rows = count,
                          .cols = cols_,
                          .stride = activation_stride(cols_)},
                .clip = 0.9f};
    }

  private:
    int64_t rows_, cols_;
    std::vector<std::vector<Memory>> inputs_;
    std::vector<Memory> codes_;
    Memory scales_, sums_;
};

void report(const std::string& what, const std::string& path, double us, double bytes, double copy,
            int bar) {
    const double share = 100.0 * bytes / us / copy;
    fmt::print("{:<28} {:<24} {:8.2f} us {:6.1f} %", what, path, us, share);
    if (bar > 0) fmt::print("  (bar {} %: {})", bar, share >= bar ? "met" : "MISSED");
    fmt::print("\n");
    std::fflush(stdout);
}

void bench_rotate(Stream stream, double copy, int64_t n, bool gated, int bar) {
    constexpr int64_t kRows = 2048;
    const Rotation rotation(linalg::make_mixer(n), 1);
    const Buffers buffers(kRows, n, gated ? 2 : 1);
    const auto time = [&](int64_t rows) {
        return time_launches(stream, 3 * buffers.size(), [&](int i) {
            const int set = i % buffers.size();
            RotateInput in{.rows = buffers.rows(set, 0, rows)};
            if (gated) {
                in.up = buffers.rows(set, 1, rows).data;
                in.up_stride = n;
            }
            rotate_quantize(rotation, in, buffers.target(set, rows), stream);
        });
    };
    const auto bytes = static_cast<double>(kRows * n * (gated ? 5 : 3));
    const std::string what = fmt::format("{}{}", gated ? "SwiGLU + " : "", n);
    report(what, rotation.path(), time(kRows), bytes, copy, bar);
    fmt::print("{:<28} 1 row {:.2f} us, 16 rows {:.2f} us\n", "", time(1), time(16));
}

void bench_norm(Stream stream, double copy, int64_t n) {
    constexpr int64_t kRows = 2048;
    const Buffers buffers(kRows, n, 1);
    std::vector<Memory> residuals;
    for (int i = 0; i < buffers.size(); ++i) {
        residuals.push_back(allocate(4 * kRows * n));
        check(cudaMemset(residuals.back().get(), 0, static_cast<size_t>(4 * kRows * n)),
              "cudaMemset");
    }
    const double us = time_launches(stream, 3 * buffers.size(), [&](int i) {
        const int set = i % buffers.size();
        norm_quantize({.in = buffers.rows(set, 0, kRows),
                       .residual = static_cast<float*>(residuals[static_cast<size_t>(set)].get()),
                       .residual_stride = n},
                      buffers.target(set, kRows), stream);
    });
    report(fmt::format("add + RMSNorm + quantize {}", n), "", us,
           static_cast<double>(kRows * n * (2 + 8 + 1)), copy, 0);
}

}  // namespace

void bench_all() {
    cudaStream_t stream = nullptr;
    check(cudaStreamCreate(&stream), "cudaStreamCreate");
    cudaDeviceProp device;
    check(cudaGetDeviceProperties(&device, 0), "cudaGetDeviceProperties");
    const double copy = copy_bandwidth(stream);
    fmt::print("{}, copy of 1 GiB {:.2f} TB/s; 2048 rows unless said\n", device.name, copy * 1e-6);
    struct Case {
        int64_t n;
        int bar, gated_bar;
    };
    constexpr Case kCases[] = {{4096, 75, 73},  {8192, 75, 73},  {16384, 75, 73}, {14336, 80, 73},
                               {28672, 80, 73}, {11008, 45, 47}, {5632, 0, 0},    {13824, 0, 0},
                               {8960, 0, 0},    {12288, 0, 0}};
    for (const Case& c : kCases) {
        bench_rotate(stream, copy, c.n, false, c.bar);
        bench_rotate(stream, copy, c.n, true, c.gated_bar);
    }
    for (const int64_t n : {4096, 8192}) bench_norm(stream, copy, n);
    cudaStreamDestroy(stream);
}

}  // namespace quarot::kernels::cuda

int main() {
    quarot::kernels::cuda::bench_all();
}

// Integer products on a GPU against cuBLAS in 16 and 8 bits: one table and, with --json FILE, the
// same as JSON lines. Weights rotate through more than 300 MB, launches are replays of CUDA graphs,
// times are medians. From 2048 tokens on every candidate runs alone for 0.4 s before it is timed:
// what a chip gives for milliseconds says more about what ran before.
//
// bench_cuda_linear [--json FILE]
//     [--sections decode,middle,few-groups,prefill,w4a8,groups,many-groups,ladder]
//     [--matrix ROWSxCOLUMNS]
#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "core/checked_math.h"
#include "kernels/cuda/dense_product.h"
#include "kernels/cuda/fp8_product.h"
#include "kernels/cuda/linear_product.h"
#include "kernels/cuda/status.h"
#include "tensor/float_convert.h"

namespace quarot::kernels::cuda {

namespace {

constexpr int64_t kRotatedBytes = 320'000'000;

struct Matrix {
    int64_t rows, cols;
};
constexpr std::array<Matrix, 6> kMatrices = {
    {{4096, 4096}, {22016, 4096}, {4096, 11008}, {8192, 8192}, {57344, 8192}, {8192, 28672}}};

class Device {
  public:
    explicit Device(int64_t bytes) : bytes_(bytes) {
        void* data = nullptr;
        check(cudaMalloc(&data, static_cast<size_t>(bytes)), "cudaMalloc");
        data_.reset(data, [](void* p) { cudaFree(p); });
    }
    template <typename T>
    T* as(int64_t byte = 0) const {
        return reinterpret_cast<T*>(static_cast<std::byte*>(data_.get()) + byte);
    }
    int64_t bytes() const { return bytes_; }
    // Repeats the pattern over the whole.
    void fill(const void* pattern, int64_t pattern_bytes) const {
        for (int64_t at = 0; at < bytes_; at += pattern_bytes) {
            check(cudaMemcpy(as<std::byte>(at), pattern,
                             static_cast<size_t>(std::min(pattern_bytes, bytes_ - at)),
                             cudaMemcpyDefault),
                  "cudaMemcpy");
        }
    }

  private:
    std::shared_ptr<void> data_;
    int64_t bytes_;
};

// Random bytes of one distribution, on the device; a prime number of rows' worth apart.
struct Patterns {
    Device nibbles, codes4, codes8, bf16, floats;
};

constexpr int64_t kPatternBytes = int64_t{16} << 20;

template <typename T, typename Make>
Device make_pattern(Make make) {
    std::vector<T> values(static_cast<size_t>(kPatternBytes) / sizeof(T));
    for (T& value : values) value = make();
    Device device(kPatternBytes);
    device.fill(values.data(), kPatternBytes);
    return device;
}

Patterns make_patterns() {
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    const auto code8 = [&] {
        return static_cast<uint8_t>(std::clamp(128.0f + 32.0f * normal(random), 0.0f, 255.0f));
    };
    return {
        make_pattern<uint32_t>([&] { return static_cast<uint32_t>(random()); }),
        make_pattern<uint32_t>([&] { return static_cast<uint32_t>(random() & 0x0F0F0F0Fu); }),
        make_pattern<uint8_t>(code8),
        make_pattern<uint16_t>([&] { return f32_to_bf16(normal(random)); }),
        make_pattern<float>([&] { return 0.001f + 0.0001f * static_cast<float>(random() % 64); }),
    };
}

Device filled(int64_t bytes, const Device& pattern) {
    Device device(bytes);
    device.fill(pattern.as<void>(), pattern.bytes());
    return device;
}

// Enqueues one product on the weights' copy of this number.
using Launch = std::function<void(int64_t copy, Stream stream)>;

// A graph of `n` launches, or of fewer where one is long.
class Graph {
  public:
    Graph(const Launch& launch, int n) : n_(n) {
        check(cudaStreamCreate(&stream_), "cudaStreamCreate");
        launch(0, stream_);  // whatever is done once is done outside the graph
        check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
        cudaGraph_t graph = nullptr;
        check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal),
              "cudaStreamBeginCapture");
        for (int i = 0; i < n; ++i) launch(i, stream_);
        check(cudaStreamEndCapture(stream_, &graph), "cudaStreamEndCapture");
        check(cudaGraphInstantiate(&exec_, graph, 0), "cudaGraphInstantiate");
        check(cudaGraphDestroy(graph), "cudaGraphDestroy");
        check(cudaEventCreate(&begin_), "cudaEventCreate");
        check(cudaEventCreate(&end_), "cudaEventCreate");
    }
    ~Graph() {
        cudaGraphExecDestroy(exec_);
        cudaEventDestroy(begin_);
        cudaEventDestroy(end_);
        cudaStreamDestroy(stream_);
    }
    Graph(const Graph&) = delete;
    Graph& operator=(const Graph&) = delete;

    // Microseconds of one launch, over so many replays.
    double time(int replays) const {
        check(cudaEventRecord(begin_, stream_), "cudaEventRecord");
        for (int i = 0; i < replays; ++i) check(cudaGraphLaunch(exec_, stream_), "cudaGraphLaunch");
        check(cudaEventRecord(end_, stream_), "cudaEventRecord");
        check(cudaEventSynchronize(end_), "cudaEventSynchronize");
        float ms = 0.0f;
        check(cudaEventElapsedTime(&ms, begin_, end_), "cudaEventElapsedTime");
        return 1000.0 * static_cast<double>(ms) / (replays * n_);
    }

  private:
    int n_;
    cudaStream_t stream_ = nullptr;
    cudaGraphExec_t exec_ = nullptr;
    cudaEvent_t begin_ = nullptr, end_ = nullptr;
};

double median(std::vector<double> values) {
    std::ranges::sort(values);
    return values[values.size() / 2];
}

// Interleaving is left to the caller: median of 11 replays after two.
double short_time(const Graph& graph) {
    graph.time(2);
    std::vector<double> times(11);
    for (double& time : times) time = graph.time(1);
    return median(times);
}

// Alone for 0.4 s, then the median of three samples of 0.1 s.
double sustained_time(const Graph& graph, int launches) {
    const double once = graph.time(1) * launches * 1e-6;
    const auto replays = [&](double seconds) { return 1 + static_cast<int>(seconds / once); };
    graph.time(replays(0.4));
    std::vector<double> times(3);
    for (double& time : times) time = graph.time(replays(0.1));
    return median(times);
}

// ---- candidates ----

struct Setting {
    Matrix matrix;
    int64_t tokens;
};

// 4-bit weights and the activations they meet. Groups: columns, 0 for a whole row.
struct Form {
    std::string name;
    int bits = 4;  // of activations
    int64_t weight_group = 0;
    int64_t token_group = 0;
    bool zeros = false;  // of weights
    bool bases = false;  // of activations
    bool multiples = false;
};
// best4.5 stores activations as 8 bits, since those of a sequence's first positions have 8, and
// multiplies multiples; real-zeros is the same with scales of groups that have no common unit.
const std::array kGroupForms = {Form{"g128", 4, 128, 128},
                                Form{"g64", 4, 64, 64},
                                Form{"g32", 4, 32, 32},
                                Form{"w128", 4, 128, 0},
                                Form{"real-zeros", 8, 64, 32, true, true},
                                Form{"best4.5", 8, 64, 32, true, true, true}};

int64_t copies_of(int64_t bytes) {
    return std::max<int64_t>(1, ceil_div(kRotatedBytes, bytes));
}

// Which kernel: empty for the one that the shape chooses, which is then filled in. An empty launch
// where a wanted kernel cannot run.
using Choice = std::optional<LinearKernel>;

Launch integer_launch(const Setting& s, const Form& form, const Patterns& patterns,
                      Choice& choice) {
    const WeightShape shape = {.rows = s.matrix.rows,
                               .cols = s.matrix.cols,
                               .group_size = form.weight_group,
                               .symmetric = !form.zeros};
    const int64_t bytes = weight_bytes(shape), copies = copies_of(bytes);
    Device weights = filled(bytes * copies, patterns.nibbles);
    for (int64_t c = 0; c < copies; ++c) {
        const WeightView view = place_weights(weights.as<void>(c * bytes), shape);
        const auto count = static_cast<size_t>(shape.n_groups() * shape.padded_rows());
        std::vector<float> scales(count, 0x1.06p-9f);  // a half
        std::vector<int32_t> sums(count, 5);
        check(cudaMemcpy(view.scales, scales.data(), 4 * count, cudaMemcpyDefault), "cudaMemcpy");
        check(cudaMemcpy(view.sums, sums.data(), 4 * count, cudaMemcpyDefault), "cudaMemcpy");
        check(cudaMemset(view.zeros, 8, count), "cudaMemset");
    }
    const int64_t stride = activation_stride(s.matrix.cols);
    const int64_t codes_bytes = s.tokens * stride;
    Device codes = filled(codes_bytes, form.bits == 4 ? patterns.codes4 : patterns.codes8);
    ActivationView in = {.rows = s.tokens,
                         .cols = s.matrix.cols,
                         .stride = stride,
                         .bits = form.bits,
                         .group_size = form.token_group};
    const int64_t groups = s.tokens * in.n_groups();
    Device numbers = filled(12 * groups, patterns.floats);
    check(cudaMemset(numbers.as<int32_t>(8 * groups), 0, static_cast<size_t>(4 * groups)),
          "cudaMemset");
    Device out(2 * s.tokens * s.matrix.rows);
    in.codes = codes.as<uint8_t>();
    in.scales = numbers.as<float>();
    if (form.bases) in.bases = numbers.as<float>(4 * groups);
    in.row_sums = numbers.as<int32_t>(8 * groups);
    Device multiples = filled(form.multiples ? codes_bytes * multiple_planes(form.bits) : 1,
                              patterns.codes4);  // b and a alike
    Device units(s.tokens * static_cast<int64_t>(sizeof(RowUnit)));
    if (form.multiples) {
        const std::vector<RowUnit> rows(static_cast<size_t>(s.tokens), {1e-3f, 2});
        check(cudaMemcpy(units.as<void>(), rows.data(), rows.size() * sizeof(RowUnit),
                         cudaMemcpyDefault),
              "cudaMemcpy");
        in.multiples = multiples.as<uint8_t>();
        in.row_units = units.as<RowUnit>();
    }
    LinearProduct product = {.in = in,
                             .weight = place_weights(weights.as<void>(), shape),
                             .out = out.as<void>(),
                             .out_dtype = DType::BF16,
                             .out_stride = s.matrix.rows};
    if (!choice) choice = choose_kernel(product, current_device());
    const LinearKernel kernel = *choice;
    if (!can_run(kernel, product, current_device())) return {};
    return [=](int64_t copy, Stream stream) {
        static_cast<void>(codes), static_cast<void>(numbers), static_cast<void>(out);
        static_cast<void>(multiples), static_cast<void>(units);
        LinearProduct p = product;
        p.weight = place_weights(weights.as<void>(copy % copies * bytes), shape);
        multiply(p, kernel, stream);
    };
}

Launch bf16_launch(const Setting& s, const Patterns& patterns, DenseMultiplier& dense) {
    const int64_t bytes = 2 * s.matrix.rows * s.matrix.cols, copies = copies_of(bytes);
    Device weights = filled(bytes * copies, patterns.bf16);
    Device in = filled(2 * s.tokens * s.matrix.cols, patterns.bf16);
    Device out(2 * s.tokens * s.matrix.rows);
    return [=, &dense](int64_t copy, Stream stream) {
        dense.multiply({.in = in.as<void>(),
                        .weight = weights.as<void>(copy % copies * bytes),
                        .out = out.as<void>(),
                        .rows = s.tokens,
                        .in_features = s.matrix.cols,
                        .out_features = s.matrix.rows,
                        .in_stride = s.matrix.cols,
                        .out_stride = s.matrix.rows,
                        .out_dtype = DType::BF16},
                       stream);
    };
}

// Empty where the library has no such product.
Launch fp8_launch(const Setting& s) {
    const int64_t copies = copies_of(s.matrix.rows * s.matrix.cols);
    const std::shared_ptr<RandomFp8Product> product =
        RandomFp8Product::make({.n_tokens = s.tokens,
                                .out_features = s.matrix.rows,
                                .in_features = s.matrix.cols,
                                .n_weights = copies});
    if (product == nullptr) return {};
    return [=](int64_t copy, Stream stream) { product->multiply(copy % copies, stream); };
}

// ---- tables ----

struct Report {
    std::FILE* json = nullptr;

    void line(const std::string& section, const Setting& s, const std::string& kernel,
              const std::map<std::string, double>& us) const {
        const double ops = 2.0 * static_cast<double>(s.tokens * s.matrix.rows * s.matrix.cols);
        const double bytes = 0.5 * static_cast<double>(s.matrix.rows * s.matrix.cols);  // of codes
        const double ours = us.at("ours");
        std::string text = fmt::format(
            "{:8} {:5}x{:<5} M={:<5} {:14} {:8.2f} us {:5.0f} TOP/s "
            "{:5.2f} TB/s",
            section, s.matrix.rows, s.matrix.cols, s.tokens, kernel, ours, ops / ours * 1e-6,
            bytes / ours * 1e-6);
        std::string record = fmt::format(
            "{{\"section\": \"{}\", \"rows\": {}, \"cols\": {}, \"tokens\": {}, "
            "\"kernel\": \"{}\", \"us\": {:.3f}",
            section, s.matrix.rows, s.matrix.cols, s.tokens, kernel, ours);
        for (const auto& [name, time] : us) {
            if (name == "ours") continue;
            text += fmt::format(" | {} {:8.2f} {:4.2f}x", name, time, time / ours);
            record += fmt::format(", \"{}_us\": {:.3f}", name, time);
        }
        fmt::print("{}\n", text);
        std::fflush(stdout);
        if (json != nullptr) fmt::print(json, "{}}}\n", record);
    }
};

// What every section measures, and with what.
struct Bench {
    std::vector<Matrix> matrices;
    const Patterns& patterns;
    DenseMultiplier& dense;
    const Report& report;
};

// Few tokens: the stream of weights. 24 launches a graph.
void run_short(const std::string& section, const std::vector<int64_t>& tokens, const Bench& bench) {
    for (const Matrix& matrix : bench.matrices) {
        for (int64_t m : tokens) {
            const Setting s = {matrix, m};
            Choice kernel;
            std::map<std::string, double> us;
            us["ours"] = short_time(Graph(integer_launch(s, {}, bench.patterns, kernel), 24));
            us["bf16"] = short_time(Graph(bf16_launch(s, bench.patterns, bench.dense), 24));
            if (Launch fp8 = fp8_launch(s)) us["fp8"] = short_time(Graph(fp8, 24));
            bench.report.line(section, s, name_of(*kernel), us);
        }
    }
}

// The same of every form of groups.
void run_short_groups(const std::vector<int64_t>& tokens, const Bench& bench) {
    for (const Matrix& matrix : bench.matrices) {
        for (int64_t m : tokens) {
            const Setting s = {matrix, m};
            const double bf16 = short_time(Graph(bf16_launch(s, bench.patterns, bench.dense), 24));
            for (const Form& form : kGroupForms) {
                Choice kernel;
                const double ours =
                    short_time(Graph(integer_launch(s, form, bench.patterns, kernel), 24));
                bench.report.line(form.name, s, name_of(*kernel), {{"ours", ours}, {"bf16", bf16}});
            }
        }
    }
}

void run_sustained(const std::string& section, const std::vector<int64_t>& tokens, const Form& form,
                   const Bench& bench, std::map<std::pair<int64_t, int64_t>, double>& bf16,
                   std::map<std::pair<int64_t, int64_t>, double>& fp8) {
    constexpr int kLaunches = 10;
    const auto time = [&](const Launch& launch) {
        return sustained_time(Graph(launch, kLaunches), kLaunches);
    };
    for (const Matrix& matrix : bench.matrices) {
        for (int64_t m : tokens) {
            const Setting s = {matrix, m};
            const std::pair key{matrix.rows * matrix.cols + matrix.rows, m};
            if (!bf16.contains(key)) {
                bf16[key] = time(bf16_launch(s, bench.patterns, bench.dense));
                if (Launch launch = fp8_launch(s)) fp8[key] = time(launch);
            }
            Choice kernel;
            std::map<std::string, double> us;
            us["ours"] = time(integer_launch(s, form, bench.patterns, kernel));
            us["bf16"] = bf16[key];
            if (fp8.contains(key)) us["fp8"] = fp8[key];
            bench.report.line(section, s, name_of(*kernel), us);
        }
    }
}

// Every kernel on every matrix: what the choice by shape is made from.
void run_ladder(const Bench& bench) {
    for (const Matrix& matrix : bench.matrices) {
        for (int64_t m : {32, 64, 128, 256, 512, 1024}) {
            const Setting s = {matrix, m};
            std::string text =
                fmt::format("ladder {:5}x{:<5} M={:<5}", matrix.rows, matrix.cols, m);
            Choice chosen;
            integer_launch(s, {}, bench.patterns, chosen);
            for (LinearKernel kernel : all_linear_kernels()) {
                if (kernel == LinearKernel::General) continue;
                Choice wanted = kernel;
                const Launch launch = integer_launch(s, {}, bench.patterns, wanted);
                if (!launch) continue;
                text += fmt::format(" {}{} {:.2f}", kernel == *chosen ? "*" : "", name_of(kernel),
                                    short_time(Graph(launch, 24)));
            }
            fmt::print("{}\n", text);
        }
    }
}

int run(int argc, char** argv) {
    Report report;
    std::vector<Matrix> matrices(kMatrices.begin(), kMatrices.end());
    std::string sections = "decode,middle,few-groups,prefill,w4a8,many-groups";
    for (int i = 1; i + 1 < argc; i += 2) {
        if (std::strcmp(argv[i], "--json") == 0) report.json = std::fopen(argv[i + 1], "w");
        if (std::strcmp(argv[i], "--sections") == 0) sections = argv[i + 1];
        if (std::strcmp(argv[i], "--matrix") == 0) {
            std::erase_if(matrices, [&](const Matrix& m) {
                return fmt::format("{}x{}", m.rows, m.cols) != argv[i + 1];
            });
        }
    }
    const auto wanted = [&](const std::string& name) {
        return ("," + sections + ",").find("," + name + ",") != std::string::npos;
    };
    const Patterns patterns = make_patterns();
    DenseMultiplier dense;
    const Bench bench = {std::move(matrices), patterns, dense, report};
    std::map<std::pair<int64_t, int64_t>, double> bf16, fp8;
    if (wanted("decode")) {
        run_short("decode", {1, 8, 16, 32, 64}, bench);
    }
    if (wanted("middle")) run_short("middle", {128, 256, 512}, bench);
    if (wanted("prefill")) {
        run_sustained("prefill", {2048, 8192}, {}, bench, bf16, fp8);
    }
    const Form w4a8 = {"w4a8", 8};
    if (wanted("w4a8")) run_sustained("w4a8", {2048}, w4a8, bench, bf16, fp8);
    if (wanted("few-groups")) run_short_groups({1, 4, 8, 16}, bench);
    for (const Form& form : kGroupForms) {
        const bool all = wanted("many-groups");
        if (!all && !(wanted("groups") && form.name == "g128")) continue;
        run_sustained(form.name, {2048}, form, bench, bf16, fp8);
    }
    if (wanted("ladder")) run_ladder(bench);
    if (report.json != nullptr) std::fclose(report.json);
    return 0;
}

}  // namespace

}  // namespace quarot::kernels::cuda

int main(int argc, char** argv) {
    try {
        return quarot::kernels::cuda::run(argc, argv);
    } catch (const std::exception& error) {
        fmt::print(stderr, "bench_cuda_linear: {}\n", error.what());
        return 1;
    }
}

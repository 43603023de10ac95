// Attention over a 4-bit cache against the same kernels over a cache of halves, on one GPU.
//
// Times are medians over replays of a CUDA graph of several calls, each reading a layer of its own
// as far as memory allows; a call reads far more than the second-level cache holds. Bandwidth
// counts the bytes of codes, scales and zero points once; its share is of a kernel that only reads.
//
// bench_cuda_attention [--sections decode,prefill,append,channel]
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "cuda_probe.h"
#include "kernels/cuda/attention.h"
#include "kernels/cuda/kv_append.h"
#include "kernels/cuda/kv_layout.h"
#include "kernels/cuda/status.h"

namespace quarot::kernels::cuda {
namespace {

constexpr int kReplays = 21;

class DeviceMemory {
  public:
    explicit DeviceMemory(int64_t bytes) {
        check(cudaMalloc(&data_, static_cast<size_t>(std::max<int64_t>(bytes, 16))), "cudaMalloc");
    }
    DeviceMemory(const DeviceMemory&) = delete;
    DeviceMemory& operator=(const DeviceMemory&) = delete;
    ~DeviceMemory() { cudaFree(data_); }
    template <typename T>
    T* as() const {
        return static_cast<T*>(data_);
    }

  private:
    void* data_ = nullptr;
};

template <typename T>
void copy_in(T* to, const std::vector<T>& from) {
    check(cudaMemcpy(to, from.data(), from.size() * sizeof(T), cudaMemcpyHostToDevice), "copy");
}

// Median microseconds of one of the `calls` calls that `enqueue` makes.
double time_graph(int calls, const std::function<void(Stream)>& enqueue) {
    cudaStream_t stream = nullptr;
    check(cudaStreamCreate(&stream), "cudaStreamCreate");
    enqueue(stream);
    check(cudaStreamSynchronize(stream), "first run");
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t executable = nullptr;
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capture");
    enqueue(stream);
    check(cudaStreamEndCapture(stream, &graph), "capture");
    check(cudaGraphInstantiate(&executable, graph, 0), "cudaGraphInstantiate");
    cudaEvent_t begin = nullptr, end = nullptr;
    check(cudaEventCreate(&begin), "event");
    check(cudaEventCreate(&end), "event");
    std::vector<double> times;
    for (int i = 0; i < kReplays + 3; ++i) {
        check(cudaEventRecord(begin, stream), "event");
        check(cudaGraphLaunch(executable, stream), "cudaGraphLaunch");
        check(cudaEventRecord(end, stream), "event");
        check(cudaEventSynchronize(end), "replay");
        float ms = 0.0f;
        check(cudaEventElapsedTime(&ms, begin, end), "event");
        if (i >= 3) times.push_back(1e3 * ms / calls);
    }
    std::nth_element(times.begin(), times.begin() + kReplays / 2, times.end());
    cudaEventDestroy(begin);
    cudaEventDestroy(end);
    cudaGraphExecDestroy(executable);
    cudaGraphDestroy(graph);
    cudaStreamDestroy(stream);
    return times[kReplays / 2];
}

// ---------------------------------------------------------------- what memory gives

double probe_bandwidth() {
    constexpr int64_t kBytes = int64_t{3} << 30;
    const DeviceMemory memory(kBytes), out(16);
    check(cudaMemset(memory.as<void>(), 0x5A, kBytes), "cudaMemset");
    const double us = time_graph(1, [&](Stream stream) {
        bench::read_all(memory.as<void>(), kBytes, out.as<uint32_t>(), stream);
    });
    return static_cast<double>(kBytes) / us * 1e-6;  // TB/s
}

// ---------------------------------------------------------------- a cache full of random vectors

using Half = uint16_t;

struct Model {
    const char* name;
    int64_t n_heads, n_kv_heads, head_dim;
};

constexpr Model kMha{"MHA 32x128", 32, 32, 128}, kGqa8{"GQA8 64/8x128", 64, 8, 128},
    kGqa4{"GQA4 32/8x128", 32, 8, 128}, kSmall{"MHA 32x64", 32, 32, 64};

// A batch of sequences of one length, their last `new_tokens` tokens being new.
class Batch {
  public:
    Batch(int64_t sequences, int64_t context, int64_t new_tokens, int64_t page_tokens)
        : pages_((context + page_tokens - 1) / page_tokens),
          memory_((sequences * (2 * new_tokens + 3 + pages_) + 2) * 4) {
        std::vector<int32_t> positions, owner, first{0}, tables, first_page{0}, seats;
        for (int64_t s = 0; s < sequences; ++s) {
            for (int64_t i = 0; i < new_tokens; ++i) {
                positions.push_back(static_cast<int32_t>(context - new_tokens + i));
                owner.push_back(static_cast<int32_t>(s));
            }
            first.push_back(static_cast<int32_t>(positions.size()));
            // Pages of sequences alternate.
            for (int64_t p = 0; p < pages_; ++p) {
                tables.push_back(static_cast<int32_t>(p * sequences + s));
            }
            first_page.push_back(static_cast<int32_t>(tables.size()));
            seats.push_back(static_cast<int32_t>(s));
        }
        auto* at = memory_.as<int32_t>();
        const auto place = [&](const std::vector<int32_t>& values) {
            copy_in(at, values);
            at += values.size();
            return at - values.size();
        };
        view_.n_tokens = sequences * new_tokens;
        view_.n_sequences = sequences;
        view_.positions = place(positions);
        view_.sequence_of_token = place(owner);
        view_.first_token = place(first);
        view_.pages = place(tables);
        view_.first_page = place(first_page);
        view_.seats = place(seats);
    }
    const KvBatch& view() const { return view_; }
    int64_t n_pages() const { return pages_ * view_.n_sequences; }

  private:
    int64_t pages_;
    DeviceMemory memory_;
    KvBatch view_;
};

struct Form {
    int bits;
    int64_t block = 0;  // of keys by channel; 0: by token
};

KvView view_of(const Model& model, const Form& form, int64_t n_layers, const Batch& batch) {
    KvDescriptor descriptor{.n_layers = n_layers,
                            .n_kv_heads = model.n_kv_heads,
                            .head_dim = model.head_dim,
                            .page_tokens = 64,
                            .k = {.bits = form.bits, .clip = 0.95f, .range_includes_zero = true},
                            .v = {.bits = form.bits, .clip = 0.95f, .range_includes_zero = false},
                            .sequences = batch.view().n_sequences};
    if (form.block > 0) {
        descriptor.k.axis = KvAxis::Channel;
        descriptor.k.block = form.block;
    }
    return make_kv_view(descriptor, batch.n_pages(), DType::F16);
}

// Writes every position of every sequence through `append`, in pieces of 512 tokens.
void fill_cache(const Model& model, const KvView& kv, int64_t sequences, int64_t context) {
    constexpr int64_t kPiece = 512;
    const int64_t cols = model.n_kv_heads * model.head_dim;
    const DeviceMemory rows(2 * kPiece * sequences * cols * 2), bad(kPiece * sequences * 4);
    auto* k = rows.as<Half>();
    auto* v = k + kPiece * sequences * cols;
    for (int64_t layer = 0; layer < kv.n_layers; ++layer) {
        for (int64_t end = std::min(kPiece, context);; end = std::min(end + kPiece, context)) {
            const int64_t count = std::min(kPiece, end);
            // Tables are numbered for the whole context.
            Batch batch(sequences, context, count, 64);
            std::vector<int32_t> positions;
            for (int64_t s = 0; s < sequences; ++s) {
                for (int64_t i = 0; i < count; ++i) {
                    positions.push_back(static_cast<int32_t>(end - count + i));
                }
            }
            copy_in(const_cast<int32_t*>(batch.view().positions), positions);
            const int64_t n = batch.view().n_tokens;
            bench::fill_random_halves(k, n * cols, static_cast<uint32_t>(17 * layer + end));
            bench::fill_random_halves(v, n * cols, static_cast<uint32_t>(31 * layer + end + 1));
            AppendCall call;
            call.k = {k, DType::F16, n, cols, cols};
            call.v = {v, DType::F16, n, cols, cols};
            call.head_dim = model.head_dim;
            call.kv = kv;
            call.layer = layer;
            call.batch = batch.view();
            call.bad_site = bad.as<int32_t>();
            append(call, nullptr);
            check(cudaDeviceSynchronize(), "append");
            if (end == context) break;
        }
    }
}

struct Setup {
    Model model;
    int64_t sequences, context, new_tokens;
};

// Microseconds of one attention call.
double time_attention(const Setup& setup, const Form& form, int64_t n_layers) {
    const Model& model = setup.model;
    const Batch batch(setup.sequences, setup.context, setup.new_tokens, 64);
    KvView kv = view_of(model, form, n_layers, batch);
    const DeviceMemory cache(kv_bytes(kv));
    kv.memory = cache.as<std::byte>();
    fill_cache(model, kv, setup.sequences, setup.context);
    const int64_t n = batch.view().n_tokens, cols = model.n_heads * model.head_dim;
    const int64_t k_cols = model.n_kv_heads * model.head_dim;
    const DeviceMemory q(n * cols * 2), out(n * cols * 2), k(n * k_cols * 2);
    bench::fill_random_halves(q.as<Half>(), n * cols, 99);
    bench::fill_random_halves(k.as<Half>(), n * k_cols, 98);
    AttentionCall call;
    call.q = {q.as<void>(), DType::F16, n, cols, cols};
    call.out = {out.as<void>(), DType::F16, n, cols, cols};
    call.n_heads = model.n_heads;
    call.kv = kv;
    call.scale = 1.0f / std::sqrt(static_cast<float>(model.head_dim));
    call.batch = batch.view();
    call.max_context = setup.context;
    call.k = {k.as<void>(), DType::F16, n, k_cols, k_cols};
    const DeviceMemory workspace(attention_workspace_bytes(call));
    call.workspace = workspace.as<void>();
    const int calls = 8;
    return time_graph(calls, [&](Stream stream) {
        for (int i = 0; i < calls; ++i) {
            call.layer = i % n_layers;
            attention(call, stream);
        }
    });
}

double cache_bytes_read(const Setup& setup, const Form& form) {
    const KvView kv = view_of(setup.model, form, 1, Batch(1, 64, 1, 64));
    return static_cast<double>(kv.newest_at) / 64.0 * static_cast<double>(setup.context) *
           static_cast<double>(setup.sequences);
}

// Short contexts: layers enough that none is left in the second-level cache.
int64_t layers_of(double bytes) {
    return static_cast<int64_t>(std::clamp(4e8 / bytes, 2.0, 8.0));
}

void bench_decode(double probe) {
    std::printf("\ndecode: a token a sequence; TB/s of the cache (share of the read probe)\n");
    std::printf("%-14s %6s %8s | %22s | %22s | %22s | ratio 16/4\n", "model", "batch", "context",
                "4 bits us", "8 bits us", "16 bits us");
    for (const Setup& setup :
         {Setup{kMha, 1, 65536, 1}, Setup{kMha, 16, 4096, 1}, Setup{kMha, 64, 1024, 1},
          Setup{kMha, 64, 2048, 1}, Setup{kGqa8, 1, 65536, 1}, Setup{kGqa8, 16, 4096, 1},
          Setup{kGqa8, 64, 2048, 1}, Setup{kGqa4, 64, 2048, 1}, Setup{kMha, 1, 4096, 1},
          Setup{kGqa8, 1, 4096, 1}, Setup{kSmall, 64, 2048, 1}}) {
        std::printf("%-14s %6lld %8lld", setup.model.name, static_cast<long long>(setup.sequences),
                    static_cast<long long>(setup.context));
        double us[3];
        for (int i = 0; i < 3; ++i) {
            const Form form{4 << i};
            const double bytes = cache_bytes_read(setup, form);
            us[i] = time_attention(setup, form, layers_of(bytes));
            const double rate = bytes / us[i] * 1e-6;
            std::printf(" | %9.1f %5.2f (%3.0f%%)", us[i], rate, 100.0 * rate / probe);
        }
        std::printf(" | %.2fx\n", us[2] / us[0]);
        std::fflush(stdout);
    }
}

void bench_prefill() {
    std::printf("\nprefill: all tokens new, causal; TFLOP/s of the two products\n");
    for (const Setup& setup :
         {Setup{kMha, 1, 2048, 2048}, Setup{kMha, 1, 8192, 8192}, Setup{kGqa8, 1, 2048, 2048},
          Setup{kGqa8, 1, 4096, 4096}, Setup{kMha, 16, 512, 512}}) {
        std::printf("%-14s %4lld x %5lld", setup.model.name,
                    static_cast<long long>(setup.sequences), static_cast<long long>(setup.context));
        const double n = static_cast<double>(setup.context);
        const double flop = 4.0 * static_cast<double>(setup.model.head_dim) *
                            static_cast<double>(setup.model.n_heads) * n * (n + 1.0) / 2.0 *
                            static_cast<double>(setup.sequences);
        for (const int bits : {4, 8, 16}) {
            const double us = time_attention(setup, {bits}, 1);
            std::printf(" | %2d bits %8.1f us %4.0f", bits, us, flop / us * 1e-6);
        }
        std::printf("\n");
        std::fflush(stdout);
    }
}

// Keys by channel beside keys by token, 4 bits.
void bench_channel() {
    std::printf("\nkeys by channel: us of attention (keys by token take so many times as long)\n");
    std::printf("%-14s %6s %8s %6s | %8s | %18s | %18s\n", "model", "batch", "context", "new",
                "by token", "blocks of 64", "blocks of 32");
    for (const Setup& setup :
         {Setup{kMha, 1, 65536, 1}, Setup{kMha, 16, 4096, 1}, Setup{kMha, 64, 2048, 1},
          Setup{kGqa8, 16, 4096, 1}, Setup{kGqa4, 64, 2048, 1}, Setup{kMha, 1, 4096, 1},
          Setup{kGqa8, 1, 4096, 1}, Setup{kSmall, 64, 2048, 1}, Setup{kMha, 1, 2048, 2048},
          Setup{kGqa8, 1, 4096, 4096}}) {
        const int64_t n_layers =
            setup.new_tokens > 1 ? 1 : layers_of(cache_bytes_read(setup, {.bits = 4}));
        const double by_token = time_attention(setup, {.bits = 4}, n_layers);
        std::printf("%-14s %6lld %8lld %6lld | %8.1f", setup.model.name,
                    static_cast<long long>(setup.sequences), static_cast<long long>(setup.context),
                    static_cast<long long>(setup.new_tokens), by_token);
        for (const int64_t block : {64, 32}) {
            const double us = time_attention(setup, {.bits = 4, .block = block}, n_layers);
            std::printf(" | %9.1f (%5.2fx)", us, by_token / us);
        }
        std::printf("\n");
        std::fflush(stdout);
    }
}

void bench_append(int64_t block) {
    std::printf("\nRoPE, R3, quantize and append (q, k, v of halves), %s\n",
                block > 0 ? "keys by channel" : "keys by token");
    for (const Model& model : {kMha, kGqa8}) {
        for (const int64_t tokens : {1, 64, 2048}) {
            const Batch batch(1, tokens, tokens, 64);
            const int64_t n = tokens, q_cols = model.n_heads * model.head_dim;
            const int64_t k_cols = model.n_kv_heads * model.head_dim;
            KvView kv = view_of(model, {4, block}, 1, batch);
            const DeviceMemory cache(kv_bytes(kv)), q(n * q_cols * 2), k(n * k_cols * 2),
                v(n * k_cols * 2), table(n * model.head_dim * 4), bad(n * 4);
            kv.memory = cache.as<std::byte>();
            bench::fill_random_halves(q.as<Half>(), n * q_cols, 1);
            bench::fill_random_halves(k.as<Half>(), n * k_cols, 2);
            bench::fill_random_halves(v.as<Half>(), n * k_cols, 3);
            check(cudaMemset(table.as<void>(), 0, static_cast<size_t>(n * model.head_dim * 4)),
                  "cudaMemset");
            AppendCall call;
            call.q = {q.as<void>(), DType::F16, n, q_cols, q_cols};
            call.k = {k.as<void>(), DType::F16, n, k_cols, k_cols};
            call.v = {v.as<void>(), DType::F16, n, k_cols, k_cols};
            call.head_dim = model.head_dim;
            call.rope = {table.as<float>(), table.as<float>()};
            call.transform = {.dense_order = 1, .factor = 0.088388348f};
            call.kv = kv;
            call.batch = batch.view();
            call.bad_site = bad.as<int32_t>();
            const int calls = 10;
            const double us = time_graph(calls, [&](Stream stream) {
                for (int i = 0; i < calls; ++i) append(call, stream);
            });
            const double bytes = static_cast<double>(n) * (4.0 * static_cast<double>(q_cols) +
                                                           5.0 * static_cast<double>(k_cols));
            std::printf("%-14s %5lld tokens %8.2f us %5.2f TB/s\n", model.name,
                        static_cast<long long>(tokens), us, bytes / us * 1e-6);
        }
    }
}

}  // namespace
}  // namespace quarot::kernels::cuda

int main(int argc, char** argv) {
    using namespace quarot::kernels::cuda;
    std::string sections = "decode,prefill,append";
    for (int i = 1; i + 1 < argc; ++i) {
        if (std::strcmp(argv[i], "--sections") == 0) sections = argv[i + 1];
    }
    const auto wanted = [&](const char* name) { return sections.find(name) != std::string::npos; };
    cudaDeviceProp properties;
    check(cudaGetDeviceProperties(&properties, 0), "cudaGetDeviceProperties");
    const double probe = probe_bandwidth();
    std::printf("%s, read probe %.2f TB/s\n", properties.name, probe);
    if (wanted("decode")) bench_decode(probe);
    if (wanted("prefill")) bench_prefill();
    if (wanted("append")) bench_append(0);
    if (wanted("channel")) {
        bench_channel();
        bench_append(64);
    }
    return 0;
}

#include "bench/paper_figures.h"

#include <array>

namespace quarot::bench {

namespace {

constexpr std::array<int64_t, 6> kBatches = {1, 2, 4, 8, 16, 32};
using ByBatch = std::array<PaperTimes, kBatches.size()>;

struct LinearRow {
    int64_t out, in;
    ByBatch times;
};

constexpr LinearRow kLinears[] = {
    {4096,
     4096,
     {{{1.043, 0.370, 0.409},
       {1.902, 0.696, 0.790},
       {3.715, 1.361, 1.522},
       {7.200, 2.675, 2.999},
       {14.508, 5.357, 5.973},
       {29.029, 10.641, 11.900}}}},
    {5120,
     5120,
     {{{1.418, 0.464, 0.552},
       {2.918, 0.937, 1.100},
       {5.852, 1.888, 2.206},
       {11.465, 3.809, 4.428},
       {22.807, 7.547, 8.755},
       {45.312, 15.019, 17.417}}}},
    {8192,
     8192,
     {{{3.696, 0.997, 1.084},
       {7.191, 1.944, 2.099},
       {14.236, 3.918, 4.208},
       {28.508, 7.944, 8.460},
       {57.814, 15.793, 16.859},
       {115.462, 31.693, 33.780}}}},
    {4096,
     11008,
     {{{2.569, 0.749, 0.798},
       {5.027, 1.478, 1.555},
       {9.752, 2.990, 3.140},
       {19.696, 6.031, 6.296},
       {38.883, 11.978, 12.503},
       {78.320, 23.874, 24.935}}}},
    {5120,
     13824,
     {{{3.983, 1.063, 1.142},
       {7.869, 2.148, 2.291},
       {15.410, 4.340, 4.616},
       {30.761, 8.719, 9.231},
       {61.203, 17.318, 18.345},
       {122.926, 34.816, 36.953}}}},
    {8192,
     28672,
     {{{12.450, 2.881, 2.911},
       {25.391, 5.828, 5.892},
       {50.742, 11.938, 11.947},
       {101.290, 24.186, 24.202},
       {202.909, 48.238, 48.325},
       {406.344, 96.761, 97.044}}}},
};

struct AttentionRow {
    int64_t n_heads;
    ByBatch times;
};

constexpr AttentionRow kAttention[] = {
    {32,
     {{{0.713, 1.033, 1.163},
       {0.723, 1.035, 1.168},
       {0.781, 1.033, 1.168},
       {0.984, 1.042, 1.173},
       {1.348, 1.018, 1.153},
       {2.098, 1.168, 1.247}}}},
    {40,
     {{{0.712, 1.026, 1.157},
       {0.726, 1.035, 1.173},
       {0.831, 1.038, 1.166},
       {1.065, 1.048, 1.181},
       {1.525, 1.021, 1.153},
       {2.480, 1.244, 1.320}}}},
    {64,
     {{{0.715, 1.028, 1.160},
       {0.780, 1.034, 1.171},
       {0.984, 1.034, 1.171},
       {1.361, 1.048, 1.182},
       {2.071, 1.147, 1.223},
       {3.563, 1.566, 1.645}}}},
};

struct PrefillRow {
    const char* shape;
    int64_t batch;
    double ratio;
};

constexpr PrefillRow kPrefill[] = {
    {"llama-2-7b", 1, 1.97},  {"llama-2-7b", 4, 2.06},   {"llama-2-7b", 16, 2.11},
    {"llama-2-7b", 32, 2.14}, {"llama-2-7b", 64, 2.16},  {"llama-2-70b", 1, 3.16},
    {"llama-2-70b", 4, 3.27}, {"llama-2-70b", 16, 3.32}, {"llama-2-70b", 32, 3.33},
};

constexpr std::array<int64_t, 5> kDepths = {256, 512, 1024, 2048, 4096};

struct MemoryRow {
    const char* shape;
    int64_t batch;
    std::array<PaperMemory, kDepths.size()> by_depth;
};

constexpr MemoryRow kMemory[] = {
    {"llama-2-7b",
     1,
     {{{0.392, 0.108}, {0.396, 0.108}, {0.404, 0.110}, {0.419, 0.114}, {0.451, 0.125}}}},
    {"llama-2-7b",
     16,
     {{{0.464, 0.128}, {0.528, 0.144}, {0.655, 0.177}, {0.908, 0.244}, {1.416, 0.378}}}},
    {"llama-2-70b",
     1,
     {{{1.605, 0.409}, {1.606, 0.409}, {1.608, 0.410}, {1.612, 0.411}, {1.620, 0.413}}}},
    {"llama-2-70b",
     16,
     {{{1.626, 0.418}, {1.642, 0.422}, {1.674, 0.430}, {1.738, 0.447}, {1.865, 0.480}}}},
};

template <size_t N>
std::optional<size_t> place_in(const std::array<int64_t, N>& list, int64_t value) {
    for (size_t i = 0; i < N; ++i) {
        if (list[i] == value) return i;
    }
    return std::nullopt;
}

std::optional<PaperTimes> of_batch(const ByBatch& times, int64_t batch) {
    const auto place = place_in(kBatches, batch);
    return place ? std::optional(times[*place]) : std::nullopt;
}

}  // namespace

std::optional<PaperTimes> paper_linear(int64_t out, int64_t in, int64_t batch) {
    for (const LinearRow& row : kLinears) {
        if (row.out == out && row.in == in) return of_batch(row.times, batch);
    }
    return std::nullopt;
}

std::optional<PaperTimes> paper_attention(int64_t n_heads, int64_t batch) {
    for (const AttentionRow& row : kAttention) {
        if (row.n_heads == n_heads) return of_batch(row.times, batch);
    }
    return std::nullopt;
}

std::optional<double> paper_prefill_ratio(const std::string& shape, int64_t batch) {
    for (const PrefillRow& row : kPrefill) {
        if (shape == row.shape && row.batch == batch) return row.ratio;
    }
    return std::nullopt;
}

std::optional<PaperMemory> paper_memory(const std::string& shape, int64_t batch, int64_t depth) {
    const auto place = place_in(kDepths, depth);
    for (const MemoryRow& row : kMemory) {
        if (place && shape == row.shape && row.batch == batch) return row.by_depth[*place];
    }
    return std::nullopt;
}

}  // namespace quarot::bench

// What the QuaRot paper (arXiv 2404.00456) measured on an RTX 3090: tables 14 to 17, of which
// figure 4 draws the last two.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace quarot::bench {

// Milliseconds in 16 bits, in 4 bits, and in 4 bits with the fp32 Hadamard transform.
struct PaperTimes {
    double dense = 0.0;
    double quantized = 0.0;
    double rotated = 0.0;
};

// Gigabytes of one decoder block at the peak of decoding.
struct PaperMemory {
    double dense = 0.0;
    double quantized = 0.0;
};

// Table 14: a linear on 2048 tokens of each of `batch` sequences. The paper's program transforms
// `out` columns where in and out differ.
std::optional<PaperTimes> paper_linear(int64_t out, int64_t in, int64_t batch);
// Table 15: attention of one new token at 2047 cached ones, as many heads of K and V as of Q, of
// 128.
std::optional<PaperTimes> paper_attention(int64_t n_heads, int64_t batch);
// Table 16: how many times faster than in 16 bits a decoder block takes prompts of 2048 tokens.
// `shape` as in shape_names().
std::optional<double> paper_prefill_ratio(const std::string& shape, int64_t batch);
// Table 17: with `depth` cached tokens of each sequence.
std::optional<PaperMemory> paper_memory(const std::string& shape, int64_t batch, int64_t depth);

}  // namespace quarot::bench

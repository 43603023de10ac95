// A text cut into the windows that a model runs, as one of three protocols has it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace quarot::eval {

// Tokens that run from an empty cache, and those that the last of them predict.
struct Window {
    std::vector<int32_t> inputs;
    std::vector<int32_t> targets;  // input first_scored + i predicts targets[i]
    int64_t first_scored = 0;
    int64_t document = 0;
};

// The paper's: consecutive windows of seqlen tokens, a shorter rest dropped; each but its first
// token is scored. At most max_windows (0: all). Error{Usage} if there is not one whole window.
std::vector<Window> paper_windows(std::span<const int32_t> ids, int64_t seqlen,
                                  int64_t max_windows);

// llama-perplexity's: the same windows, but with `bos` in the place of the first token, and only
// tokens behind the first half (seqlen / 2 + 1 on) are scored. Errors as above; seqlen is at least
// 3.
std::vector<Window> llama_cpp_windows(std::span<const int32_t> ids, int64_t seqlen,
                                      int64_t max_windows, std::optional<int32_t> bos);

// lm-evaluation-harness's: every token of a document is scored once. The first window predicts
// seqlen tokens, beginning behind `prefix`; each later one the next seqlen, the last one the rest,
// with as many tokens before it as fit. None for an empty document.
std::vector<Window> rolling_windows(std::span<const int32_t> ids, int64_t seqlen, int32_t prefix,
                                    int64_t document);

}  // namespace quarot::eval

#include "eval/window.h"

#include <algorithm>

#include "core/error.h"
#include "core/setting.h"

namespace quarot::eval {

namespace {

// How many whole windows are asked for.
int64_t count_windows(std::span<const int32_t> ids, int64_t seqlen, int64_t least_seqlen,
                      int64_t max_windows) {
    if (seqlen < least_seqlen) {
        fail(ErrorCode::Usage, "{} is {}, expected at least {}", Setting{"window_tokens"}, seqlen,
             least_seqlen);
    }
    const int64_t whole = std::ssize(ids) / seqlen;
    if (whole == 0) {
        fail(ErrorCode::Usage,
             "the text has {} tokens, one window needs {}; use a longer text or a smaller {}",
             ids.size(), seqlen, Setting{"window_tokens"});
    }
    return max_windows > 0 ? std::min(max_windows, whole) : whole;
}

Window window_of(std::span<const int32_t> tokens, int64_t first_scored) {
    const auto targets = tokens.subspan(static_cast<size_t>(first_scored) + 1);
    return {.inputs = {tokens.begin(), tokens.end()},
            .targets = {targets.begin(), targets.end()},
            .first_scored = first_scored};
}

std::vector<Window> consecutive_windows(std::span<const int32_t> ids, int64_t seqlen,
                                        int64_t n_windows, int64_t first_scored) {
    std::vector<Window> windows;
    for (int64_t w = 0; w < n_windows; ++w) {
        const auto tokens =
            ids.subspan(static_cast<size_t>(w * seqlen), static_cast<size_t>(seqlen));
        windows.push_back(window_of(tokens, first_scored));
    }
    return windows;
}

}  // namespace

std::vector<Window> paper_windows(std::span<const int32_t> ids, int64_t seqlen,
                                  int64_t max_windows) {
    return consecutive_windows(ids, seqlen, count_windows(ids, seqlen, 2, max_windows), 0);
}

std::vector<Window> llama_cpp_windows(std::span<const int32_t> ids, int64_t seqlen,
                                      int64_t max_windows, std::optional<int32_t> bos) {
    std::vector<Window> windows =
        consecutive_windows(ids, seqlen, count_windows(ids, seqlen, 3, max_windows), seqlen / 2);
    for (Window& window : windows) {
        if (bos) window.inputs.front() = *bos;
    }
    return windows;
}

std::vector<Window> rolling_windows(std::span<const int32_t> ids, int64_t seqlen, int32_t prefix,
                                    int64_t document) {
    if (seqlen < 1) {
        fail(ErrorCode::Usage, "{} is {}, expected at least 1", Setting{"window_tokens"}, seqlen);
    }
    std::vector<int32_t> tokens = {prefix};
    tokens.insert(tokens.end(), ids.begin(), ids.end());
    std::vector<Window> windows;
    const std::span<const int32_t> all(tokens);
    for (int64_t first = 0; first < std::ssize(ids);) {
        const int64_t end = std::min(first + seqlen, std::ssize(ids));
        // tokens[end] is the last target, so its inputs end before it.
        const int64_t begin = std::max(end - seqlen, int64_t{0});
        const auto inputs =
            all.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
        const auto targets =
            ids.subspan(static_cast<size_t>(first), static_cast<size_t>(end - first));
        windows.push_back({.inputs = {inputs.begin(), inputs.end()},
                           .targets = {targets.begin(), targets.end()},
                           .first_scored = first - begin,
                           .document = document});
        first = end;
    }
    return windows;
}

}  // namespace quarot::eval

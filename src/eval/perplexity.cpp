#include "eval/perplexity.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "core/error.h"
#include "core/limits.h"
#include "core/process.h"
#include "core/progress.h"
#include "core/thread_pool.h"
#include "io/file.h"
#include "tensor/log_softmax.h"

namespace quarot::eval {

namespace {

constexpr int64_t kPrefillPiece = 512;
constexpr int64_t kLogitRows = 128;  // rows of logits in memory at once

class Stopwatch {
  public:
    template <typename Work>
    void time(const Work& work) {
        const auto start = std::chrono::steady_clock::now();
        work();
        seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    }
    double seconds() const { return seconds_; }

  private:
    double seconds_ = 0.0;
};

// Scores windows one after another; one instance per call of perplexity().
class WindowScorer {
  public:
    WindowScorer(runtime::Engine& engine, runtime::Engine* base, int n_threads)
        : engine_(engine),
          base_(base),
          pool_(n_threads),
          vocab_(engine.weights().config.vocab),
          logits_(static_cast<size_t>(kLogitRows * vocab_)) {
        if (base_ != nullptr) base_logits_.resize(logits_.size());
    }

    // Mean negative log-likelihood of tokens 1 .. seqlen-1.
    double score(std::span<const int32_t> window) {
        nll_.assign(window.size() - 1, 0.0);
        const runtime::SequenceId sequence = engine_.add_sequence();
        const runtime::SequenceId base_sequence = base_ != nullptr ? base_->add_sequence() : 0;
        for (size_t first = 0; first < window.size(); first += kPrefillPiece) {
            const auto n = std::min<size_t>(kPrefillPiece, window.size() - first);
            const auto tokens = window.subspan(first, n);
            const runtime::Chunk chunk = {sequence, tokens, runtime::LogitsWanted::All};
            forward_.time([&] { engine_.step({&chunk, 1}); });
            if (base_ != nullptr) {
                const runtime::Chunk base_chunk = {base_sequence, tokens,
                                                   runtime::LogitsWanted::All};
                base_->step({&base_chunk, 1});
            }
            score_piece(window, first, n);
        }
        engine_.remove_sequence(sequence);
        if (base_ != nullptr) base_->remove_sequence(base_sequence);
        double sum = 0.0;
        for (const double value : nll_) sum += value;
        return sum / static_cast<double>(nll_.size());
    }

    double forward_seconds() const { return forward_.seconds(); }

    Divergence divergence() {
        Divergence result;
        for (const double value : divergences_) result.mean += value;
        const auto n = static_cast<double>(divergences_.size());
        result.mean /= n;
        result.same_top1 = static_cast<double>(n_same_top1_) / n;
        std::sort(divergences_.begin(), divergences_.end());
        result.p99 = divergences_[static_cast<size_t>(std::ceil(0.99 * n)) - 1];
        return result;
    }

  private:
    // Rows [first, first + n) of the window just went through the engine: their logits, in slices.
    void score_piece(std::span<const int32_t> window, size_t first, size_t n) {
        const size_t end = std::min(first + n, window.size() - 1);  // the last row predicts nothing
        for (size_t row = first; row < end; row += kLogitRows) {
            const auto rows = static_cast<int64_t>(std::min<size_t>(kLogitRows, end - row));
            const auto in_step = static_cast<int64_t>(row - first);
            const auto used = static_cast<size_t>(rows * vocab_);
            forward_.time([&] { engine_.logits(in_step, rows, {logits_.data(), used}); });
            if (base_ != nullptr) base_->logits(in_step, rows, {base_logits_.data(), used});
            score_rows(window, row, rows);
        }
    }

    void score_rows(std::span<const int32_t> window, size_t first, int64_t rows) {
        std::vector<double> divergence(base_ != nullptr ? static_cast<size_t>(rows) : 0);
        std::vector<char> same(divergence.size());
        pool_.parallel_for(rows, [&](int64_t r, int) {
            const auto i = static_cast<size_t>(r);
            const std::span<const float> row = {logits_.data() + r * vocab_,
                                                static_cast<size_t>(vocab_)};
            const double log_sum = log_sum_exp(row);
            const auto target = static_cast<size_t>(window[first + i + 1]);
            nll_[first + i] = log_sum - static_cast<double>(row[target]);
            if (base_ == nullptr) return;
            const std::span<const float> base_row = {base_logits_.data() + r * vocab_,
                                                     static_cast<size_t>(vocab_)};
            divergence[i] = kl_divergence(base_row, log_sum_exp(base_row), row, log_sum);
            same[i] = arg_max(row) == arg_max(base_row) ? 1 : 0;
        });
        divergences_.insert(divergences_.end(), divergence.begin(), divergence.end());
        n_same_top1_ += std::count(same.begin(), same.end(), 1);
    }

    runtime::Engine& engine_;
    runtime::Engine* base_;
    ThreadPool pool_;
    int64_t vocab_;
    std::vector<float> logits_, base_logits_;
    std::vector<double> nll_;  // of the current window
    std::vector<double> divergences_;
    int64_t n_same_top1_ = 0;
    Stopwatch forward_;
};

}  // namespace

PerplexityResult perplexity(runtime::Engine& engine, runtime::Engine* base,
                            std::span<const int32_t> ids, const PerplexityOptions& options) {
    const int64_t seqlen = options.seqlen;
    if (seqlen < 2) fail(ErrorCode::Usage, "--seqlen is {}, expected at least 2", seqlen);
    const int64_t whole = static_cast<int64_t>(ids.size()) / seqlen;
    if (whole == 0) {
        fail(ErrorCode::Usage,
             "the text has {} tokens, one window needs {}; use a longer text or a smaller --seqlen",
             ids.size(), seqlen);
    }
    const int64_t n_windows =
        options.max_windows > 0 ? std::min(options.max_windows, whole) : whole;
    WindowScorer scorer(engine, base, options.n_threads);
    Progress progress("perplexity, window", n_windows);
    PerplexityResult result;
    double sum = 0.0;
    for (int64_t w = 0; w < n_windows; ++w) {
        throw_if_interrupted();
        const auto window =
            ids.subspan(static_cast<size_t>(w * seqlen), static_cast<size_t>(seqlen));
        result.window_nll.push_back(scorer.score(window));
        sum += result.window_nll.back();
        progress.advance();
    }
    result.perplexity = std::exp(sum / static_cast<double>(n_windows));
    result.forward_seconds = scorer.forward_seconds();
    if (base != nullptr) result.divergence = scorer.divergence();
    return result;
}

std::string read_evaluation_text(const std::string& path, const std::string& format) {
    const std::string text = io::read_text(path, limits::kEvaluationTextBytes);
    if (format == "raw") return text;
    if (format != "wikitext-rows") {
        fail(ErrorCode::Usage, "--text-format is {}, expected raw or wikitext-rows", format);
    }
    std::string rows;
    rows.reserve(text.size() + text.size() / 32);
    for (size_t start = 0; start < text.size();) {
        const size_t newline = text.find('\n', start);
        const size_t end = newline == std::string::npos ? text.size() : newline + 1;
        if (start > 0) rows += '\n';
        rows.append(text, start, end - start);
        start = end;
    }
    return rows;
}

}  // namespace quarot::eval

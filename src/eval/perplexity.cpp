#include "eval/perplexity.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "core/check.h"
#include "core/process.h"
#include "core/progress.h"
#include "eval/live_base.h"
#include "eval/window_request.h"
#include "runtime/token_ids.h"

namespace quarot::eval {

namespace {

using runtime::StepRows;

// Scores one window after another; nll of all their targets in order.
class WindowScorer {
  public:
    WindowScorer(runtime::Engine& engine, RowScorer& scorer) : engine_(engine), scorer_(scorer) {}

    void run(const Window& window) {
        const size_t first = nll_.size();
        nll_.resize(first + window.targets.size());
        scorer_.begin(window);
        WindowRequest request(engine_, window, [&](const StepRows& rows) {
            const auto row = static_cast<size_t>(rows.first_position() - window.first_scored);
            // The last input may predict nothing.
            const size_t n =
                std::min(static_cast<size_t>(rows.size()), window.targets.size() - row);
            if (n == 0) return;
            scorer_.score(rows, std::span(window.targets).subspan(row, n),
                          std::span(nll_).subspan(first + row, n));
        });
        while (!request.finished()) forward_.time([&] { request.run_piece(); });
    }

    std::span<const double> nll() const { return nll_; }
    double forward_seconds() const { return forward_.seconds() - scorer_.seconds_aside(); }

  private:
    runtime::Engine& engine_;
    RowScorer& scorer_;
    std::vector<double> nll_;
    Stopwatch forward_;
};

double sum_of(std::span<const double> values) {
    return std::accumulate(values.begin(), values.end(), 0.0);
}

std::vector<double> window_means(std::span<const double> nll, std::span<const Window> windows) {
    std::vector<double> means;
    for (const Window& window : windows) {
        const size_t n = window.targets.size();
        means.push_back(sum_of(nll.first(n)) / static_cast<double>(n));
        nll = nll.subspan(n);
    }
    return means;
}

// What the documents hold, each a sum.
struct DocumentSums {
    std::vector<double> nll, tokens, words, bytes;
};

DocumentSums sums_of(std::span<const double> nll, const ScoredText& text) {
    DocumentSums sums;
    for (const DocumentSize& document : text.documents) {
        sums.words.push_back(static_cast<double>(document.n_words));
        sums.bytes.push_back(static_cast<double>(document.n_bytes));
    }
    sums.nll.resize(text.documents.size());
    sums.tokens.resize(text.documents.size());
    for (const Window& window : text.windows) {
        const auto document = static_cast<size_t>(window.document);
        QUAROT_CHECK(document < sums.nll.size(), "document {}", document);
        sums.nll[document] += sum_of(nll.first(window.targets.size()));
        sums.tokens[document] += static_cast<double>(window.targets.size());
        nll = nll.subspan(window.targets.size());
    }
    return sums;
}

RollingResult rolling_of(const DocumentSums& sums) {
    const Mean per_byte = ratio_of(sums.nll, sums.bytes);
    RollingResult result = {.word_perplexity = exp_of(ratio_of(sums.nll, sums.words)),
                            .byte_perplexity = exp_of(per_byte),
                            .bits_per_byte = per_byte};
    result.bits_per_byte.value /= std::numbers::ln2;
    if (per_byte.standard_error) *result.bits_per_byte.standard_error /= std::numbers::ln2;
    return result;
}

Mean mean_nll(std::span<const double> nll, const ScoredText& text, PerplexityResult& result) {
    switch (text.protocol) {
        case Protocol::Quarot:
            return mean_of(result.window_nll);
        case Protocol::LlamaCpp:
            return mean_of(nll);
        case Protocol::LmEval:
            break;
    }
    const DocumentSums sums = sums_of(nll, text);
    result.rolling = rolling_of(sums);
    return ratio_of(sums.nll, sums.tokens);
}

}  // namespace

PerplexityResult measure_perplexity(runtime::Engine& engine, const ScoredText& text,
                                    RowScorer& scorer) {
    QUAROT_CHECK(!text.windows.empty());
    PerplexityResult result;
    for (const Window& window : text.windows) {
        runtime::require_in_vocabulary(window.inputs, engine.weights().config.vocab);
        runtime::require_in_vocabulary(window.targets, engine.weights().config.vocab);
        result.n_run += std::ssize(window.inputs);
    }
    WindowScorer windows(engine, scorer);
    Progress progress("perplexity, token", result.n_run);
    for (const Window& window : text.windows) {
        throw_if_interrupted();
        windows.run(window);
        progress.advance(std::ssize(window.inputs));
    }
    result.n_scored = std::ssize(windows.nll());
    result.window_nll = window_means(windows.nll(), text.windows);
    const Mean mean = exp_of(mean_nll(windows.nll(), text, result));
    result.perplexity = mean.value;
    result.standard_error = mean.standard_error;
    result.forward_seconds = windows.forward_seconds();
    return result;
}

PerplexityResult perplexity(runtime::Engine& engine, runtime::Engine* base,
                            std::span<const int32_t> ids, const PerplexityOptions& options) {
    runtime::require_in_vocabulary(ids, engine.weights().config.vocab);
    if (base != nullptr) runtime::require_in_vocabulary(ids, base->weights().config.vocab);
    const ScoredText text = {.protocol = Protocol::Quarot,
                             .windows = paper_windows(ids, options.seqlen, options.max_windows),
                             .documents = {},
                             .n_tokens = std::ssize(ids)};
    if (base == nullptr) {
        RowScorer scorer;
        return measure_perplexity(engine, text, scorer);
    }
    LiveBase scorer(*base);
    PerplexityResult result = measure_perplexity(engine, text, scorer);
    result.divergence = divergence_of(scorer.pairs());
    return result;
}

}  // namespace quarot::eval

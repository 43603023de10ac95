#include "eval/perplexity.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

#include "core/check.h"
#include "core/error.h"
#include "core/process.h"
#include "core/progress.h"
#include "core/setting.h"
#include "eval/statistics.h"
#include "io/input_text.h"
#include "runtime/token_ids.h"

namespace quarot::eval {

namespace {

constexpr int64_t kTextBytes = int64_t{1} << 30;

using runtime::StepRows;

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

// A window on its way through an engine, a step at a time if nothing else runs there.
class Request {
  public:
    Request(runtime::Engine& engine, std::span<const int32_t> window, runtime::Look look)
        : engine_(engine), rest_(window), look_(std::move(look)), n_(std::ssize(window)) {}

    bool finished() const { return rest_.empty(); }
    void run_piece() {
        const auto piece =
            rest_.first(std::min(static_cast<size_t>(engine_.limits().step_tokens), rest_.size()));
        rest_ = rest_.subspan(piece.size());
        if (request_) {
            request_->give(piece);
        } else {
            request_.emplace(engine_,
                             runtime::Request{.tokens = {piece.begin(), piece.end()},
                                              .max_tokens = n_,
                                              .logits = runtime::LogitsWanted::All,
                                              .shares_prefix = false},
                             look_);
        }
        request_->wait();
    }

  private:
    runtime::Engine& engine_;
    std::span<const int32_t> rest_;
    runtime::Look look_;
    int64_t n_;
    std::optional<runtime::ScopedRequest> request_;
};

// Scores windows one after another; one instance per call of perplexity().
class WindowScorer {
  public:
    WindowScorer(runtime::Engine& engine, runtime::Engine* base) : engine_(engine), base_(base) {}

    // Mean negative log-likelihood of tokens 1 .. seqlen-1.
    double score(std::span<const int32_t> window) {
        window_ = window;
        nll_.assign(window.size() - 1, 0.0);
        Request request(engine_, window, [this](const StepRows& rows) { look(rows); });
        if (base_ != nullptr) {
            base_request_.emplace(*base_, window, [this](const StepRows& rows) { compare(rows); });
        }
        while (!request.finished()) forward_.time([&] { request.run_piece(); });
        base_request_.reset();
        double sum = 0.0;
        for (const double value : nll_) sum += value;
        return sum / static_cast<double>(nll_.size());
    }

    double forward_seconds() const { return forward_.seconds() - base_clock_.seconds(); }
    double base_perplexity() const {
        return std::exp(base_nll_sum_ / static_cast<double>(divergences_.size()));
    }

    Divergence divergence() {
        Divergence result;
        result.base_perplexity = base_perplexity();
        for (const double value : divergences_) result.mean += value;
        const auto n = static_cast<double>(divergences_.size());
        result.mean /= n;
        result.same_top1 = static_cast<double>(n_same_top1_) / n;
        std::sort(divergences_.begin(), divergences_.end());
        result.p99 = divergences_[static_cast<size_t>(std::ceil(0.99 * n)) - 1];
        return result;
    }

  private:
    // Rows of the window just went through the model; the window's last one predicts nothing.
    void look(const StepRows& rows) {
        const auto first = static_cast<size_t>(rows.first_position());
        const size_t n = std::min(static_cast<size_t>(rows.size()), nll_.size() - first);
        rows.log_probabilities(window_.subspan(first + 1, n), std::span(nll_).subspan(first, n));
        for (double& value : std::span(nll_).subspan(first, n)) value = -value;
        if (base_ == nullptr) return;
        model_rows_ = &rows;
        base_clock_.time([&] { base_request_->run_piece(); });
    }

    // The same rows of the base, while the model's are in memory.
    void compare(const StepRows& base_rows) {
        const auto first = static_cast<size_t>(base_rows.first_position());
        QUAROT_CHECK(base_rows.size() == model_rows_->size() &&
                     base_rows.first_position() == model_rows_->first_position());
        std::vector<runtime::Executor::Divergence> rows(
            std::min(static_cast<size_t>(base_rows.size()), nll_.size() - first));
        std::vector<double> base_nll(rows.size());
        base_rows.log_probabilities(window_.subspan(first + 1, rows.size()), base_nll);
        for (const double value : base_nll) base_nll_sum_ -= value;
        model_rows_->divergence(base_rows, rows);
        for (const auto& row : rows) {
            divergences_.push_back(row.kl);
            n_same_top1_ += row.same_top1 ? 1 : 0;
        }
    }

    runtime::Engine& engine_;
    runtime::Engine* base_;
    std::span<const int32_t> window_;
    std::vector<double> nll_;  // of the window
    std::optional<Request> base_request_;
    const StepRows* model_rows_ = nullptr;  // in a look
    std::vector<double> divergences_;
    double base_nll_sum_ = 0.0;  // over all windows, which are of one length
    int64_t n_same_top1_ = 0;
    Stopwatch forward_, base_clock_;
};

}  // namespace

PerplexityResult perplexity(runtime::Engine& engine, runtime::Engine* base,
                            std::span<const int32_t> ids, const PerplexityOptions& options) {
    const int64_t seqlen = options.seqlen;
    if (seqlen < 2) {
        fail(ErrorCode::Usage, "{} is {}, expected at least 2", Setting{"window_tokens"}, seqlen);
    }
    runtime::require_in_vocabulary(ids, engine.weights().config.vocab);
    if (base != nullptr) runtime::require_in_vocabulary(ids, base->weights().config.vocab);
    const int64_t whole = static_cast<int64_t>(ids.size()) / seqlen;
    if (whole == 0) {
        fail(ErrorCode::Usage,
             "the text has {} tokens, one window needs {}; use a longer text or a smaller {}",
             ids.size(), seqlen, Setting{"window_tokens"});
    }
    const int64_t n_windows =
        options.max_windows > 0 ? std::min(options.max_windows, whole) : whole;
    WindowScorer scorer(engine, base);
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
    if (const auto error = mean_of(result.window_nll).standard_error) {
        result.standard_error = result.perplexity * *error;
    }
    result.forward_seconds = scorer.forward_seconds();
    if (base != nullptr) result.divergence = scorer.divergence();
    return result;
}

std::string read_evaluation_text(const std::string& path, const std::string& format) {
    std::string text = io::read_input_text(path, kTextBytes);
    if (format == "raw") return text;
    if (format != "wikitext-rows") {
        fail(ErrorCode::Usage, "{} is {}, expected raw or wikitext-rows", Setting{"text_format"},
             format);
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

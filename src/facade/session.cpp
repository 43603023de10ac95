// Sessions are clients of their model's one engine.
#include "quarot/session.h"

#include <atomic>
#include <utility>

#include "core/error.h"
#include "core/process.h"
#include "core/watch.h"
#include "eval/pair_score.h"
#include "eval/perplexity.h"
#include "eval/token_pair.h"
#include "facade/arguments.h"
#include "facade/listener.h"
#include "facade/model_impl.h"
#include "folder/generation_config.h"
#include "generation/prompt.h"
#include "runtime/engine.h"
#include "runtime/generate.h"

namespace quarot {

struct Session::Impl {
    std::shared_ptr<const Model::Impl> model;
    std::atomic<bool> busy = false;

    explicit Impl(std::shared_ptr<const Model::Impl> of) : model(std::move(of)) {}

    runtime::Engine& engine() const { return *model->engine; }
    const tokenizer::Tokenizer& tokenizer() const { return model->internal_tokenizer(); }
};

// One public call on a session, from its first line to its last.
class Session::Call {
  public:
    explicit Call(Impl& impl) : impl_(impl) {
        if (impl_.busy.exchange(true)) {
            fail(ErrorCode::Usage,
                 "this session is in the middle of a call; wait for its end, or use a session of "
                 "your own");
        }
    }
    ~Call() { impl_.busy = false; }
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;

  private:
    Impl& impl_;
};

namespace {

std::vector<Likelihood> score(runtime::Engine& engine, std::span<const eval::TokenPair> pairs) {
    std::vector<Likelihood> likelihoods;
    for (const auto& [loglikelihood, is_greedy, is_cut] :
         eval::score_pairs(engine, pairs, {.wants_greedy = true})) {
        likelihoods.push_back(
            {.loglikelihood = loglikelihood, .is_greedy = is_greedy, .is_cut = is_cut});
    }
    return likelihoods;
}

}  // namespace

GenerateOptions suggested_options(const Model& model) {
    const folder::GenerationDefaults found = folder::generation_defaults_of(model.impl_->folder);
    GenerateOptions options;
    options.temperature = found.temperature.value_or(options.temperature);
    options.top_k = found.top_k.value_or(options.top_k);
    options.top_p = found.top_p.value_or(options.top_p);
    options.min_p = found.min_p.value_or(options.min_p);
    options.repetition_penalty = found.repetition_penalty.value_or(options.repetition_penalty);
    return options;
}

Session::Session(const Model& model) : impl_(std::make_unique<Impl>(model.impl_)) {}
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;
Session::~Session() = default;

GenerateResult Session::generate(std::string_view prompt, const GenerateOptions& options,
                                 const TextCallback& on_text, const ProgressCallback& on_progress) {
    const std::vector<int32_t> ids =
        generation::encode_prompt(impl_->tokenizer(), prompt, tokenizer::AddBos::Auto);
    return generate(std::span<const int32_t>(ids), options, on_text, on_progress);
}

GenerateResult Session::generate(std::span<const int32_t> prompt, const GenerateOptions& options,
                                 const TextCallback& on_text, const ProgressCallback& on_progress) {
    const Call call(*impl_);
    const Watch watch(on_progress);
    const model::Weights& weights = impl_->model->weights;
    facade::require_tokens(prompt, weights.config.vocab);
    const auto n_prompt = std::ssize(prompt);
    generation::positions_needed(n_prompt, std::nullopt, weights.n_positions, "");
    const runtime::GenerateOptions how = facade::runtime_options(options, *impl_->model);
    facade::Listener listener(impl_->tokenizer(), prompt, options, on_text);
    runtime::GenerateResult made = runtime::generate(impl_->engine(), prompt, how,
                                                     [&](int32_t id) { return listener.take(id); });
    listener.finish();
    return {.text = listener.take_text(),
            .ids = std::move(made.ids),
            .finish_reason = listener.reason(made.finish_reason),
            .prompt_tokens = n_prompt,
            .prompt_seconds = made.prompt_seconds,
            .decode_seconds = made.decode_seconds};
}

std::vector<float> Session::next_logits(std::span<const int32_t> tokens,
                                        const ProgressCallback& on_progress) {
    const Call call(*impl_);
    const Watch watch(on_progress);
    const int64_t vocab = impl_->model->weights.config.vocab;
    facade::require_tokens(tokens, vocab);
    std::vector<float> logits(static_cast<size_t>(vocab));
    runtime::ScopedRequest request(
        impl_->engine(),
        {.tokens = {tokens.begin(), tokens.end()}, .max_tokens = std::ssize(tokens)},
        [&](const runtime::StepRows& rows) { rows.logits(0, 1, logits); });
    request.wait();
    return logits;
}

std::vector<float> Session::logits(std::span<const int32_t> tokens,
                                   const ProgressCallback& on_progress) {
    const Call call(*impl_);
    const Watch watch(on_progress);
    const auto vocab = static_cast<size_t>(impl_->model->weights.config.vocab);
    facade::require_tokens(tokens, impl_->model->weights.config.vocab);
    std::vector<float> logits;
    runtime::ScopedRequest request(
        impl_->engine(),
        {.tokens = {tokens.begin(), tokens.end()},
         .max_tokens = std::ssize(tokens),
         .logits = runtime::LogitsWanted::All,
         .shares_prefix = false},
        [&](const runtime::StepRows& rows) {
            const size_t n_before = logits.size();
            logits.resize(n_before + static_cast<size_t>(rows.size()) * vocab);
            rows.logits(0, rows.size(), std::span(logits).subspan(n_before));
        });
    logits.reserve(tokens.size() * vocab);
    request.wait();
    return logits;
}

std::vector<Likelihood> Session::loglikelihood(std::span<const Continuation> continuations,
                                               SpecialTokens special,
                                               const ProgressCallback& on_progress) {
    const Call call(*impl_);
    const Watch watch(on_progress);
    std::vector<eval::TokenPair> pairs;
    for (const auto& [context, text] : continuations) {
        throw_if_interrupted();
        pairs.push_back(
            eval::encode_pair(impl_->tokenizer(), context, text, facade::add_bos(special)));
    }
    return score(impl_->engine(), pairs);
}

std::vector<Likelihood> Session::loglikelihood(std::span<const TokenContinuation> continuations,
                                               const ProgressCallback& on_progress) {
    const Call call(*impl_);
    const Watch watch(on_progress);
    const int64_t vocab = impl_->model->weights.config.vocab;
    std::vector<eval::TokenPair> pairs;
    for (const auto& [context, tokens] : continuations) {
        facade::require_tokens(context, vocab);
        facade::require_tokens(tokens, vocab);
        pairs.push_back({context, tokens});
    }
    return score(impl_->engine(), pairs);
}

double Session::perplexity(std::span<const int32_t> tokens, int64_t window_tokens,
                           const ProgressCallback& on_progress) {
    const Call call(*impl_);
    const Watch watch(on_progress);
    if (window_tokens < 2 || window_tokens > impl_->model->weights.n_positions) {
        fail(ErrorCode::Usage, "window_tokens is {}, expected 2 to {}, the context", window_tokens,
             impl_->model->weights.n_positions);
    }
    return eval::perplexity(impl_->engine(), nullptr, tokens, {.seqlen = window_tokens}).perplexity;
}

}  // namespace quarot

// One user of a model: a cache of its own, for one sequence at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "quarot/export.h"
#include "quarot/model.h"
#include "quarot/progress.h"
#include "quarot/tokenizer.h"

namespace quarot {

// Sampling is applied in this order: repetition penalty, temperature, top-k, top-p, min-p.
struct GenerateOptions {
    int64_t max_tokens = -1;          // new ones; -1: as many as the context has room for
    float temperature = 0.0f;         // 0: the most likely token
    int64_t top_k = 0;                // 0: off
    float top_p = 1.0f;               // 1: off
    float min_p = 0.0f;               // 0: off; relative to the best probability
    float repetition_penalty = 1.0f;  // 1: off
    uint64_t seed = 0;                // the same seed gives the same text
    std::vector<std::string> stops;   // the text ends before the first of these
    bool ignore_end_tokens = false;   // go on after a token that ends texts
    bool is_answer = false;           // in a chat: ends before a token that ends turns, too
};

// How the model's maker wants it sampled, by the folder's generation_config.json; what that leaves
// out is as in GenerateOptions. The program does so in chats. Error{Corrupt} for values that cannot
// be.
QUAROT_API GenerateOptions suggested_options(const Model& model);

enum class FinishReason {
    Length,     // as many tokens as were asked for
    EndToken,   // the model ended its text
    Stop,       // a stop string
    Cancelled,  // by a callback
    Context,    // the context is full
};

struct GenerateResult {
    std::string text;          // new text only: what the new tokens add to that of the prompt
    std::vector<int32_t> ids;  // new tokens only; with a stop string, those up to its end
    FinishReason finish_reason = FinishReason::Length;
    int64_t prompt_tokens = 0;
    double prompt_seconds = 0.0;
    double decode_seconds = 0.0;
};

struct Continuation {
    std::string context;  // may be empty
    std::string text;     // what may follow it, with the space between them
};

// The same as tokens: at least one each.
struct TokenContinuation {
    std::vector<int32_t> context;
    std::vector<int32_t> tokens;
};

struct Likelihood {
    double loglikelihood = 0.0;  // nats, sum over the continuation's tokens
    bool is_greedy = false;      // each of them is the likeliest
    bool is_cut = false;         // tokens at the context's start were left out to fit the model
};

// A piece of new text, whole characters, never empty. Called on the thread that called generate();
// returning false ends the generation.
using TextCallback = std::function<bool(std::string_view piece)>;

// One call at a time: another one before it has ended, from on_text or another thread, is
// Error{Usage} and harms neither. Sessions of one model take turns, token by token. Every call
// begins with an empty cache; the same call gives the same bits whatever ran before or beside it.
class QUAROT_API Session {
  public:
    explicit Session(const Model& model);
    Session(Session&&) noexcept;
    Session& operator=(Session&&) noexcept;
    ~Session();

    // on_progress is asked between steps, while the prompt is read, too; if it returns false, what
    // was made is the result, FinishReason::Cancelled.
    GenerateResult generate(std::string_view prompt, const GenerateOptions& options = {},
                            const TextCallback& on_text = {},
                            const ProgressCallback& on_progress = {});
    // The prompt as tokens, at least one. Needs a tokenizer all the same, for the text.
    GenerateResult generate(std::span<const int32_t> prompt, const GenerateOptions& options = {},
                            const TextCallback& on_text = {},
                            const ProgressCallback& on_progress = {});

    // What the model expects after the last of the tokens: [vocabulary_size()]. on_progress ends it
    // with Error{Interrupted}, here and below.
    std::vector<float> next_logits(std::span<const int32_t> tokens,
                                   const ProgressCallback& on_progress = {});

    // The same after each of the tokens: [tokens.size(), vocabulary_size()].
    std::vector<float> logits(std::span<const int32_t> tokens,
                              const ProgressCallback& on_progress = {});

    // How likely the model goes on so, in the order given, as `quarot eval` scores the choices of a
    // task: texts are cut into tokens where lm-evaluation-harness cuts them, white space between
    // context and continuation belongs to the latter, and an empty context is the token that begins
    // texts, else the one that ends them. special: around the context. Runs many at a time, and
    // contexts that several share once. Error{Usage} for a continuation without a token of its own
    // or longer than the context of the model.
    std::vector<Likelihood> loglikelihood(std::span<const Continuation> continuations,
                                          SpecialTokens special = SpecialTokens::Add,
                                          const ProgressCallback& on_progress = {});
    std::vector<Likelihood> loglikelihood(std::span<const TokenContinuation> continuations,
                                          const ProgressCallback& on_progress = {});

    // exp of the mean negative log-likelihood over consecutive windows of window_tokens tokens,
    // each from an empty cache; a shorter rest is dropped.
    double perplexity(std::span<const int32_t> tokens, int64_t window_tokens,
                      const ProgressCallback& on_progress = {});

    struct Impl;

  private:
    class Call;
    std::unique_ptr<Impl> impl_;
};

}  // namespace quarot

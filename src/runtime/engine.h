// Sequences of tokens running on one model: each step takes chunks of several of them through
// forward() in one batch.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>

#include "comm/comm.h"
#include "model/forward.h"
#include "model/layer_steps.h"
#include "runtime/kv_cache.h"

namespace quarot::runtime {

// Tokens of a step, and rows whose logits are in memory at once, at most.
inline constexpr int64_t kStepTokens = 512;
inline constexpr int64_t kLogitRows = 128;

enum class LogitsWanted { None, Last, All };

// Tokens to append to one sequence.
struct Chunk {
    SequenceId sequence = 0;
    std::span<const int32_t> tokens;  // at least one
    LogitsWanted logits = LogitsWanted::None;
};

// Owns the KV cache of its sequences. Weights and backend must outlive it. Used by one thread;
// engines of one backend that run on several threads share a `turn`, held while the backend works.
class Engine {
  public:
    // The cache holds at least n_tokens tokens (rounded up to whole pages) for each of n_sequences.
    Engine(const model::Weights& weights, kernels::Backend& backend, int64_t n_tokens,
           int64_t n_sequences = 1, std::mutex* turn = nullptr);

    SequenceId add_sequence() { return tables_.add_sequence(); }
    void remove_sequence(SequenceId id) { tables_.remove_sequence(id); }
    int64_t length(SequenceId id) const { return tables_.length(id); }

    // Runs all chunks, kStepTokens tokens together at most, as one batch; at most one chunk a
    // sequence. Returns the number of logit rows
    // now readable: those of the chunks that wanted some, in order.
    // Error{Usage} for a token outside the vocabulary or a context beyond the model's positions,
    // and then no sequence has grown.
    // Error{Numeric} if a NaN or Inf arises; sequences in which none did have grown then, the
    // others have not. After any other error, none has.
    int64_t step(std::span<const Chunk> chunks);

    // Logits of rows [first, first + n) of the last step, fp32 [n, vocab]. Error{Numeric} for a NaN
    // or Inf among them.
    void logits(int64_t first, int64_t n, std::span<float> out);

    const model::Weights& weights() const { return weights_; }

  private:
    std::unique_lock<std::mutex> take_turn() const;
    void check_chunks(std::span<const Chunk> chunks) const;
    model::Batch make_batch(std::span<const Chunk> chunks);
    [[noreturn]] void fail_numeric(kernels::Site site) const;

    const model::Weights& weights_;
    kernels::Backend& backend_;
    std::mutex* turn_;
    comm::SingleComm comm_;
    std::unique_ptr<kernels::KvStore> kv_;
    PageTables tables_;
    model::StepMemory memory_;
    int64_t n_logit_rows_ = 0;  // of the last step
};

// Appends tokens in pieces of at most `piece` tokens; logits of the last token only are readable
// after (all bits are the same whatever the piece). A stop signal ends it between two pieces.
void prefill(Engine& engine, SequenceId sequence, std::span<const int32_t> tokens,
             int64_t piece = kStepTokens);

}  // namespace quarot::runtime

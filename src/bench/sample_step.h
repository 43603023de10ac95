// One step of a model whose operations run one by one, in any order and as often as wanted.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <random>
#include <span>
#include <vector>

#include "bench/speed_test.h"
#include "kernels/ops.h"
#include "model/batch.h"
#include "model/step_memory.h"
#include "model/weights.h"

namespace quarot::bench {

// `sequences`, each with `tokens` new tokens behind `depth` that are in its cache.
struct StepShape {
    int64_t sequences = 1;
    int64_t tokens = 1;
    int64_t depth = 0;

    int64_t rows() const { return sequences * tokens; }
    int64_t context() const { return depth + tokens; }
    bool operator==(const StepShape&) const = default;
};

// The steps that tests consist of, each shape once. Prompt: as many of the batch as step_tokens
// hold, or as much of one; Decode: the last token of every sequence.
std::vector<StepShape> steps_of(std::span<const SpeedTest> tests, int64_t step_tokens);

// What the caches of such steps need.
CacheSize cache_size(std::span<const StepShape> steps);

// The rotation before a product that quantizes its inputs, there or left out.
enum class Rotated { Yes, No };

// Rows hold random numbers that stay of one size however often the operations run; codes and cache
// are made of them. Every call enqueues, with the weights and the cache of `layer`.
class SampleStep {
  public:
    // `weights` and `backend` must outlive it; weights.n_positions is at least the step's context.
    // Waits until the cache is filled. Error{OutOfMemory}.
    SampleStep(const model::Weights& weights, const StepShape& shape, kernels::Backend& backend);
    SampleStep(const SampleStep&) = delete;
    SampleStep& operator=(const SampleStep&) = delete;

    // Of a layer, in their order. Norms are those before the Attention and the Mlp site.
    void norm(int64_t layer, model::InputSite site);
    void linears(int64_t layer, model::InputSite site);
    void append(int64_t layer, Rotated rotated = Rotated::Yes);
    void attention(int64_t layer);
    void mix_heads(Rotated rotated = Rotated::Yes);
    void activate();
    // Instead of activate(), where its values are there already.
    void quantize_ffn(Rotated rotated);

    void layer(int64_t layer);  // all of them
    void head();                // the logits of every sequence

    const StepShape& shape() const { return shape_; }
    const model::Weights& weights() const { return weights_; }
    const kernels::Backend& backend() const { return backend_; }
    // What the linears of a site read: values, or their codes.
    const kernels::Operand& operand(model::InputSite site) const {
        return operands_[static_cast<size_t>(site)];
    }

  private:
    // Of a sequence with the first n tokens of its new ones, from first_position on.
    model::Batch batch_at(int64_t first_position, int64_t n) const;
    kernels::Rows of_step(const kernels::Rows& room) const { return room.slice(0, shape_.rows()); }
    kernels::Rows values(model::InputSite site) const;
    void fill(const kernels::Rows& rows);
    void place_operands();
    void fill_cache();

    const model::Weights& weights_;
    StepShape shape_;
    kernels::Backend& backend_;
    model::StepMemory memory_;
    std::unique_ptr<kernels::KvStore> kv_;
    std::vector<kernels::Buffer> buffers_;
    kernels::Rows activated_;  // [rows, ffn]: apart, since gate and up are read again
    std::array<kernels::Operand, model::kInputSites> operands_;
    kernels::BatchView batch_;
    std::mt19937 random_;
};

}  // namespace quarot::bench

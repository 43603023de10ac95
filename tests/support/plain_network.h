// A tiny model computed in fp64 by plain loops: nothing quantized, nothing rotated, no backend.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "support/tiny_model.h"

namespace quarot::test {

struct PlainRun {
    // What the linears of a layer read: q k v, o, gate up, down; [n_tokens, inputs] each.
    using SiteInputs = std::array<std::vector<double>, 4>;
    std::vector<SiteInputs> layers;
    std::vector<double> logits;  // [n_tokens, vocab]
};

// One sequence from an empty cache. model: made with these options; the default rope, biases as
// they are.
PlainRun run_plain(const TinyModel& model, const TinyModelOptions& options,
                   std::span<const int32_t> ids);

}  // namespace quarot::test

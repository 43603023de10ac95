// What a client adds to logits before a token is chosen from them.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace quarot::runtime {

// Before everything that SamplingOptions says. Penalties are OpenAI's: subtracted from the logits
// of tokens that were made (not of the prompt's), once (presence) and for each time (frequency).
struct LogitChanges {
    std::vector<std::pair<int32_t, float>> bias;  // id, and what is added to its logit
    float presence_penalty = 0.0f;
    float frequency_penalty = 0.0f;

    bool empty() const {
        return bias.empty() && presence_penalty == 0.0f && frequency_penalty == 0.0f;
    }
};

// logits: one for each id. Ids are below logits.size().
void apply(const LogitChanges& changes, std::span<const int32_t> made, std::span<float> logits);

}  // namespace quarot::runtime

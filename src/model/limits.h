// The boldest sampling that a caller or a folder may ask for.
#pragma once

namespace quarot::limits {

// Sampling, whether flags or generation_config.json ask for it
inline constexpr float kMaxTemperature = 10.0f;
inline constexpr float kMaxRepetitionPenalty = 10.0f;

}  // namespace quarot::limits

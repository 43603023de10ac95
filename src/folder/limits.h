// The largest network that a folder may ask for.
#pragma once

#include <cstddef>
#include <cstdint>

namespace quarot::limits {

// config.json and generation_config.json
inline constexpr int64_t kHiddenSize = int64_t{1} << 20;
inline constexpr int64_t kIntermediateSize = int64_t{1} << 22;
inline constexpr int64_t kLayers = 1024;
inline constexpr int64_t kHeads = 4096;
inline constexpr int64_t kExperts = 1024;
inline constexpr int64_t kExpertsOfAllLayers = int64_t{1} << 15;
inline constexpr int64_t kHeadDim = 1024;
inline constexpr int64_t kVocabulary = int64_t{1} << 22;
inline constexpr int64_t kPositions = int64_t{1} << 24;
inline constexpr double kLeastNormEpsilon = 1e-30;
inline constexpr double kNormEpsilon = 0.1;
inline constexpr size_t kEndTokens = 256;

}  // namespace quarot::limits

// How much a hostile tokenizer.json may ask for.
#pragma once

#include <cstddef>
#include <cstdint>

namespace quarot::limits {

inline constexpr int64_t kTokenizerBytes = int64_t{64} << 20;
inline constexpr size_t kGgufTokenBytes = 1024;  // it is cut at every character
inline constexpr int64_t kTokenIds = int64_t{1} << 22;
inline constexpr size_t kAddedTokenBytes = 4096;              // also when it is normalized
inline constexpr size_t kAddedTokensBytes = size_t{4} << 20;  // of all together, normalized
inline constexpr size_t kTextSteps = 16;                // of a normalizer, pre_tokenizer or decoder
inline constexpr size_t kStepBytes = 64;                // of a text that such a step adds
inline constexpr size_t kTextGrowth = 64;               // of a text, by all replacements of a chain
inline constexpr int64_t kStripped = int64_t{1} << 20;  // characters, by a decoder's Strip
inline constexpr size_t kPatternBytes = 4096;           // of a regular expression
inline constexpr int kPatternDepth = 32;                // of its groups
inline constexpr int kPatternRepeats = 1000;            // in a brace
inline constexpr uint32_t kPatternFirstCalls = 16;      // of its matcher at a place; more are work
inline constexpr size_t kPatternWork = 64;              // of searches, per byte of text
inline constexpr size_t kPatternLeastWork = size_t{1} << 20;  // the same in short texts
inline constexpr uint32_t kPatternHeapKiB = 64 << 10;

}  // namespace quarot::limits

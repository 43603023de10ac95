// How large may what comes from outside be? Every limit that a hostile file or text can run into.
#pragma once

#include <cstddef>
#include <cstdint>

namespace quarot::limits {

// JSON in general; io::JsonLimits takes these unless told otherwise.
inline constexpr int64_t kJsonBytes = int64_t{4} << 20;
inline constexpr int kJsonDepth = 32;
inline constexpr int64_t kJsonValues = int64_t{4} << 20;

// tokenizer.json
inline constexpr int64_t kTokenizerBytes = int64_t{64} << 20;
inline constexpr int64_t kTokenIds = int64_t{1} << 22;
inline constexpr size_t kPatternBytes = 4096;  // of a regular expression

// Chat templates
inline constexpr int64_t kTemplateBytes = 256 << 10;
inline constexpr int64_t kTemplateSteps = 2'000'000;
inline constexpr size_t kTemplateOutputBytes = size_t{4} << 20;
inline constexpr int kTemplateDepth = 64;  // of nesting in the source and of calls
inline constexpr int64_t kTemplateRange = 100'000;

}  // namespace quarot::limits

// How much a hostile template may ask for.
#pragma once

#include <cstddef>
#include <cstdint>

namespace quarot::limits {

inline constexpr int64_t kTemplateBytes = 256 << 10;
inline constexpr size_t kTemplateNameBytes = 256;  // of variables, members, filters
inline constexpr int64_t kTemplateSteps = 2'000'000;
inline constexpr size_t kTemplateOutputBytes = size_t{4} << 20;
inline constexpr int kTemplateDepth = 64;  // of nesting in the source and of calls
inline constexpr int64_t kTemplateRange = 100'000;
inline constexpr int64_t kTemplateRangeBound = int64_t{1} << 40;  // no index of it overflows
inline constexpr int64_t kTemplateWidth = 4096;  // of a format directive, to align columns
inline constexpr int64_t kTemplatePrecision = 512;
inline constexpr int64_t kTemplateRoundedDigits = 15;
inline constexpr int64_t kTemplateIndent = 64;  // of tojson
// Of all values ever made. One that grows may hold twice its bytes, so that no allocation of a
// rendering reaches 64 MiB.
inline constexpr size_t kTemplateValueBytes = size_t{32} << 20;
inline constexpr int kTemplateFrames = 320;  // of blocks, expressions and calls being evaluated
inline constexpr int64_t kTemplateMilliseconds = 200;  // on the clock that the caller gives

}  // namespace quarot::limits

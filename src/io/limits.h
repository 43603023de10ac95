// How much hostile JSON, safetensors and GGUF files, shard indexes and folders may ask for.
#pragma once

#include <cstddef>
#include <cstdint>

namespace quarot::limits {

// JSON in general; io::JsonLimits takes these unless told otherwise.
inline constexpr int64_t kJsonBytes = int64_t{4} << 20;
inline constexpr int kJsonDepth = 32;
inline constexpr int64_t kJsonValues = int64_t{4} << 20;

// Safetensors files. Root, entry, shape: nothing legitimate nests deeper than three.
inline constexpr int64_t kSafetensorsHeaderBytes = 100'000'000;
inline constexpr int kSafetensorsDepth = 4;
inline constexpr int64_t kSafetensorsTensors = 1'000'000;
inline constexpr int64_t kSafetensorsMetadataBytes = int64_t{1} << 20;
inline constexpr int64_t kTensorDimension = int64_t{1} << 48;
inline constexpr size_t kTensorRank = 8;
inline constexpr size_t kTensorNameBytes = 512;

// GGUF files. A vocabulary of 262144 tokens with its merges, scores and kinds has 1.3 million
// elements; a chat template is the longest text.
inline constexpr int64_t kGgufHeaderBytes = int64_t{256} << 20;
inline constexpr int64_t kGgufElements = int64_t{1} << 23;  // of all lists of a file together
inline constexpr int64_t kGgufTextBytes = int64_t{1} << 22;
inline constexpr int64_t kGgufKeyBytes = 256;
inline constexpr int64_t kGgufKeys = 10'000;
inline constexpr int64_t kGgufTensors = 100'000;

// model.safetensors.index.json
inline constexpr int64_t kIndexBytes = int64_t{64} << 20;
inline constexpr size_t kShards = 10'000;
inline constexpr size_t kShardNameBytes = 255;

// What is looked at in a folder that lacks the file asked for.
inline constexpr size_t kFolderEntries = 4096;

}  // namespace quarot::limits

// How large may what comes from outside be? Every limit that a hostile file or text can run into.
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

// model.safetensors.index.json
inline constexpr int64_t kIndexBytes = int64_t{64} << 20;
inline constexpr size_t kShards = 10'000;
inline constexpr size_t kShardNameBytes = 255;

// config.json and generation_config.json
inline constexpr int64_t kHiddenSize = int64_t{1} << 20;
inline constexpr int64_t kIntermediateSize = int64_t{1} << 22;
inline constexpr int64_t kLayers = 1024;
inline constexpr int64_t kHeads = 4096;
inline constexpr int64_t kHeadDim = 1024;
inline constexpr int64_t kVocabulary = int64_t{1} << 22;
inline constexpr int64_t kPositions = int64_t{1} << 24;
inline constexpr double kLeastNormEpsilon = 1e-30;
inline constexpr double kNormEpsilon = 0.1;
inline constexpr size_t kEndTokens = 256;

// Sentences of quarot verify
inline constexpr size_t kProblems = 1000;

// Files of --config
inline constexpr int64_t kFlagFileBytes = int64_t{1} << 20;

// Texts of --file, and of --text and --calib
inline constexpr int64_t kPromptBytes = int64_t{64} << 20;
inline constexpr int64_t kEvaluationTextBytes = int64_t{1} << 30;

// What quantizing leaves beside the weights, and its unfinished work.
inline constexpr int64_t kProvenanceBytes = int64_t{64} << 20;  // quarot.json
inline constexpr int64_t kJobBytes = int64_t{1} << 20;          // job.json
inline constexpr int64_t kJournalBytes = int64_t{64} << 20;     // journal.jsonl
inline constexpr size_t kRecipeNameBytes = 64;

// tokenizer.json
inline constexpr int64_t kTokenizerBytes = int64_t{64} << 20;
inline constexpr size_t kFolderEntries = 4096;  // looked at where there is no tokenizer.json
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

// Chat templates
inline constexpr int64_t kTemplateBytes = 256 << 10;
inline constexpr size_t kTemplateNameBytes = 256;  // of variables, members, filters
inline constexpr int64_t kTemplateSteps = 2'000'000;
inline constexpr size_t kTemplateOutputBytes = size_t{4} << 20;
inline constexpr size_t kConversationBytes = size_t{2} << 20;  // of messages and tools
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
inline constexpr int kTemplateExtras = 16;             // variables that a request may add

// Sampling and stop strings, whether flags or generation_config.json ask for them
inline constexpr float kMaxTemperature = 10.0f;
inline constexpr float kMaxRepetitionPenalty = 10.0f;
inline constexpr size_t kStops = 16;
inline constexpr size_t kStopBytes = 256;

// Calibration: windows times the tokens of one
inline constexpr int64_t kCalibrationTokens = int64_t{1} << 26;

}  // namespace quarot::limits

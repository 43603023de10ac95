// What makes two measurements, or two folders of quantized weights, the same?
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "folder/source_model.h"
#include "io/json.h"
#include "recipe/recipe.h"
#include "reproduce/zero_shot.h"

namespace quarot::reproduce {

struct RunSettings {
    std::span<const int32_t> ids;  // of the text
    int64_t seqlen = 2048;
    int64_t max_windows = 0;  // 0: all
    std::string backend;      // "cpu" or "reference"
};

// What all measurements of one folder have in common: version, digests of the model's files and of
// the text's tokens, windows, backend.
io::Json run_identity(const folder::SourceModel& source, const RunSettings& settings);

// Empty windows give "".
std::string calibration_digest(const std::vector<std::vector<int32_t>>& windows);

// Recipes whose weights come out the same, byte for byte, have one key. Those without calibration
// may differ in widths and clip ratios of activations and cache, which are chosen at run time.
std::string weights_key(const io::Json& identity, const Recipe& recipe,
                        const std::string& calibration);

// Equal for recipes that differ in name alone. beside_full_precision: the time and memory of that
// model count, too.
std::string measurement_key(const io::Json& identity, const Recipe& recipe,
                            const std::string& calibration, bool beside_full_precision = false);
// Of a zero-shot task, whatever text and windows the run has.
std::string task_key(const io::Json& identity, const Recipe& recipe, const std::string& calibration,
                     const ZeroShotTask& task);

}  // namespace quarot::reproduce

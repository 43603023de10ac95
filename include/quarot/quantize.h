// How does a model folder become a rotated and quantized one?
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "quarot/export.h"
#include "quarot/progress.h"

namespace quarot {

// Settings left empty are the recipe's. Messages of errors put settings in backquotes, by their
// name here (`resume`) or, of the recipe, by their key in quantization_config (`weights.bits`).
struct QuantizeOptions {
    std::string recipe = "quarot";  // one of recipe_names()

    // Bits: 2 to 8, or 16 for what is not quantized.
    std::optional<int> weight_bits;
    std::optional<int> activation_bits;
    std::optional<int> kv_bits;
    std::optional<int> head_bits;       // weights of lm_head
    std::optional<int> embedding_bits;  // rows of the embedding
    std::optional<bool> keep_tied;      // head and embedding one matrix where the model has one
    std::optional<std::string> method;  // "rtn": round to nearest, or "gptq"
    std::optional<int64_t> group_size;  // inputs of a weight that share a scale; 0: a whole row
    std::optional<int64_t> activation_group_size;
    std::optional<float> activation_clip;  // share of the largest value that codes reach, (0, 1]
    std::optional<float> kv_clip;
    // "hadamard", "random" and "aligned" (R1 alone), "none", or some of "r1,r2,r3,r4,heads".
    std::optional<std::string> rotation;
    std::string r1_file;  // a safetensors file with an orthogonal R1, h' = h R1; empty: a Hadamard
    // Of tensors that are rotated and not quantized: "keep" (the source's), "f32", "f16", "bf16".
    std::optional<std::string> dtype;
    std::optional<uint32_t> seed;  // of the rotation and of the calibration windows

    // What gptq and smoothing look at: the text itself. Recipes that need none do not read it.
    std::string calibration_text;
    std::optional<int64_t> calibration_windows;  // how many are cut from the text
    std::optional<int64_t> window_tokens;        // 2048, or what the model has

    bool overwrite = false;   // replace the output folder if it exists
    bool resume = false;      // go on with a job that was stopped
    std::string work_folder;  // where finished layers wait; empty: the output's name + ".work"
    int threads = 0;          // 0: as many as there are physical cores
};

struct QuantizeSummary {
    std::string recipe;            // its name; "custom" if no recipe has these settings
    double bits_per_weight = 0.0;  // of the quantized weights, scales counted
    double seconds = 0.0;
};

// in: a Hugging Face model folder (config.json, *.safetensors, tokenizer.json). out appears whole
// or not at all. A job that is cancelled or fails leaves its finished layers in the work folder if
// going on with them is worth it; the message says so. The same input and options give the same
// bytes for any number of threads. Two calls may run at the same time on different outputs.
QUAROT_API QuantizeSummary quantize_folder(const std::string& in, const std::string& out,
                                           const QuantizeOptions& options = {},
                                           const ProgressCallback& on_progress = {});

}  // namespace quarot

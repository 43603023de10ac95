// The files of the new folder beside the weights: config, copies, and quarot.json, which tells from
// what and how it was made.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/thread_pool.h"
#include "folder/source_model.h"
#include "io/json.h"
#include "io/output_folder.h"
#include "quantize/job/job_identity.h"
#include "quantize/layer_report.h"
#include "quantize/output_plan.h"
#include "recipe/recipe.h"
#include "rotate/rotation.h"

namespace quarot::quantize {

// The paths of the files that the result depends on.
std::vector<std::string> input_files(const folder::SourceModel& source);

// The original keys, the recipe as quantization_config, and an untied head if the plan has one.
io::Json output_config(const folder::SourceModel& source, const Recipe& recipe,
                       const OutputPlan& plan);

// Tokenizer, chat template, generation and licence files that the source folder has, or what a GGUF
// file says in their place.
void copy_companions(const folder::SourceModel& source, io::OutputFolder& folder);

// SHA-256 of all that a text gave a rotation.
std::string rotation_digest(const rotate::Rotation& rotation);

// Bits of a value, scales and zero points counted: "weights", "activations", "k" and "v".
io::Json bits_per_value(const Recipe& recipe, const model::ModelConfig& config,
                        double bits_per_weight);

// What was used for R1 to R4 and the head mix: kind, order, decomposition; of what was found on a
// text the SHA-256 of its fp64 numbers, layer after layer, as row-major T or scales.
io::Json describe(const rotate::Rotation& rotation);

// Everything quarot.json says but times and paths, so that the same work gives the same bytes.
struct Provenance {
    const folder::SourceModel& source;
    const Recipe& recipe;
    const rotate::Rotation& rotation;
    const std::vector<QuantizedLayerReport>& layers;
    const std::map<std::string, std::string>& tensor_hashes;
    const InputDigests& inputs;
    double bits_per_weight = 16.0;
    const std::vector<std::string>& reverted;
};

// Reads all outputs once more for their SHA-256. Called when all other files are there.
void write_provenance(const Provenance& provenance, io::OutputFolder& folder, ThreadPool& pool);

}  // namespace quarot::quantize

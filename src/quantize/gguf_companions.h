// The files beside config.json and the weights, of a model that came as a GGUF file.
#pragma once

#include "folder/source_model.h"
#include "io/output_folder.h"

namespace quarot::quantize {

// Writes tokenizer.json, tokenizer_config.json with the chat template, and generation_config.json,
// so that the folder stands alone. A vocabulary that cannot be read leaves the first two out: the
// model runs on ids.
void write_gguf_companions(const folder::SourceModel& source, io::OutputFolder& folder);

}  // namespace quarot::quantize

// A GGUF file as the model folder that it could have been made from: a config.json, and tensors
// with the names and the order of rows that such a folder has.
#pragma once

#include <string>

#include "io/checkpoint.h"
#include "io/json.h"

namespace quarot::folder {

struct GgufModel {
    io::Json config;
    io::Checkpoint checkpoint;  // blocks of small integers are offered as F32
};

// Reads the header alone. Error{NotFound, Corrupt} as io::GgufFile; Error{Unsupported} for
// architectures and types that are not read, and for one of several files of a model.
GgufModel open_gguf_model(const std::string& path);

}  // namespace quarot::folder

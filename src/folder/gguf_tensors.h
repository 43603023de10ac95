// The tensors of a GGUF file as those of the folder that it could have been made from.
#pragma once

#include <memory>

#include "folder/families/family.h"
#include "io/gguf.h"
#include "io/tensor_file.h"
#include "model/config.h"

namespace quarot::folder {

// Under the names that the family's folders have, in their order of rows, each expert's matrices
// apart; no data is read. Error{Unsupported} for a tensor without a place in the model.
std::unique_ptr<io::TensorFile> gguf_tensors(io::GgufFile file, const Family& family,
                                             model::ModelConfig config);

}  // namespace quarot::folder

// Is this a folder that a model can be read from, and if not, what should its owner do?
#pragma once

#include <string>

namespace quarot::io {

inline constexpr const char* kWeightsName = "model.safetensors";
inline constexpr const char* kShardIndexName = "model.safetensors.index.json";

// Error{NotFound} if nothing is there or it is not a folder, Error{Unsupported} if it is a file of
// weights.
void expect_folder(const std::string& path);

// Error{Unsupported} with advice if the weights of a folder are in a format that is not read
// (.gguf, .bin, .pth and the like); Error{NotFound} if they are in safetensors under other names.
void refuse_other_weights(const std::string& folder);

}  // namespace quarot::io

// Is this a folder that a model can be read from, and if not, what should its owner do?
#pragma once

#include <string>

namespace quarot::io {

inline constexpr const char* kWeightsName = "model.safetensors";
inline constexpr const char* kShardIndexName = "model.safetensors.index.json";

// Error{NotFound} if nothing is there or it is not a folder, Error{Unsupported} if it is a file of
// weights.
void expect_folder(const std::string& path);

// Of a folder with neither model.safetensors nor an index: Error{Unsupported} with advice if its
// weights are a GGUF file, which is read in the folder's place, in a format that is not read (.bin,
// .pth and the like) or those of an adapter;
// Error{NotFound} if they are in safetensors under other names, or in folders of the hub's cache.
void refuse_other_weights(const std::string& folder);

// Whether a checkpoint is read from model.safetensors rather than from the shards of the index, as
// the transformers package does: if it is there. Of two links that lead nowhere it is the one to do
// without.
bool reads_single_file(const std::string& folder);

// Says of a folder with whole weights that an adapter which lies beside them is not applied.
void warn_of_adapter(const std::string& folder);

}  // namespace quarot::io

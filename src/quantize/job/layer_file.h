// The tensors of one finished layer as a file, and the digest by which it is known again.
#pragma once

#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace quarot::quantize {

struct NamedTensor {
    std::string name;
    Tensor tensor;
};

// A safetensors file, synced; `path` must not exist. Same tensors, same bytes. Error{Io}; then
// nothing stays behind.
void write_layer_file(const std::string& path, const std::vector<NamedTensor>& tensors);

// In name order. Error{Corrupt} if it is no safetensors file.
std::vector<NamedTensor> read_layer_file(const std::string& path);

// XXH3-128 of the file's bytes, read in pieces.
std::string digest_of_file(const std::string& path);

}  // namespace quarot::quantize

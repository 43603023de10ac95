// A tensor of a finished layer, and the digest by which a layer's file is known again.
#pragma once

#include <string>

#include "io/safetensors.h"
#include "tensor/tensor.h"

namespace quarot::quantize {

struct NamedTensor {
    std::string name;
    Tensor tensor;
};

// Of those that are there.
NamedTensor read_tensor(const io::SafetensorsFile& file, const std::string& name);

// XXH3-128 of the file's bytes, read in pieces.
std::string digest_of_file(const std::string& path);

}  // namespace quarot::quantize

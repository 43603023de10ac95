// A small random Llama folder made by the test itself: its numbers are the test's choice, its
// weights follow from the seed alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "io/json.h"
#include "tensor/dtype.h"
#include "tensor/tensor.h"

namespace quarot::test {

struct TinyModelOptions {
    std::string architecture = "LlamaForCausalLM";
    int64_t hidden = 32;
    int64_t ffn = 48;
    int64_t n_layers = 2;
    int64_t n_heads = 4;
    int64_t n_kv_heads = 2;
    int64_t head_dim = 8;
    int64_t vocab = 272;  // from 258 on a tokenizer is written as well
    int64_t max_positions = 256;
    double rms_eps = 1e-5;
    double rope_theta = 10000.0;
    io::Json rope_scaling;  // null, or the object of config.json
    bool tied = false;
    bool attention_bias = false;
    bool mlp_bias = false;
    bool unit_norms = false;   // all gains one
    DType dtype = DType::F32;  // F32, F16 or BF16
    uint32_t seed = 1;
};

struct StoredTensor {
    DType dtype = DType::F32;
    Shape shape;
    std::vector<std::byte> bytes;
};

// What the folder will hold; a test may change it before it is written.
struct TinyModel {
    io::Json config;
    std::map<std::string, StoredTensor> tensors;
    std::map<std::string, std::string> text_files;  // tokenizer.json and others, by name
};

// Weights have mean 0 and deviation 1 / sqrt(inputs), gains lie around 1, biases are small.
TinyModel make_tiny_model(const TinyModelOptions& options);

// A float tensor with these values, rounded to `dtype`.
StoredTensor make_stored_tensor(DType dtype, Shape shape, const std::vector<float>& values);
// The values of a float tensor, widened.
std::vector<float> values_of(const StoredTensor& tensor);

// Creates `folder` (its parent must exist) with config.json, the text files and, for n_shards = 1,
// model.safetensors, else that many shards with an index.
void write_model(const TinyModel& model, const std::string& folder, int n_shards = 1);

// make_tiny_model and write_model in one.
void write_tiny_model(const std::string& folder, const TinyModelOptions& options = {},
                      int n_shards = 1);

// tokenizer.json of a byte-level tokenizer without merges: ids 0 .. 255 are the bytes, 256 is <s>,
// 257 is </s>; it puts no <s> in front.
std::string tiny_tokenizer_json();

}  // namespace quarot::test

// What the tests of whole folders share: a model folder, room for outputs, and looks into both.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "io/checkpoint.h"
#include "quantize/quantize_model.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"
#include "tensor/float_convert.h"

namespace quarot::quantize {

using Files = std::map<std::string, std::string>;  // content by name

inline Files files_of(const std::string& folder) {
    Files files;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        std::ifstream stream(entry.path(), std::ios::binary);
        std::ostringstream text;
        text << stream.rdbuf();
        files[entry.path().filename().string()] = text.str();
    }
    return files;
}

inline QuantizeOptions with_recipe(const Recipe& recipe, int n_threads = 1) {
    QuantizeOptions options;
    options.recipe = recipe;
    options.n_threads = n_threads;
    return options;
}

inline QuantizeOptions with_recipe(const std::string& name, int n_threads = 1) {
    return with_recipe(named_recipe(name), n_threads);
}

// Everything rotated, nothing quantized.
inline Recipe rotated_only() {
    Recipe recipe = named_recipe("quarot-rtn");
    recipe.weights.bits = recipe.activations.bits = recipe.k.bits = recipe.v.bits = 16;
    recipe.storage = DType::F32;
    return recipe;
}

inline std::vector<float> floats_of(const Tensor& tensor) {
    std::vector<float> values(element_count(tensor.shape()));
    widen(tensor.dtype(), tensor.data(), values);
    return values;
}

inline std::vector<float> tensor_of(const std::string& folder, const std::string& name) {
    return floats_of(io::Checkpoint::open(folder).read(name));
}

// One model folder, `in`, and room for outputs beside it.
class FolderTest : public testing::Test {
  protected:
    void write(const test::TinyModelOptions& options) { test::write_tiny_model(in, options); }

    // Names of what lies beside the input.
    std::vector<std::string> left_behind() const {
        std::vector<std::string> names;
        for (const auto& entry : std::filesystem::directory_iterator(dir.path())) {
            if (entry.path() != in) names.push_back(entry.path().filename().string());
        }
        return names;
    }

    test::TempDir dir;
    std::string in = dir / "in";
    std::string out = dir / "out";
};

}  // namespace quarot::quantize

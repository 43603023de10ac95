// A model folder as it lies on disk, or a GGUF file: config, recipe, and checked tensors read on
// demand.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "folder/families/family.h"
#include "folder/folder_config.h"
#include "folder/tensor_hashes.h"
#include "io/checkpoint.h"
#include "kernels/ops.h"
#include "model/config.h"
#include "recipe/recipe.h"

namespace quarot::folder {

// Opening checks that every tensor the config asks for is there with the right shape and a dtype we
// read; no weights are read yet. Error{NotFound, Corrupt, Unsupported}. Whole tensors of a quarot
// folder are compared with the digests of its quarot.json when they are read.
class SourceModel {
  public:
    // A folder, or a GGUF file in the place of one. rope_scaling: counts instead of what
    // config.json says (override_rope); null: that counts.
    static SourceModel open(const std::string& path, const io::Json* rope_scaling = nullptr);

    // As it was opened.
    const std::string& folder() const { return checkpoint_.folder(); }
    bool is_gguf() const { return is_gguf_; }
    // Everything above was read from: config.json and the files of weights, or the GGUF file.
    std::vector<std::string> files() const;
    const model::ModelConfig& config() const { return config_; }
    const io::Json& config_json() const { return config_json_; }
    const Recipe& recipe() const { return recipe_; }  // full_precision_recipe() if not ours
    bool is_quantized() const { return recipe_.name != "none"; }
    const Family& family() const { return *family_; }
    const io::Checkpoint& checkpoint() const { return checkpoint_; }

    // False for one of our folders that lost its quarot.json, and for all others.
    bool has_digests() const { return !hashes_.empty(); }

    // LmHead of a tied model is the embedding, here and below.
    model::LinearId stored(const model::LinearId& id) const;
    // A weight stored as floating point.
    bool is_dense(const model::LinearId& id) const;
    DType dense_dtype(const model::LinearId& id) const;
    // Rows [first, first + n) of a dense weight as finite fp32 [n, in].
    Tensor dense_rows(const model::LinearId& id, int64_t first, int64_t n) const;
    // A dense weight in its stored dtype, checked finite.
    Tensor dense(const model::LinearId& id) const;
    // A quantized weight, shapes and dtypes checked; Error{Corrupt} for a scale that is not a
    // finite positive number.
    QuantizedMatrix quantized(const model::LinearId& id) const;
    // Of recipes that keep columns apart: the inputs that quantized(id) and outliers(id) multiply,
    // one behind the other, checked to be each input once; and the weights of the latter, if any.
    std::vector<int32_t> column_order(const model::LinearId& id) const;
    std::optional<kernels::LinearWeights> outliers(const model::LinearId& id) const;
    std::vector<float> bias(const model::LinearId& id) const;  // empty if the model has none
    DType bias_dtype(const model::LinearId& id) const;         // of a linear that has one
    std::vector<float> norm_gain(model::NormRole role, int64_t layer) const;
    DType norm_dtype(model::NormRole role, int64_t layer) const;
    std::vector<float> norm_bias(model::NormRole role, int64_t layer) const;  // of one that has it

    // The clip ratio of what a linear reads that holds one (holds_clip).
    float input_clip(const model::LinearId& id) const;

    // Bytes of a weight as stored: floats, or codes, scales, zero points and what outliers add.
    int64_t stored_bytes(const model::LinearId& id) const;
    // Number of parameters, and bits per weight of the quantized linears, embedding and lm_head
    // among them where they are, with scales, zero points and what outliers add counted; if none is
    // quantized, the stored float width of the decoder's linears.
    int64_t parameter_count() const;
    double bits_per_weight() const;

  private:
    SourceModel(io::Checkpoint checkpoint, io::Json config_json, FolderConfig config);
    static SourceModel open_folder(const std::string& folder, const io::Json* rope_scaling);
    static SourceModel open_gguf(const std::string& path, const io::Json* rope_scaling);
    // Once all of the config is there.
    void settle();
    Tensor read_verified(const std::string& name) const;
    QuantizedMatrix read_quantized(const std::string& name, int64_t rows, int64_t cols,
                                   const WeightFormat& format) const;
    Tensor read_finite(const std::string& name) const;
    std::vector<float> read_vector(const std::string& name) const;
    // Where the weight is stored.
    TensorSlice slice_of(const model::LinearId& id) const;
    // And the norm, without ".weight".
    std::string stem_of(model::NormRole role, int64_t layer) const;
    io::Checkpoint checkpoint_;
    bool is_gguf_ = false;
    io::Json config_json_;
    const Family* family_ = nullptr;
    model::ModelConfig config_;
    Recipe recipe_;
    TensorHashes hashes_;
};

}  // namespace quarot::folder

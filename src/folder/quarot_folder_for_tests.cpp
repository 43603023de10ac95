#include "folder/quarot_folder_for_tests.h"

#include <algorithm>
#include <cstring>

#include "folder/families/family.h"
#include "folder/recipe_json.h"
#include "folder/stored_names.h"
#include "io/hash.h"
#include "model/role_formats.h"
#include "tensor/affine.h"
#include "tensor/quantized_matrix.h"

namespace quarot::test {

namespace {

QuantizedMatrix round_to_integers(const StoredTensor& weight, int bits, bool symmetric) {
    const std::vector<float> values = values_of(weight);
    const int64_t rows = weight.shape[0], cols = weight.shape[1];
    QuantizedMatrix matrix = make_quantized_matrix(rows, cols, bits, 0, symmetric);
    std::vector<uint8_t> codes(static_cast<size_t>(cols));
    for (int64_t r = 0; r < rows; ++r) {
        const float* row = values.data() + r * cols;
        const auto [low, high] = std::minmax_element(row, row + cols);
        const Affine affine =
            symmetric ? symmetric_affine(std::max(-*low, *high), bits)
                      : asymmetric_affine(std::min(*low, 0.0f), std::max(*high, 0.0f), bits);
        for (int64_t c = 0; c < cols; ++c) {
            const int32_t code = symmetric ? quantize_symmetric(row[c], affine.scale, bits)
                                           : quantize_asymmetric(row[c], affine, bits);
            codes[static_cast<size_t>(c)] = static_cast<uint8_t>(code - matrix.q_min());
        }
        matrix.pack_row(r, codes);
        matrix.scales.as<float>()[r] = affine.scale;
        if (!symmetric) matrix.zero_points.as<uint8_t>()[r] = static_cast<uint8_t>(affine.zero);
    }
    return matrix;
}

StoredTensor stored(const Tensor& tensor) {
    return {tensor.dtype(), tensor.shape(), {tensor.data(), tensor.data() + tensor.bytes()}};
}

void quantize(TinyModel& model, const std::string& name, int bits, bool symmetric) {
    const StoredTensor weight = model.tensors.at(name + ".weight");
    const QuantizedMatrix matrix = round_to_integers(weight, bits, symmetric);
    Tensor shape(DType::I64, {2});
    std::copy_n(weight.shape.begin(), 2, shape.as<int64_t>());
    model.tensors.erase(name + ".weight");
    model.tensors[name + ".weight_packed"] = stored(matrix.packed);
    model.tensors[name + ".weight_shape"] = stored(shape);
    model.tensors[name + ".weight_scale"] = stored(matrix.scales);
    if (!symmetric) model.tensors[name + ".weight_zero_point"] = stored(matrix.zero_points);
}

}  // namespace

TinyModel make_quarot_model(const TinyModelOptions& options, const Recipe& recipe) {
    TinyModel made = make_tiny_model(options);
    const folder::Family& family = folder::family_of(made.config);
    const model::ModelConfig config = family.read_config(made.config);
    const auto quantize_role = [&](const model::LinearId& id) {
        const int bits = model::weight_bits(recipe, id.role);
        if (bits == 16) return;
        quantize(made, folder::linear_name(id), bits, recipe.weights.symmetric);
    };
    for (const model::LinearId& id : linears_of(config)) quantize_role(id);
    quantize_role({model::LinearRole::Embedding});
    if (!config.tied_embeddings) quantize_role({model::LinearRole::LmHead});
    made.config.set("quantization_config", folder::to_json(recipe));
    return with_digests(std::move(made));
}

TinyModel with_digests(TinyModel model) {
    io::Json digests = io::Json::Object{};
    for (const auto& [name, tensor] : model.tensors) digests.set(name, io::xxh3_128(tensor.bytes));
    const io::Json provenance =
        io::Json::Object{{"schema", "quarot.provenance/1"}, {"tensors", digests}};
    model.text_files["quarot.json"] = provenance.dump();
    return model;
}

}  // namespace quarot::test

#include "folder/source_model.h"

#include <algorithm>
#include <filesystem>
#include <string_view>

#include "core/check.h"
#include "core/error.h"
#include "folder/folder_config.h"
#include "folder/gguf_model.h"
#include "folder/settle_checkpoint.h"
#include "folder/stored_linear.h"
#include "folder/stored_names.h"
#include "folder/tensor_plan.h"
#include "folder/value_checks.h"
#include "io/file_listing.h"
#include "io/gguf_metadata.h"
#include "io/model_folder.h"
#include "io/text.h"
#include "model/role_formats.h"
#include "tensor/float_convert.h"

namespace quarot::folder {

namespace {

namespace fs = std::filesystem;

io::Json read_config_json(const std::string& folder) {
    io::expect_folder(folder);
    const std::string path = (fs::path(folder) / "config.json").string();
    // A folder of other weights has no config.json, either.
    if (!io::is_listed(path)) io::refuse_other_weights(folder);
    return io::Json::parse_file(path);
}

std::optional<io::Json> read_generation_json(const std::string& folder) {
    const std::string path = (fs::path(folder) / "generation_config.json").string();
    if (!io::is_listed(path)) return std::nullopt;
    return io::Json::parse_file(path);
}

}  // namespace

SourceModel SourceModel::open(const std::string& path, const io::Json* rope_scaling) {
    SourceModel model =
        io::is_gguf_file(path) ? open_gguf(path, rope_scaling) : open_folder(path, rope_scaling);
    model.settle();
    if (model.is_quantized()) model.hashes_ = TensorHashes::of_folder(path);
    return model;
}

SourceModel SourceModel::open_folder(const std::string& folder, const io::Json* rope_scaling) {
    io::Json config_json = read_config_json(folder);
    // Before the weights, so that advice fits.
    FolderConfig config = read_folder_config(config_json);
    if (rope_scaling != nullptr) override_rope(config_json, *rope_scaling, config);
    SourceModel model(io::Checkpoint::open(folder), std::move(config_json), std::move(config));
    if (const auto generation = read_generation_json(folder)) {
        add_end_tokens(*generation, model.config_);
    }
    return model;
}

SourceModel SourceModel::open_gguf(const std::string& path, const io::Json* rope_scaling) {
    GgufModel parts = open_gguf_model(path);
    FolderConfig config = read_folder_config(parts.config);
    if (rope_scaling != nullptr) override_rope(parts.config, *rope_scaling, config);
    SourceModel model(std::move(parts.checkpoint), std::move(parts.config), std::move(config));
    model.is_gguf_ = true;
    return model;
}

void SourceModel::settle() {
    settle_checkpoint(checkpoint_, *family_, recipe_, config_);
    check_recipe_fits(recipe_, config_, config_json_);
    check_tensors(plan_tensors(*family_, config_, recipe_), checkpoint_);
}

SourceModel::SourceModel(io::Checkpoint checkpoint, io::Json config_json, FolderConfig config)
    : checkpoint_(std::move(checkpoint)),
      config_json_(std::move(config_json)),
      family_(config.family),
      config_(std::move(config.model)),
      recipe_(std::move(config.recipe)) {}

std::vector<std::string> SourceModel::files() const {
    std::vector<std::string> paths = checkpoint_.files();
    if (!is_gguf_) {
        paths.push_back((fs::path(folder()) / "config.json").string());
    }
    return paths;
}

model::LinearId SourceModel::stored(const model::LinearId& id) const {
    const bool is_tied = id.role == model::LinearRole::LmHead && config_.tied_embeddings;
    return is_tied ? model::LinearId{model::LinearRole::Embedding} : id;
}

TensorSlice SourceModel::slice_of(const model::LinearId& id) const {
    return is_quantized() ? whole_tensor(stored(id), config_)
                          : family_->linear(stored(id), config_);
}

std::string SourceModel::stem_of(model::NormRole role, int64_t layer) const {
    return is_quantized() ? norm_stem(role, layer, config_) : family_->norm(role, layer, config_);
}

Tensor SourceModel::read_verified(const std::string& name) const {
    Tensor tensor = checkpoint_.read(name);
    hashes_.verify(name, checkpoint_.file_of(name),
                   {tensor.data(), static_cast<size_t>(tensor.bytes())});
    return tensor;
}

Tensor SourceModel::read_finite(const std::string& name) const {
    Tensor tensor = read_verified(name);
    check_finite(tensor, {checkpoint_.file_of(name), name});
    return tensor;
}

std::vector<float> SourceModel::read_vector(const std::string& name) const {
    const Tensor tensor = read_finite(name);
    std::vector<float> values(static_cast<size_t>(element_count(tensor.shape())));
    widen(tensor.dtype(), tensor.data(), values);
    return values;
}

bool SourceModel::is_dense(const model::LinearId& id) const {
    return weight_bits(recipe_, stored(id).role) == 16;
}

DType SourceModel::dense_dtype(const model::LinearId& id) const {
    QUAROT_CHECK(is_dense(id), "{}", linear_name(id));
    return checkpoint_.info(slice_of(id).name + ".weight").dtype;
}

Tensor SourceModel::dense_rows(const model::LinearId& id, int64_t first, int64_t n) const {
    QUAROT_CHECK(is_dense(id), "{}", linear_name(id));
    QUAROT_CHECK(first >= 0 && n >= 0 && first + n <= out_features(id, config_));
    const TensorSlice slice = slice_of(id);
    Tensor rows(DType::F32, {n, in_features(id, config_)});
    std::byte* to = rows.data();
    for (const RowRun& run : runs_of(slice, first, n)) {
        const Tensor part =
            io::read_finite_rows(checkpoint_, slice.name + ".weight", run.first, run.count);
        to = std::copy_n(part.data(), part.bytes(), to);
    }
    return rows;
}

Tensor SourceModel::dense(const model::LinearId& id) const {
    QUAROT_CHECK(is_dense(id), "{}", linear_name(id));
    const TensorSlice slice = slice_of(id);
    const std::string name = slice.name + ".weight";
    const io::TensorInfo& info = checkpoint_.info(name);
    const int64_t n_rows = out_features(id, config_);
    if (info.shape[0] == n_rows) return read_finite(name);
    Tensor rows(info.dtype, {n_rows, in_features(id, config_)});
    std::byte* to = rows.data();
    for (const RowRun& run : runs_of(slice, 0, n_rows)) {
        const Tensor part = checkpoint_.read_rows(name, run.first, run.count);
        to = std::copy_n(part.data(), part.bytes(), to);
    }
    check_finite(rows, {checkpoint_.file_of(name), name});
    return rows;
}

QuantizedMatrix SourceModel::quantized(const model::LinearId& id) const {
    QUAROT_CHECK(!is_dense(id), "{}", linear_name(id));
    const int64_t cols = in_features(id, config_) - n_outliers(recipe_, id.role, config_);
    return read_quantized(linear_name(stored(id)), out_features(id, config_), cols,
                          weight_format(recipe_, stored(id).role));
}

std::vector<int32_t> SourceModel::column_order(const model::LinearId& id) const {
    const std::string name = linear_name(id) + ".column_order";
    const Tensor order = read_verified(name);
    check_permutation(order, {checkpoint_.file_of(name), name});
    return {order.as<int32_t>(), order.as<int32_t>() + element_count(order.shape())};
}

float SourceModel::input_clip(const model::LinearId& id) const {
    const std::string name = linear_name(id) + ".input_clip";
    const float clip = read_verified(name).as<float>()[0];
    check_clip(clip, {checkpoint_.file_of(name), name});
    return clip;
}

std::optional<kernels::LinearWeights> SourceModel::outliers(const model::LinearId& id) const {
    const int64_t cols = n_outliers(recipe_, id.role, config_);
    if (cols == 0) return std::nullopt;
    const std::string name = linear_name(id) + ".outlier";
    const WeightFormat format = outlier_weight_format(recipe_);
    if (format.bits < 16) {
        const int64_t rows = out_features(id, config_);
        return kernels::LinearWeights{read_quantized(name, rows, cols, format), {}};
    }
    auto dense = std::make_shared<const Tensor>(read_finite(name + ".weight"));
    return kernels::LinearWeights{std::move(dense), {}};
}

QuantizedMatrix SourceModel::read_quantized(const std::string& name, int64_t rows, int64_t cols,
                                            const WeightFormat& format) const {
    QuantizedMatrix matrix;
    matrix.rows = rows;
    matrix.cols = cols;
    matrix.bits = format.bits;
    matrix.group_size = format.group_size;
    matrix.symmetric = format.symmetric;

    const Tensor shape = read_verified(name + ".weight_shape");
    const int64_t* stored = shape.as<int64_t>();
    if (stored[0] != matrix.rows || stored[1] != matrix.cols) {
        fail(ErrorCode::Corrupt,
             "{}: tensor {}.weight_shape holds [{}, {}], expected [{}, {}] from config.json",
             checkpoint_.file_of(name + ".weight_shape"), name, stored[0], stored[1], matrix.rows,
             matrix.cols);
    }
    matrix.packed = read_verified(name + ".weight_packed");
    matrix.scales = read_verified(name + ".weight_scale");
    check_scales(matrix, {checkpoint_.file_of(name + ".weight_scale"), name});
    if (!matrix.symmetric) {
        matrix.zero_points = read_verified(name + ".weight_zero_point");
        check_zero_points(matrix, {checkpoint_.file_of(name + ".weight_zero_point"), name});
    }
    return matrix;
}

std::vector<float> SourceModel::bias(const model::LinearId& id) const {
    if (!has_bias(id.role, config_)) return {};
    const TensorSlice slice = slice_of(id);
    const std::vector<float> stored = read_vector(slice.name + ".bias");
    std::vector<float> bias;
    bias.reserve(static_cast<size_t>(out_features(id, config_)));
    for (int64_t r = 0; r < out_features(id, config_); ++r) {
        bias.push_back(stored[static_cast<size_t>(slice.row(r))]);
    }
    return bias;
}

DType SourceModel::bias_dtype(const model::LinearId& id) const {
    return checkpoint_.info(slice_of(id).name + ".bias").dtype;
}

std::vector<float> SourceModel::norm_gain(model::NormRole role, int64_t layer) const {
    std::vector<float> gain = read_vector(stem_of(role, layer) + ".weight");
    if (is_gguf_) return gain;  // whole there
    for (float& value : gain) value += family_->gain_offset;
    return gain;
}

std::vector<float> SourceModel::norm_bias(model::NormRole role, int64_t layer) const {
    QUAROT_CHECK(has_bias(role, config_));
    return read_vector(stem_of(role, layer) + ".bias");
}

DType SourceModel::norm_dtype(model::NormRole role, int64_t layer) const {
    return checkpoint_.info(stem_of(role, layer) + ".weight").dtype;
}

int64_t SourceModel::parameter_count() const {
    const auto linear_count = [this](const model::LinearId& id) {
        const int64_t out = out_features(id, config_);
        return out * in_features(id, config_) + (has_bias(id.role, config_) ? out : 0);
    };
    const auto norm_count = [this](model::NormRole role) {
        return width_of(role, config_) * (has_bias(role, config_) ? 2 : 1);
    };
    int64_t layers = 0;
    for (int64_t layer = 0; layer < config_.n_layers; ++layer) {
        for (const model::NormRole role : norms_of(config_, layer)) layers += norm_count(role);
    }
    for (const model::LinearId& id : linears_of(config_)) layers += linear_count(id);
    int64_t tables = 0;
    for (const model::LinearRole table : tables_of(config_)) tables += linear_count(table);
    const int64_t head = config_.tied_embeddings ? 0 : linear_count(model::LinearRole::LmHead);
    return tables + layers + norm_count(model::NormRole::Final) + head;
}

double SourceModel::bits_per_weight() const {
    const std::vector<model::LinearId> decoder = linears_of(config_);
    std::vector<model::LinearId> linears = decoder;
    linears.push_back({model::LinearRole::Embedding});
    if (!config_.tied_embeddings) linears.push_back({model::LinearRole::LmHead});
    std::erase_if(linears, [this](const model::LinearId& id) { return is_dense(id); });
    if (linears.empty()) linears = decoder;
    int64_t bytes = 0;
    int64_t weights = 0;
    for (const model::LinearId& id : linears) {
        bytes += stored_bytes(id);
        weights += out_features(id, config_) * in_features(id, config_);
    }
    return 8.0 * static_cast<double>(bytes) / static_cast<double>(weights);
}

int64_t SourceModel::stored_bytes(const model::LinearId& id) const {
    if (is_dense(id)) {
        return out_features(id, config_) * in_features(id, config_) * size_of(dense_dtype(id));
    }
    const std::string name = linear_name(stored(id));
    int64_t bytes = 0;
    for (const auto& tensor : stored_tensors(name, stored(id), config_, recipe_)) {
        const bool is_shape = tensor.dtype == DType::I64;
        if (!is_shape) bytes += checkpoint_.info(tensor.name).bytes;
    }
    return bytes;
}

}  // namespace quarot::folder

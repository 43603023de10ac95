// Which tensors does a model folder hold, and in which file does each stand?
#include "io/checkpoint.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <filesystem>

#include "core/check.h"
#include "core/checked_math.h"
#include "core/error.h"
#include "core/log.h"
#include "io/file_listing.h"
#include "io/json.h"
#include "io/limits.h"
#include "io/model_folder.h"
#include "io/shard_index.h"
#include "io/text.h"
#include "tensor/float_convert.h"

namespace quarot::io {

namespace {

namespace fs = std::filesystem;

std::string text_of(const Shape& shape) {
    return Json(Json::Array(shape.begin(), shape.end())).dump(-1);
}

}  // namespace

Checkpoint Checkpoint::open(const std::string& folder) {
    expect_folder(folder);
    refuse_other_weights(folder);
    Checkpoint checkpoint;
    checkpoint.folder_ = folder;
    const std::string single = (fs::path(folder) / kWeightsName).string();
    const std::string index = (fs::path(folder) / kShardIndexName).string();
    if (reads_single_file(folder)) {
        if (is_listed(index)) {
            log_warning("{} holds {} and {}; the first is read, as transformers does", folder,
                        kWeightsName, kShardIndexName);
        }
        checkpoint.add_file(std::make_unique<SafetensorsFile>(single));
    } else if (is_listed(index)) {
        checkpoint.open_shards(index);
    } else {
        fail(ErrorCode::NotFound, "{} has neither {} nor {}", folder, kWeightsName,
             kShardIndexName);
    }
    warn_of_adapter(folder);
    return checkpoint;
}

Checkpoint Checkpoint::of_file(std::unique_ptr<TensorFile> file) {
    Checkpoint checkpoint;
    checkpoint.folder_ = file->path();
    checkpoint.add_file(std::move(file));
    return checkpoint;
}

void Checkpoint::open_shards(const std::string& index_path) {
    const ShardIndex index = parse_shard_index(
        Json::parse_file(index_path, {.max_bytes = limits::kIndexBytes}), index_path);
    int64_t total = 0;
    for (const std::string& shard : index.shards) {
        add_file(std::make_unique<SafetensorsFile>((fs::path(folder_) / shard).string()));
        for (const auto& [tensor, info] : files_.back()->tensors()) {
            index.check_placed(tensor, shard);
            total += info.bytes;
        }
    }
    for (const auto& [tensor, shard] : index.shard_of) {
        if (!entries_.contains(tensor)) {
            fail(ErrorCode::Corrupt, "{}: tensor {} is said to stand in {}, which does not hold it",
                 index_path, printable(tensor), shard);
        }
    }
    index.warn_of_total_size(total);
}

void Checkpoint::add_file(std::unique_ptr<TensorFile> file) {
    for (const auto& [name, info] : file->tensors()) {
        entries_.emplace(name, Entry{.file = files_.size(), .stored = name, .info = info});
    }
    files_.push_back(std::move(file));
}

const Checkpoint::Entry& Checkpoint::entry(const std::string& name) const {
    const auto found = entries_.find(name);
    if (found == entries_.end()) {
        fail(ErrorCode::Corrupt, "{} has no tensor {}, which its config.json calls for", folder_,
             printable(name));
    }
    return found->second;
}

const TensorInfo& Checkpoint::info(const std::string& name) const {
    return entry(name).info;
}

std::vector<std::string> Checkpoint::names() const {
    std::vector<std::string> names;
    names.reserve(entries_.size());
    for (const auto& [name, entry] : entries_) names.push_back(name);
    return names;
}

void Checkpoint::add_name(const std::string& name, const std::string& stored) {
    const bool is_new = entries_.emplace(name, entry(stored)).second;
    QUAROT_CHECK(is_new, "{}", name);
}

void Checkpoint::rename(const std::string& stored, const std::string& name) {
    add_name(name, stored);
    entries_.erase(stored);
}

const std::string& Checkpoint::file_of(const std::string& name) const {
    return files_[entry(name).file]->path();
}

std::vector<std::string> Checkpoint::files() const {
    std::vector<std::string> paths;
    paths.reserve(files_.size());
    for (const auto& file : files_) paths.push_back(file->path());
    return paths;
}

Tensor Checkpoint::read(const std::string& name) const {
    const Entry& found = entry(name);
    Tensor tensor(found.info.dtype, found.info.shape);
    const int64_t n_rows = found.info.shape.empty() ? 1 : found.info.shape.front();
    files_[found.file]->read_rows(found.stored, 0, n_rows,
                                  {tensor.data(), static_cast<size_t>(tensor.bytes())});
    return tensor;
}

Tensor Checkpoint::read_rows(const std::string& name, int64_t first_row, int64_t n_rows) const {
    const Entry& found = entry(name);
    Shape shape = found.info.shape;
    const bool inside = !shape.empty() && first_row >= 0 && n_rows >= 0 && first_row <= shape[0] &&
                        n_rows <= shape[0] - first_row;
    if (!inside) {
        fail(ErrorCode::Corrupt, "{}: tensor {} has shape {}, expected {} rows from row {} on",
             file_of(name), printable(name), text_of(shape), n_rows, first_row);
    }
    shape[0] = n_rows;
    Tensor tensor(found.info.dtype, std::move(shape));
    files_[found.file]->read_rows(found.stored, first_row, n_rows,
                                  {tensor.data(), static_cast<size_t>(tensor.bytes())});
    return tensor;
}

namespace {

bool all_finite(std::span<const float> values) {
    // An exponent of all ones marks NaN and Inf; a sum of flags is a loop the compiler vectorises.
    constexpr uint32_t kExponent = 0x7f800000u;
    int64_t n_bad = 0;
    for (const float value : values) {
        n_bad += (std::bit_cast<uint32_t>(value) & kExponent) == kExponent ? 1 : 0;
    }
    return n_bad == 0;
}

}  // namespace

Tensor read_finite_rows(const Checkpoint& checkpoint, const std::string& name, int64_t first_row,
                        int64_t n_rows) {
    const Tensor stored = checkpoint.read_rows(name, first_row, n_rows);
    if (!is_float_weight(stored.dtype())) {
        fail(ErrorCode::Unsupported, "{}: tensor {} has dtype {}, expected F32, F16 or BF16",
             checkpoint.file_of(name), printable(name), name_of(stored.dtype()));
    }
    Tensor result(DType::F32, stored.shape());
    const std::span<float> values(result.as<float>(),
                                  static_cast<size_t>(element_count(result.shape())));
    widen(stored.dtype(), stored.data(), values);
    if (all_finite(values)) return result;
    const auto bad = std::find_if(values.begin(), values.end(),
                                  [](float value) { return !std::isfinite(value); });
    const int64_t n_cols = std::ssize(values) / n_rows;
    const int64_t index = bad - values.begin();
    fail(ErrorCode::Corrupt, "{}: tensor {} has {} at row {}, column {}, expected finite numbers",
         checkpoint.file_of(name), printable(name), *bad, first_row + index / n_cols,
         index % n_cols);
}

}  // namespace quarot::io

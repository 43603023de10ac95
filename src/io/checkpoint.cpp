// Which tensors does a model folder hold, and in which file does each stand?
#include "io/checkpoint.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <filesystem>
#include <set>

#include "core/checked_math.h"
#include "core/error.h"
#include "core/log.h"
#include "io/json.h"
#include "io/text.h"
#include "tensor/float_convert.h"

namespace quarot::io {

namespace {

namespace fs = std::filesystem;

constexpr const char* kIndexName = "model.safetensors.index.json";
constexpr const char* kSingleName = "model.safetensors";
constexpr size_t kMaxShards = 10'000;
constexpr size_t kMaxShardNameBytes = 255;
constexpr int64_t kMaxIndexBytes = int64_t{64} << 20;

// tensor -> name of its shard
using WeightMap = std::map<std::string, std::string>;

bool is_there(const fs::path& path) {
    std::error_code error;
    return fs::exists(path, error);
}

// Letters, digits, '.', '_', '-', ending in ".safetensors": no folder can be named with these.
bool is_shard_name(const std::string& name) {
    constexpr std::string_view kEnding = ".safetensors";
    const auto allowed = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '.' || c == '_' || c == '-';
    };
    return name.size() > kEnding.size() && name.size() <= kMaxShardNameBytes &&
           name.ends_with(kEnding) && std::all_of(name.begin(), name.end(), allowed);
}

// What else lies in a folder without safetensors decides the advice.
[[noreturn]] void fail_no_weights(const std::string& folder) {
    static const std::set<std::string> kForeign = {".bin",  ".pt",   ".pth",
                                                   ".ckpt", ".gguf", ".ggml"};
    std::set<std::string> foreign;
    std::error_code error;
    for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
        if (kForeign.contains(it->path().extension().string())) {
            foreign.insert(it->path().filename().string());
        }
    }
    if (!foreign.empty()) {
        fail(ErrorCode::Unsupported,
             "{} holds {} and no safetensors, which is the only format read; convert the model "
             "first, for example with transformers' save_pretrained(safe_serialization=True)",
             folder, printable(*foreign.begin()));
    }
    fail(ErrorCode::NotFound, "{} has neither {} nor {}", folder, kSingleName, kIndexName);
}

WeightMap read_weight_map(const Json& index, const std::string& path) {
    WeightMap map;
    for (const auto& [tensor, shard] : index.at("weight_map").as_object()) {
        if (!is_shard_name(shard.as_string())) {
            fail(ErrorCode::Corrupt,
                 "{}: tensor {} stands in \"{}\", expected a plain *.safetensors file name", path,
                 printable(tensor), printable(shard.as_string()));
        }
        map.emplace(tensor, shard.as_string());
    }
    if (map.empty()) fail(ErrorCode::Corrupt, "{}: weight_map is empty, expected tensors", path);
    return map;
}

std::set<std::string> shards_of(const WeightMap& map, const std::string& path) {
    std::set<std::string> shards;
    for (const auto& [tensor, shard] : map) shards.insert(shard);
    if (shards.size() > kMaxShards) {
        fail(ErrorCode::Corrupt, "{} names {} files, at most {} are accepted", path, shards.size(),
             kMaxShards);
    }
    return shards;
}

// The index must place `tensor`, found in `shard`, exactly there.
void check_placed(const WeightMap& map, const std::string& tensor, const std::string& shard,
                  const std::string& index_path) {
    const auto placed = map.find(tensor);
    if (placed == map.end()) {
        fail(ErrorCode::Corrupt, "{}: tensor {} of {} is missing from weight_map", index_path,
             printable(tensor), shard);
    }
    if (placed->second != shard) {
        fail(ErrorCode::Corrupt, "{}: tensor {} is said to stand in {}, but {} holds it",
             index_path, printable(tensor), placed->second, shard);
    }
}

void warn_of_total_size(const Json& index, int64_t total, const std::string& path) {
    const Json* metadata = index.find("metadata");
    if (!metadata || !metadata->is_object()) return;
    const Json* stated = metadata->find("total_size");
    if (!stated) return;
    if (!stated->is_number() || stated->as_double() != static_cast<double>(total)) {
        log_warning("{}: total_size is {}, the tensors have {} bytes", path,
                    printable(stated->dump(-1)), total);
    }
}

std::string text_of(const Shape& shape) {
    return Json(Json::Array(shape.begin(), shape.end())).dump(-1);
}

}  // namespace

Checkpoint Checkpoint::open(const std::string& folder) {
    std::error_code error;
    if (!fs::is_directory(folder, error)) {
        fail(ErrorCode::NotFound, "{} is not a folder that can be read, expected a model folder",
             folder);
    }
    Checkpoint checkpoint;
    checkpoint.folder_ = folder;
    const fs::path base(folder);
    if (is_there(base / kIndexName)) {
        checkpoint.open_shards((base / kIndexName).string());
    } else if (is_there(base / kSingleName)) {
        checkpoint.add_file((base / kSingleName).string());
    } else {
        fail_no_weights(folder);
    }
    return checkpoint;
}

void Checkpoint::open_shards(const std::string& index_path) {
    const Json index = Json::parse_file(index_path, {.max_bytes = kMaxIndexBytes});
    const WeightMap map = read_weight_map(index, index_path);
    int64_t total = 0;
    for (const std::string& shard : shards_of(map, index_path)) {
        add_file((fs::path(folder_) / shard).string());
        for (const auto& [tensor, info] : files_.back().tensors()) {
            check_placed(map, tensor, shard, index_path);
            total += info.bytes;
        }
    }
    for (const auto& [tensor, shard] : map) {
        if (!entries_.contains(tensor)) {
            fail(ErrorCode::Corrupt, "{}: tensor {} is said to stand in {}, which does not hold it",
                 index_path, printable(tensor), shard);
        }
    }
    warn_of_total_size(index, total, index_path);
}

void Checkpoint::add_file(const std::string& path) {
    files_.emplace_back(path);
    for (const auto& [name, info] : files_.back().tensors()) {
        entries_.emplace(name, Entry{.file = files_.size() - 1, .info = info});
    }
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

const std::string& Checkpoint::file_of(const std::string& name) const {
    return files_[entry(name).file].path();
}

std::vector<std::string> Checkpoint::files() const {
    std::vector<std::string> paths;
    paths.reserve(files_.size());
    for (const SafetensorsFile& file : files_) paths.push_back(file.path());
    return paths;
}

Tensor Checkpoint::read(const std::string& name) const {
    const Entry& found = entry(name);
    Tensor tensor(found.info.dtype, found.info.shape);
    files_[found.file].read(found.info, 0, {tensor.data(), static_cast<size_t>(tensor.bytes())});
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
    const int64_t row_bytes = shape[0] == 0 ? 0 : found.info.bytes / shape[0];
    shape[0] = n_rows;
    Tensor tensor(found.info.dtype, std::move(shape));
    files_[found.file].read(found.info, first_row * row_bytes,
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

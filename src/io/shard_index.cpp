// Which shard holds which tensor, as model.safetensors.index.json says?
#include "io/shard_index.h"

#include <algorithm>
#include <string_view>

#include "core/error.h"
#include "core/log.h"
#include "io/limits.h"
#include "io/text.h"

namespace quarot::io {

namespace {

// Letters, digits, '.', '_', '-', ending in ".safetensors": no folder can be named with these.
bool is_shard_name(const std::string& name) {
    constexpr std::string_view kEnding = ".safetensors";
    const auto allowed = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '.' || c == '_' || c == '-';
    };
    return name.size() > kEnding.size() && name.size() <= limits::kShardNameBytes &&
           name.ends_with(kEnding) && std::all_of(name.begin(), name.end(), allowed);
}

}  // namespace

ShardIndex parse_shard_index(const Json& json, const std::string& path) {
    ShardIndex index;
    index.path = path;
    for (const auto& [tensor, shard] : json.at("weight_map").as_object()) {
        if (!is_shard_name(shard.as_string())) {
            fail(ErrorCode::Corrupt,
                 "{}: tensor {} stands in \"{}\", expected a plain *.safetensors file name", path,
                 printable(tensor), printable(shard.as_string()));
        }
        index.shard_of.emplace(tensor, shard.as_string());
        index.shards.insert(shard.as_string());
    }
    if (index.shard_of.empty()) {
        fail(ErrorCode::Corrupt, "{}: weight_map is empty, expected tensors", path);
    }
    if (index.shards.size() > limits::kShards) {
        fail(ErrorCode::Corrupt, "{} names {} files, at most {} are accepted", path,
             index.shards.size(), limits::kShards);
    }
    const Json* metadata = json.find("metadata");
    if (!metadata || !metadata->is_object()) return index;
    if (const Json* stated = metadata->find("total_size")) index.total_size = *stated;
    return index;
}

void ShardIndex::check_placed(const std::string& tensor, const std::string& shard) const {
    const auto placed = shard_of.find(tensor);
    if (placed == shard_of.end()) {
        fail(ErrorCode::Corrupt, "{}: tensor {} of {} is missing from weight_map", path,
             printable(tensor), shard);
    }
    if (placed->second != shard) {
        fail(ErrorCode::Corrupt, "{}: tensor {} is said to stand in {}, but {} holds it", path,
             printable(tensor), placed->second, shard);
    }
}

void ShardIndex::warn_of_total_size(int64_t total) const {
    if (!total_size) return;
    if (total_size->is_number() && total_size->as_double() == static_cast<double>(total)) return;
    log_warning("{}: total_size is {}, the tensors have {} bytes", path,
                printable(total_size->dump(-1)), total);
}

}  // namespace quarot::io

// Which shard holds which tensor, as model.safetensors.index.json says.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "io/json.h"

namespace quarot::io {

struct ShardIndex {
    std::string path;  // for messages
    std::map<std::string, std::string> shard_of;
    std::set<std::string> shards;
    std::optional<Json> total_size;  // as stated, whatever it is

    // Error{Corrupt} unless `tensor`, found in `shard`, is said to stand there.
    void check_placed(const std::string& tensor, const std::string& shard) const;
    // A size that is wrong harms nobody.
    void warn_of_total_size(int64_t total) const;
};

// Error{Corrupt} for shards whose names are not those of plain *.safetensors files, and for too
// many of them.
ShardIndex parse_shard_index(const Json& json, const std::string& path);

}  // namespace quarot::io

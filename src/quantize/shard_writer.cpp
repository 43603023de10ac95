#include "quantize/shard_writer.h"

#include "core/check.h"
#include "io/json.h"
#include "io/model_folder.h"

namespace quarot::quantize {

ShardWriter::ShardWriter(const OutputPlan& plan, io::OutputFolder& folder)
    : plan_(plan), folder_(folder) {
    open_shard(0);
}

void ShardWriter::append(const std::string& name, std::span<const std::byte> data) {
    const auto place = plan_.shard_of.find(name);
    QUAROT_CHECK(place != plan_.shard_of.end(), "tensor {} is not planned", name);
    if (place->second != shard_) {
        close_shard();
        open_shard(place->second);
    }
    Progress& progress = open_[name];
    writer_->write(name, progress.bytes, data);
    progress.hash.add(data);
    progress.bytes += std::ssize(data);
}

void ShardWriter::finish() {
    close_shard();
    QUAROT_CHECK(hashes_.size() == plan_.shard_of.size(), "{} of {} tensors written",
                 hashes_.size(), plan_.shard_of.size());
    if (plan_.shards.size() > 1) write_index();
}

void ShardWriter::open_shard(size_t shard) {
    shard_ = shard;
    const ShardPlan& plan = plan_.shards[shard];
    writer_.emplace(folder_.temporary_path() + "/" + plan.file, plan.tensors);
}

void ShardWriter::close_shard() {
    writer_->finish();
    writer_.reset();
    for (const auto& [name, progress] : open_) hashes_.emplace(name, progress.hash.hex());
    open_.clear();
}

void ShardWriter::write_index() {
    io::Json metadata;
    metadata.set("total_size", plan_.total_bytes);
    io::Json::Object weight_map;
    for (const auto& [name, shard] : plan_.shard_of) {
        weight_map.emplace_back(name, plan_.shards[shard].file);
    }
    io::Json index;
    index.set("metadata", std::move(metadata));
    index.set("weight_map", std::move(weight_map));
    folder_.write_text(io::kShardIndexName, index.dump() + "\n");
}

}  // namespace quarot::quantize

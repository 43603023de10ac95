// Fills the shards of an output plan one after the other, tensor by tensor, in pieces.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>

#include "io/hash.h"
#include "io/output_folder.h"
#include "io/safetensors.h"
#include "quantize/output_plan.h"

namespace quarot::quantize {

// Used by one thread. Only one shard is open at a time.
class ShardWriter {
  public:
    // Both must outlive it.
    ShardWriter(const OutputPlan& plan, io::OutputFolder& folder);

    // The next bytes of a tensor. The tensors of a weight may alternate; a tensor of the next shard
    // ends the one before.
    void append(const std::string& name, std::span<const std::byte> data);
    // Ends the last shard and writes the index if there are several.
    void finish();

    // XXH3-128 of every tensor that is complete, by name.
    const std::map<std::string, std::string>& hashes() const { return hashes_; }

  private:
    struct Progress {
        int64_t bytes = 0;
        io::Xxh3 hash;
    };
    void open_shard(size_t shard);
    void close_shard();
    void write_index();

    const OutputPlan& plan_;
    io::OutputFolder& folder_;
    std::optional<io::SafetensorsWriter> writer_;
    size_t shard_ = 0;
    std::map<std::string, Progress> open_;  // the open shard's tensors that were begun
    std::map<std::string, std::string> hashes_;
};

}  // namespace quarot::quantize

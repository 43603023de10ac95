// The tensors of a model: of a Hugging Face folder with one model.safetensors or the shards of an
// index, or of files of another format.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "io/safetensors.h"

namespace quarot::io {

class Checkpoint {
  public:
    // Opens `folder`: model.safetensors, else the index's shards, with a warning if both are there.
    // Checks every header; every tensor of the index must stand in the shard it names and nowhere
    // else. Error{NotFound} for a missing folder or shard; a folder that has only other formats
    // (.bin and the like) or an adapter is Error{Unsupported} with advice.
    static Checkpoint open(const std::string& folder);
    // Of one file, whose path stands for the folder.
    static Checkpoint of_file(std::unique_ptr<TensorFile> file);

    const std::string& folder() const { return folder_; }  // as it was opened
    // Error{Corrupt} naming the tensor and folder if absent.
    const TensorInfo& info(const std::string& name) const;
    bool contains(const std::string& name) const { return entries_.contains(name); }
    std::vector<std::string> names() const;  // sorted
    // From now on the tensor `stored` can be read under `name`, too, which no other tensor has.
    void add_name(const std::string& name, const std::string& stored);
    // Gives the tensor `stored` another name, which is none of the others'.
    void rename(const std::string& stored, const std::string& name);
    // The file a tensor stands in, for messages.
    const std::string& file_of(const std::string& name) const;
    // Paths of all shards, sorted.
    std::vector<std::string> files() const;

    // The whole tensor.
    Tensor read(const std::string& name) const;
    // Rows [first_row, first_row + n_rows) of a matrix, in the stored dtype; a vector's rows are
    // its elements. Error{Corrupt} if the tensor has no such rows. Thread-safe.
    Tensor read_rows(const std::string& name, int64_t first_row, int64_t n_rows) const;

  private:
    struct Entry {
        size_t file = 0;
        std::string stored;  // its name there
        TensorInfo info;
    };
    void open_shards(const std::string& index_path);
    void add_file(std::unique_ptr<TensorFile> file);
    const Entry& entry(const std::string& name) const;

    std::string folder_;
    std::vector<std::unique_ptr<TensorFile>> files_;
    std::map<std::string, Entry> entries_;
};

// As read_rows of a float tensor, widened to fp32; Error{Corrupt} naming the tensor, row and column
// if a value is NaN or Inf. Used wherever weights enter.
Tensor read_finite_rows(const Checkpoint& checkpoint, const std::string& name, int64_t first_row,
                        int64_t n_rows);

}  // namespace quarot::io

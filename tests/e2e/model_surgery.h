// Ways to break a model folder that lies on disk.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "io/json.h"

namespace quarot::test {

std::string read_bytes(const std::string& path);
void write_bytes(const std::string& path, const std::string& bytes);
void remove_file(const std::string& path);
// The file without its last n bytes.
void truncate_by(const std::string& path, int64_t n);

// Reads a JSON file, lets `change` change it, writes it back.
void edit_json(const std::string& path, const std::function<void(io::Json&)>& change);
// The same with the header of a safetensors file; the data stays as it is.
void edit_header(const std::string& path, const std::function<void(io::Json&)>& change);
// The header's text in place of JSON, its length said rightly.
void replace_header(const std::string& path, const std::string& header);
// The header's length field, whatever follows.
void set_header_length(const std::string& path, uint64_t length);
// Bytes at an offset of a tensor's data.
void overwrite_tensor(const std::string& path, const std::string& tensor, int64_t offset,
                      const std::string& bytes);

// A new safetensors file with Sylvester's Hadamard of order 32, the tiny model's hidden size, times
// `scale`, as R1.
void write_r1(const std::string& file, float scale);

}  // namespace quarot::test

// One GGUF file: header checked in full at opening, tensors read on demand and widened.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>

#include "io/file.h"
#include "io/gguf_header.h"

namespace quarot::io {

class GgufFile {
  public:
    // Error{NotFound}, or Error{Corrupt} or Error{Unsupported} as read_gguf_header.
    explicit GgufFile(const std::string& path);

    const std::string& path() const { return file_.path(); }
    const GgufMetadata& metadata() const { return header_.metadata; }
    // A vocabulary takes more memory than all else here.
    void drop_metadata() { header_.metadata = {}; }
    const std::map<std::string, GgufTensor>& tensors() const { return header_.tensors; }

    // Rows [first_row, first_row + n_rows) of one of tensors(), as elements of its type's dtype:
    // floats as they are stored, blocks as fp32. The rows of a vector are its elements. Packed rows
    // are read in pieces, so `out`, which has room for the rows and is aligned for them, is all the
    // memory it takes. Thread-safe.
    void read_rows(const GgufTensor& tensor, int64_t first_row, int64_t n_rows,
                   std::span<std::byte> out) const;

  private:
    File file_;
    GgufHeader header_;
};

}  // namespace quarot::io

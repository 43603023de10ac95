// One safetensors file: header checked in full at opening, tensors read on demand.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "io/file.h"
#include "io/safetensors_header.h"
#include "io/tensor_file.h"
#include "tensor/tensor.h"

namespace quarot::io {

class SafetensorsFile final : public TensorFile {
  public:
    // Error{Corrupt} or Error{Unsupported} as parse_safetensors_header.
    explicit SafetensorsFile(const std::string& path);

    const std::string& path() const override { return file_.path(); }
    const std::map<std::string, TensorInfo>& tensors() const override { return header_.tensors; }
    void read_rows(const std::string& name, int64_t first_row, int64_t n_rows,
                   std::span<std::byte> out) const override;
    const std::map<std::string, std::string>& metadata() const { return header_.metadata; }

    // `out` takes bytes [first, first + out.size()) of the tensor. Thread-safe.
    void read(const TensorInfo& info, int64_t first, std::span<std::byte> out) const;

  private:
    File file_;
    SafetensorsHeader header_;
};

// What a file that is to be written holds; sizes are known before any data is.
struct PlannedTensor {
    std::string name;
    DType dtype = DType::F32;
    Shape shape;
};

// Writes tensors in any order into a file whose layout is fixed at the start: header padded with
// spaces to 8 bytes, tensors in name order, metadata {"format": "pt"} and what is given; same
// input, same bytes. Without finish() the destructor removes the file. Threads may write at the
// same time.
class SafetensorsWriter {
  public:
    // Creates the file (must not exist) and writes the header. Error{Io} on failure.
    SafetensorsWriter(const std::string& path, std::vector<PlannedTensor> tensors,
                      const std::map<std::string, std::string>& metadata = {});
    ~SafetensorsWriter();
    SafetensorsWriter(SafetensorsWriter&&) noexcept;

    // Writes bytes [first, first + data.size()) of a tensor; each byte once. Error{Io} on failure.
    void write(const std::string& name, int64_t first, std::span<const std::byte> data);
    // fsync and close; QUAROT_CHECKs that every byte of every tensor was written.
    void finish();

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace quarot::io

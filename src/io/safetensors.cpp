// Reading a file whose header has been judged; the header alone says what may be read.
#include "io/safetensors.h"

#include "core/check.h"
#include "core/error.h"

namespace quarot::io {

namespace {

SafetensorsHeader read_header(const File& file) {
    if (file.size() < kSafetensorsLengthBytes) {
        fail(ErrorCode::Corrupt, "{} has {} bytes, expected at least {} of a safetensors file",
             file.path(), file.size(), kSafetensorsLengthBytes);
    }
    SafetensorsLength length{};
    file.read(0, length);
    std::string text(
        static_cast<size_t>(safetensors_header_bytes(length, file.size(), file.path())), '\0');
    file.read(kSafetensorsLengthBytes, std::as_writable_bytes(std::span(text)));
    return parse_safetensors_header(text, file.size(), file.path());
}

}  // namespace

SafetensorsFile::SafetensorsFile(const std::string& path)
    : file_(path), header_(read_header(file_)) {}

void SafetensorsFile::read(const TensorInfo& info, int64_t first, std::span<std::byte> out) const {
    QUAROT_CHECK(first >= 0 && first <= info.bytes && std::ssize(out) <= info.bytes - first,
                 "bytes [{}, +{}) of {}", first, out.size(), info.bytes);
    file_.read(info.offset + first, out);
}

void SafetensorsFile::read_rows(const std::string& name, int64_t first_row, int64_t n_rows,
                                std::span<std::byte> out) const {
    const TensorInfo& info = tensors().at(name);
    const int64_t all_rows = info.shape.empty() ? 1 : info.shape.front();
    const int64_t row_bytes = all_rows == 0 ? 0 : info.bytes / all_rows;
    QUAROT_CHECK(std::ssize(out) == n_rows * row_bytes);
    read(info, first_row * row_bytes, out);
}

}  // namespace quarot::io

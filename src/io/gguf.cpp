// Reading a file whose header has been judged; the header alone says what may be read.
#include "io/gguf.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <system_error>
#include <vector>

#include "core/check.h"

namespace quarot::io {

namespace {

constexpr int64_t kPackedBytes = int64_t{1} << 20;  // of packed rows that are widened at a time
constexpr std::array<char, 4> kFirstBytes = {'G', 'G', 'U', 'F'};

GgufHeader header_of(const File& file) {
    return read_gguf_header(
        {.source = file.path(),
         .size = file.size(),
         .read = [&file](int64_t offset, std::span<std::byte> out) { file.read(offset, out); }});
}

bool begins_so(const std::string& path) {
    const File file(path);
    std::array<char, kFirstBytes.size()> first{};
    if (file.size() < std::ssize(first)) return false;
    file.read(0, std::as_writable_bytes(std::span(first)));
    return first == kFirstBytes;
}

}  // namespace

bool is_gguf_file(const std::string& path) {
    std::error_code error;
    if (!std::filesystem::is_regular_file(path, error)) return false;
    return std::filesystem::path(path).extension() == ".gguf" || begins_so(path);
}

GgufMetadata read_gguf_metadata(const std::string& path) {
    return header_of(File(path)).metadata;
}

GgufFile::GgufFile(const std::string& path) : file_(path), header_(header_of(file_)) {}

void GgufFile::read_rows(const GgufTensor& tensor, int64_t first_row, int64_t n_rows,
                         std::span<std::byte> out) const {
    const int64_t all_rows = tensor.shape.front();
    QUAROT_CHECK(first_row >= 0 && n_rows >= 0 && n_rows <= all_rows - first_row, "[{}, +{}) of {}",
                 first_row, n_rows, all_rows);
    const GgmlType& type = *tensor.type;
    const int64_t row_bytes = tensor.bytes / all_rows;
    const int64_t row_blocks = row_bytes / type.block_bytes;
    const int64_t row_read_bytes = row_blocks * type.block_elements * size_of(type.dtype);
    QUAROT_CHECK(std::ssize(out) == n_rows * row_read_bytes);
    if (type.widen == nullptr) return file_.read(tensor.offset + first_row * row_bytes, out);

    // In blocks, not rows, since one row may be as long as the file.
    const int64_t n_blocks = n_rows * row_blocks;
    const int64_t piece = kPackedBytes / type.block_bytes;
    std::vector<std::byte> packed;
    auto* values = reinterpret_cast<float*>(out.data());
    for (int64_t done = 0; done < n_blocks; done += piece) {
        const int64_t n = std::min(piece, n_blocks - done);
        packed.resize(static_cast<size_t>(n * type.block_bytes));
        file_.read(tensor.offset + first_row * row_bytes + done * type.block_bytes, packed);
        type.widen(packed.data(), n, values + done * type.block_elements);
    }
}

}  // namespace quarot::io

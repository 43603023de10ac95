// Judges many safetensors files: on stdin each one as its length (4 bytes, little-endian) and its
// bytes, on stdout a line for each: the error code, 0 for none, and the message.
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <span>
#include <string>

#include "core/error.h"
#include "io/safetensors.h"

namespace quarot::test {
namespace {

// A file without a place on disk.
class MemoryFile {
  public:
    explicit MemoryFile(const std::string& bytes) : fd_(::memfd_create("safetensors", 0)) {
        if (fd_ < 0) fail(ErrorCode::Io, "cannot make a file in memory");
        for (std::string_view rest = bytes; !rest.empty();) {
            const ssize_t n = ::write(fd_, rest.data(), rest.size());
            if (n <= 0) fail(ErrorCode::Io, "cannot fill a file in memory");
            rest.remove_prefix(static_cast<size_t>(n));
        }
    }
    ~MemoryFile() { ::close(fd_); }
    MemoryFile(const MemoryFile&) = delete;
    MemoryFile& operator=(const MemoryFile&) = delete;

    std::string path() const { return fmt::format("/proc/self/fd/{}", fd_); }

  private:
    int fd_;
};

bool read_exactly(std::span<char> out) {
    return std::fread(out.data(), 1, out.size(), stdin) == out.size();
}

std::string verdict(const std::string& bytes) {
    const MemoryFile memory(bytes);
    try {
        const io::SafetensorsFile file(memory.path());
        for (const auto& [name, info] : file.tensors()) {
            std::string data(static_cast<size_t>(info.bytes), '\0');
            file.read(info, 0, std::as_writable_bytes(std::span(data)));
        }
        return "0";
    } catch (const Error& error) {
        return fmt::format("{} {}", static_cast<int>(error.code()), error.what());
    }
}

void judge_all() {
    uint32_t length = 0;
    while (read_exactly({reinterpret_cast<char*>(&length), sizeof(length)})) {
        std::string bytes(length, '\0');
        if (!read_exactly(bytes)) return;
        fmt::print("{}\n", verdict(bytes));
    }
}

}  // namespace
}  // namespace quarot::test

int main() {
    quarot::test::judge_all();
    return 0;
}

#include "io/input_text.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>

#include "core/error.h"
#include "core/process.h"
#include "io/file.h"

namespace quarot::io {

namespace {

class Descriptor {
  public:
    explicit Descriptor(int fd) : fd_(fd) {}
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    ~Descriptor() { ::close(fd_); }
    int get() const { return fd_; }

  private:
    int fd_;
};

// Waits for a writer of a pipe.
int open_stream(const std::string& path) {
    while (true) {
        const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (fd >= 0) return fd;
        const int error = errno;
        throw_if_interrupted();
        if (error == EINTR) continue;
        fail(ErrorCode::NotFound, "cannot open {}: {}", path,
             std::generic_category().message(error));
    }
}

std::string read_to_end(int fd, const std::string& name, int64_t max_bytes) {
    std::string text;
    std::array<char, 65536> buffer{};
    while (true) {
        const ssize_t n = ::read(fd, buffer.data(), buffer.size());
        const int error = errno;
        if (n == 0) return text;
        throw_if_interrupted();
        if (n < 0 && error == EINTR) continue;
        if (n < 0) {
            fail(ErrorCode::Io, "cannot read {}: {}", name, std::generic_category().message(error));
        }
        text.append(buffer.data(), static_cast<size_t>(n));
        if (static_cast<int64_t>(text.size()) > max_bytes) {
            fail(ErrorCode::Corrupt, "{} has more than {} bytes, which is the limit", name,
                 max_bytes);
        }
    }
}

bool is_stream(const std::string& path) {
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) return false;
    return S_ISFIFO(status.st_mode) || S_ISCHR(status.st_mode);
}

}  // namespace

std::string read_input_text(const std::string& path, int64_t max_bytes) {
    if (path == kStandardInput) return read_to_end(STDIN_FILENO, "standard input", max_bytes);
    if (!is_stream(path)) return read_text(path, max_bytes);
    const Descriptor stream(open_stream(path));
    return read_to_end(stream.get(), path, max_bytes);
}

}  // namespace quarot::io

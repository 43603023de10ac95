// Reading with pread: interruptions and short reads are resumed, a file that changes is an error.
#include "io/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "core/check.h"
#include "core/error.h"
#include "io/text.h"

namespace quarot::io {

namespace {

std::string reason_of(int error) {
    return std::generic_category().message(error);
}

// Running out of descriptors or memory is our limit, not a fault of the path.
ErrorCode code_of_open_error(int error) {
    const bool resource = error == EMFILE || error == ENFILE || error == ENOMEM;
    return resource ? ErrorCode::OutOfMemory : ErrorCode::NotFound;
}

[[noreturn]] void fail_to_open(const std::string& path, int error) {
    std::error_code ignored;
    if (error == ENOENT && std::filesystem::is_symlink(path, ignored)) {
        fail(ErrorCode::NotFound,
             "cannot open {}: it is a link to {}, which is not there; if the folder comes from the "
             "hub's cache, download it again",
             path, printable(std::filesystem::read_symlink(path, ignored).string()));
    }
    fail(code_of_open_error(error), "cannot open {}: {}", path, reason_of(error));
}

int64_t size_now(int fd, const std::string& path) {
    struct stat status {};
    if (::fstat(fd, &status) != 0) {
        fail(ErrorCode::Io, "cannot ask for the size of {}: {}", path, reason_of(errno));
    }
    return status.st_size;
}

}  // namespace

File::File(const std::string& path) : path_(path) {
    // Without O_NONBLOCK, opening a FIFO would wait for a writer.
    do {
        fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    } while (fd_ < 0 && errno == EINTR);
    if (fd_ < 0) fail_to_open(path, errno);
    struct stat status {};
    const bool known = ::fstat(fd_, &status) == 0;
    if (!known || !S_ISREG(status.st_mode)) {
        ::close(fd_);
        fail(ErrorCode::NotFound, "{} is not a regular file", path);
    }
    size_ = status.st_size;
}

File::~File() {
    if (fd_ >= 0) ::close(fd_);
}

File::File(File&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)), size_(other.size_) {}

File& File::operator=(File&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(fd_, other.fd_);
    std::swap(size_, other.size_);
    return *this;
}

void File::read(int64_t offset, std::span<std::byte> out) const {
    QUAROT_CHECK(fd_ >= 0 && offset >= 0);
    size_t done = 0;
    while (done < out.size()) {
        const ssize_t n =
            ::pread(fd_, out.data() + done, out.size() - done, offset + static_cast<int64_t>(done));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            fail(ErrorCode::Io, "cannot read {} at byte {}: {}", path_,
                 offset + static_cast<int64_t>(done), reason_of(errno));
        }
        if (n == 0) {
            fail(ErrorCode::Corrupt, "{} ends at byte {}, expected {} bytes from byte {}", path_,
                 offset + static_cast<int64_t>(done), out.size(), offset);
        }
        done += static_cast<size_t>(n);
    }
    if (const int64_t now = size_now(fd_, path_); now != size_) {
        fail(ErrorCode::Corrupt, "{} changed from {} to {} bytes while it was read", path_, size_,
             now);
    }
}

std::string read_text(const std::string& path, int64_t max_bytes) {
    const File file(path);
    if (file.size() > max_bytes) {
        fail(ErrorCode::Corrupt, "{} has {} bytes, at most {} are accepted", path, file.size(),
             max_bytes);
    }
    std::string text(static_cast<size_t>(file.size()), '\0');
    file.read(0, std::as_writable_bytes(std::span(text)));
    return text;
}

}  // namespace quarot::io

// flock on the folder itself: no lock file that could stay behind.
#include "io/folder_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "core/error.h"
#include "core/log.h"

namespace quarot::io {

namespace {

std::string error_text() {
    return std::generic_category().message(errno);
}

// False if the folder was removed or replaced between its opening and its locking.
bool still_stands_at(int fd, const std::string& path) {
    struct stat opened {};
    struct stat named {};
    return ::fstat(fd, &opened) == 0 && ::stat(path.c_str(), &named) == 0 &&
           opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

}  // namespace

std::optional<FolderLock> FolderLock::try_lock(const std::string& folder) {
    const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) fail(ErrorCode::Io, "cannot open {}: {}", folder, error_text());
    int result = 0;
    do {
        result = ::flock(fd, LOCK_EX | LOCK_NB);
    } while (result != 0 && errno == EINTR);
    const bool is_taken = result != 0 && errno == EWOULDBLOCK;
    if (result != 0 && !is_taken) log_warning("cannot lock {}: {}", folder, error_text());
    FolderLock lock(fd, result == 0);
    if (is_taken || !still_stands_at(fd, folder)) return std::nullopt;
    return lock;
}

FolderLock FolderLock::lock(const std::string& folder) {
    std::optional<FolderLock> lock = try_lock(folder);
    if (!lock) {
        fail(ErrorCode::Io, "{} is in use by another process; wait for it or choose another place",
             folder);
    }
    return std::move(*lock);
}

FolderLock::~FolderLock() {
    if (fd_ >= 0) ::close(fd_);
}

FolderLock::FolderLock(FolderLock&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), is_exclusive_(other.is_exclusive_) {}

}  // namespace quarot::io

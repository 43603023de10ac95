// Writing with pwrite: short writes are resumed, and what cannot be finished is removed.
#include "io/output_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "core/check.h"
#include "core/error.h"

namespace quarot::io {

namespace {

[[noreturn]] void fail_errno(const char* doing, const std::string& path) {
    const int error = errno;
    fail(ErrorCode::Io, "cannot {} {}: {}", doing, path, std::generic_category().message(error));
}

// After a failed fsync the kernel may have dropped the pages: it is never tried again.
void sync_or_fail(int fd, const std::string& path) {
    while (::fsync(fd) != 0) {
        if (errno != EINTR) fail_errno("sync", path);
    }
}

bool is_process_and_count(std::string_view text) {
    const size_t dash = text.find('-');
    const auto is_number = [](std::string_view part) {
        return !part.empty() && part.find_first_not_of("0123456789") == std::string_view::npos;
    };
    return dash != std::string_view::npos && is_number(text.substr(0, dash)) &&
           is_number(text.substr(dash + 1));
}

}  // namespace

std::string missing_folder_hint(int error) {
    return error == ENOENT ? "; make its folder first, with mkdir -p" : "";
}

OutputFile::OutputFile(const std::string& path) : path_(path) {
    do {
        fd_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    } while (fd_ < 0 && errno == EINTR);
    if (fd_ >= 0) return;
    const int error = errno;
    fail(ErrorCode::Io, "cannot create {}: {}{}", path, std::generic_category().message(error),
         missing_folder_hint(error));
}

OutputFile::~OutputFile() {
    if (fd_ < 0) return;
    ::close(fd_);
    ::unlink(path_.c_str());
}

OutputFile::OutputFile(OutputFile&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)) {}

void OutputFile::reserve(int64_t bytes) {
    if (bytes == 0) return;
    while (::fallocate(fd_, 0, 0, bytes) != 0) {
        if (errno == EOPNOTSUPP || errno == ENOSYS) return;
        if (errno != EINTR) fail_errno("reserve space for", path_);
    }
}

void OutputFile::write(int64_t offset, std::span<const std::byte> data) {
    QUAROT_CHECK(fd_ >= 0 && offset >= 0);
    while (!data.empty()) {
        const ssize_t n = ::pwrite(fd_, data.data(), data.size(), offset);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) fail_errno("write", path_);
        offset += n;
        data = data.subspan(static_cast<size_t>(n));
    }
}

void OutputFile::finish() {
    QUAROT_CHECK(fd_ >= 0);
    sync_or_fail(fd_, path_);
    const int fd = std::exchange(fd_, -1);
    if (::close(fd) != 0 && errno != EINTR) {
        ::unlink(path_.c_str());
        fail_errno("close", path_);
    }
}

void move_into_place(const std::string& from, const std::string& to) {
    std::error_code error;
    std::filesystem::rename(from, to, error);
    if (error) {
        std::error_code ignored;
        std::filesystem::remove(from, ignored);
        fail(ErrorCode::Io, "cannot write {}: {}", to, error.message());
    }
    const std::string folder = std::filesystem::path(to).parent_path().string();
    sync_folder(folder.empty() ? "." : folder);
}

void write_whole(const std::string& path, std::string_view text) {
    const std::string beside = temporary_sibling(path, kUnfinishedFile);
    {
        OutputFile file(beside);
        file.write(0, std::as_bytes(std::span(text)));
        file.finish();
    }
    move_into_place(beside, path);
}

void sync_folder(const std::string& folder) {
    const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) fail_errno("open", folder);
    try {
        sync_or_fail(fd, folder);
    } catch (...) {
        ::close(fd);
        throw;
    }
    ::close(fd);
}

std::string temporary_sibling(const std::string& path, const std::string& kind) {
    static std::atomic<int> counter{0};
    constexpr size_t kMaxNameBytes = 200;  // leaves room within the 255 of common file systems
    const std::filesystem::path target(path);
    const std::string name = target.filename().string().substr(0, kMaxNameBytes);
    const std::string hidden =
        fmt::format(".{}.{}-{}-{}", name, kind, ::getpid(), counter.fetch_add(1));
    return (target.parent_path() / hidden).string();
}

bool is_temporary_sibling(const std::string& path, std::string_view kind) {
    const std::string name = std::filesystem::path(path).filename().string();
    const std::string mark = fmt::format(".{}-", kind);
    const size_t at = name.rfind(mark);
    return name.starts_with('.') && at != std::string::npos && at > 0 &&
           is_process_and_count(std::string_view(name).substr(at + mark.size()));
}

}  // namespace quarot::io

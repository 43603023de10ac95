// Which process may work in a folder? The one that holds its lock, which ends with the process.
#pragma once

#include <optional>
#include <string>

namespace quarot::io {

class FolderLock {
  public:
    // Empty if another process holds it or the folder was removed meanwhile. Error{Io} if the
    // folder cannot be opened.
    static std::optional<FolderLock> try_lock(const std::string& folder);
    // The same, but Error{Io} in place of empty.
    static FolderLock lock(const std::string& folder);

    ~FolderLock();
    FolderLock(FolderLock&& other) noexcept;
    FolderLock& operator=(FolderLock&&) = delete;

    // False on file systems that know no locks, where everybody gets one.
    bool is_exclusive() const { return is_exclusive_; }

  private:
    FolderLock(int fd, bool is_exclusive) : fd_(fd), is_exclusive_(is_exclusive) {}

    int fd_ = -1;
    bool is_exclusive_ = true;
};

}  // namespace quarot::io

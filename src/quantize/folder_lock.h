// Which process may work in a folder? The one that holds its lock, which ends with the process.
#pragma once

#include <string>

namespace quarot::quantize {

class FolderLock {
  public:
    // Error{NotFound} if another process holds it, Error{Io} if the folder cannot be opened. Where
    // the file system knows no locks it goes on with a warning.
    explicit FolderLock(const std::string& folder);
    ~FolderLock();
    FolderLock(FolderLock&& other) noexcept;
    FolderLock& operator=(FolderLock&&) = delete;

  private:
    int fd_ = -1;
};

}  // namespace quarot::quantize

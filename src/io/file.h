// A regular file opened for reading, never mapped: a file that shrinks under us is an error, not
// a signal.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace quarot::io {

class File {
  public:
    // Follows symlinks. Error{NotFound} if missing, unreadable, no regular file, a link to nowhere.
    explicit File(const std::string& path);
    ~File();
    File(File&& other) noexcept;
    File& operator=(File&& other) noexcept;

    const std::string& path() const { return path_; }
    int64_t size() const { return size_; }

    // Fills `out` from `offset`; Error{Corrupt} if the file ends early or has changed size,
    // Error{Io} if reading fails. Threads may read at the same time.
    void read(int64_t offset, std::span<std::byte> out) const;

  private:
    std::string path_;
    int fd_ = -1;
    int64_t size_ = 0;
};

// The whole file as text; Error{Corrupt} above max_bytes.
std::string read_text(const std::string& path, int64_t max_bytes);

}  // namespace quarot::io

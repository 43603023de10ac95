// A new file being written: complete and synced after finish(), gone otherwise.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace quarot::io {

class OutputFile {
  public:
    // Creates the file, which must not exist. Every failure here and below is Error{Io}.
    explicit OutputFile(const std::string& path);
    ~OutputFile();
    OutputFile(OutputFile&& other) noexcept;
    OutputFile& operator=(OutputFile&&) = delete;

    const std::string& path() const { return path_; }

    // Claims the disk space now where the file system can, so that a full disk shows early.
    void reserve(int64_t bytes);
    // Threads may write at the same time.
    void write(int64_t offset, std::span<const std::byte> data);
    // Syncs and closes; the file stays.
    void finish();

  private:
    std::string path_;
    int fd_ = -1;
};

// Gives a finished file its name, which it takes from a file that has it, and makes that durable.
// Where that fails `from` is removed: Error{Io}.
void move_into_place(const std::string& from, const std::string& to);

// Creates or replaces a file, synced: there is the old one or all of the new one. Error{Io}.
void write_whole(const std::string& path, std::string_view text);

// Makes new names in a folder durable.
void sync_folder(const std::string& folder);

// What to do about it, as the end of a sentence, where something cannot be made because its folder
// is missing; empty for other errors of the system.
std::string missing_folder_hint(int error);

// A name beside `path`, hidden, that no other run uses: "<parent>/.<name>.<kind>-<pid>-<n>".
std::string temporary_sibling(const std::string& path, const std::string& kind);
// Whether a path ends with such a name, of any file and run.
bool is_temporary_sibling(const std::string& path, std::string_view kind);
// The kind of what write_whole() has not renamed yet.
inline constexpr const char* kUnfinishedFile = "part";

}  // namespace quarot::io

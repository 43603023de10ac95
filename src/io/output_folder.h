// A folder that appears whole or not at all.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "io/folder_lock.h"

namespace quarot::io {

// Would an OutputFolder be refused? Errors as its constructor's; nothing is created.
void check_output_folder(const std::string& path, bool overwrite,
                         const std::vector<std::string>& inputs);

// Everything is written into a sibling with a temporary name; commit() syncs and renames it to
// `path`. Without commit the destructor removes what was written. What a process that was killed
// has left is put into its place by the next that writes there, if it was whole, and removed else.
class OutputFolder {
  public:
    // Error{Usage} if `path` exists and overwrite is false, if it is then neither empty nor one of
    // our own folders (one with a quarot.json), or if it is inside or equal to one of `inputs`;
    // Error{Io} if its parent cannot be written.
    OutputFolder(const std::string& path, bool overwrite, const std::vector<std::string>& inputs);
    ~OutputFolder();
    OutputFolder(const OutputFolder&) = delete;
    OutputFolder& operator=(const OutputFolder&) = delete;

    // Where to write now.
    const std::string& temporary_path() const { return temporary_; }
    // Writes a small file into it, synced.
    void write_text(const std::string& name, const std::string& text);
    // Copies a file into it under its own name, synced.
    void copy_file(const std::string& from, const std::string& name);
    // Makes it appear as `path` (an old folder there is replaced, and only then removed).
    void commit();

  private:
    std::string path_;
    std::string temporary_;
    std::optional<FolderLock> lock_;  // on the temporary folder: this process lives
    bool overwrite_ = false;
    bool committed_ = false;
};

}  // namespace quarot::io

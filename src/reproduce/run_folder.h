// The folder of one report: what is finished lies there, so that a run that was stopped goes on.
//   run.json           what all measurements in it have in common
//   rows/<key>.json    a finished measurement, of the text or of a task
//   models/<key>       quantized weights, while a measurement still needs them
//   report.md, report.json, report.csv
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "io/folder_lock.h"
#include "io/json.h"

namespace quarot::reproduce {

// Whether something lies there; false where nobody may look.
bool exists(const std::string& path);

// Everything is written beside its place and renamed, so that it is there whole or not at all. One
// process at a time holds a folder.
class RunFolder {
  public:
    // Creates it, or opens one whose run.json says `identity`; with `overwrite` what another run,
    // or this one, left there is removed first. Error{Usage} if it is not ours or of another run,
    // naming what differs; Error{NotFound} if another process holds it.
    RunFolder(std::string path, const io::Json& identity, bool overwrite);

    const std::string& path() const { return path_; }
    std::optional<io::Json> load(const std::string& key) const;
    void save(const std::string& key, const io::Json& measurement) const;

    std::string model_path(const std::string& key) const { return path_ + "/models/" + key; }
    // Removes weights, and what unfinished work on them left, of all keys but these.
    void keep_models(const std::vector<std::string>& keys) const;

    // A file of its own, such as report.md, replaced if there.
    void write(const std::string& name, const std::string& text) const;

  private:
    void lock();
    void check_same(const io::Json& there, const io::Json& identity) const;

    std::string path_;
    std::optional<io::FolderLock> lock_;
};

}  // namespace quarot::reproduce

// Finished layers of a running job on disk, so that a stopped job can go on.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "io/folder_lock.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "quantize/job/job_journal.h"
#include "quantize/job/layer_file.h"

namespace quarot::quantize {

// Holds job.json, layer-NNNNN.safetensors and journal.jsonl, rotation.sha256 where a text said what
// the rotation is, at the end result.sha256. A layer
// counts once its record stands in the journal and for as long as its file has the recorded digest.
// Locked against other processes while the object lives. Used by one thread.
class WorkFolder {
  public:
    // job: an object with all that decides the bytes of the result. Creates `path`, or with resume
    // goes on with what lies there; if nothing does, the job begins at its first layer. Finished
    // layers that were damaged are dropped with all that follow them, and so is what no record
    // names. Error{Usage}, and nothing is touched: finished layers lie there but resume is false;
    // they are of another job (the first setting that differs is named); what lies there is not
    // ours. Error{Io}, also where it is in use by another process.
    WorkFolder(const std::string& path, const io::Json& job, bool resume);
    // The folder stays, unless no layer was finished.
    ~WorkFolder();
    WorkFolder(const WorkFolder&) = delete;
    WorkFolder& operator=(const WorkFolder&) = delete;

    const std::string& path() const { return path_; }
    int64_t finished_layers() const;  // these are 0 .. n - 1
    // Layer number finished_layers(): its tensors are planned, then put one by one in any order,
    // then the layer is finished. Durable when finish_layer returns; on Error{Io} of any of the
    // three the layer's files are gone and the finished ones stand.
    void begin_layer(std::vector<io::PlannedTensor> planned);
    void put(const NamedTensor& tensor);
    void finish_layer(const io::Json& report);
    // Error{Io} if the file changed since it was written.
    io::SafetensorsFile open_layer(int64_t layer) const;
    const io::Json& report(int64_t layer) const;
    // The digest of what a text said of the rotation, before the first layer. Error{Usage} if the
    // finished layers have another.
    void record_rotation(const std::string& digest);
    // Before OUT appears: from now on made() knows it, by what its provenance file holds. Durable
    // when it returns; Error{Io}.
    void record_result(const std::string& provenance_file);
    // Is the folder `out` the result of this job?
    bool made(const std::string& out) const;
    // When the result stands elsewhere: removes the folder, but nothing in it that is not ours.
    void remove();

  private:
    std::string file_of(const std::string& name) const;
    std::string layer_path(int64_t layer) const;
    void begin(const io::Json& job);
    void write_whole(const std::string& name, const std::string& text) const;
    void go_on();
    bool is_intact(int64_t layer) const;
    void drop_unrecorded();

    std::string path_;
    std::optional<io::FolderLock> lock_;
    std::optional<JobJournal> journal_;
    std::optional<io::SafetensorsWriter> layer_;  // that was begun; gone with it unless finished
    bool removed_ = false;
};

// How many layers a WorkFolder made with these arguments would begin with. Errors as its
// constructor's; nothing is created or touched.
int64_t finished_layers_in(const std::string& path, const io::Json& job, bool resume);

}  // namespace quarot::quantize

// Every step leaves a state that can be gone on from: files are synced under a temporary name,
// renamed, and only then recorded.
#include "quantize/job/work_folder.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>

#include "core/check.h"
#include "core/error.h"
#include "core/log.h"
#include "core/setting.h"
#include "io/file.h"
#include "io/file_names.h"
#include "io/hash.h"
#include "io/output_file.h"
#include "io/text.h"

namespace quarot::quantize {
namespace {

namespace fs = std::filesystem;

constexpr const char* kJobFile = "job.json";
constexpr int64_t kJobBytes = int64_t{1} << 20;
constexpr const char* kJournalFile = "journal.jsonl";
constexpr const char* kResultFile = "result.sha256";  // of the result's provenance file
constexpr const char* kRotationFile = "rotation.sha256";
constexpr const char* kSchema = "quarot.job/1";
constexpr Setting kResume{"resume"};
constexpr std::string_view kPart = ".part";  // ends the name of a file that is being written

[[noreturn]] void fail_io(const char* doing, const std::string& path, std::error_code error) {
    fail(ErrorCode::Io, "cannot {} {}: {}{}", doing, path, error.message(),
         io::missing_folder_hint(error.value()));
}

std::error_code last_error() {
    return {errno, std::generic_category()};
}

std::string layer_name(int64_t layer) {
    return fmt::format("layer-{:05}.safetensors", layer);
}

bool is_layer_name(std::string_view name) {
    constexpr std::string_view kBegin = "layer-";
    constexpr std::string_view kEnd = ".safetensors";
    if (!name.starts_with(kBegin) || !name.ends_with(kEnd)) return false;
    name.remove_prefix(kBegin.size());
    name.remove_suffix(std::min(kEnd.size(), name.size()));
    return name.size() >= 5 &&
           std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; });
}

bool is_our_name(std::string_view name) {
    if (name.ends_with(kPart)) name.remove_suffix(kPart.size());
    return name == kJobFile || name == kJournalFile || name == kResultFile ||
           name == kRotationFile || is_layer_name(name);
}

std::vector<std::string> names_in(const std::string& folder) {
    std::vector<std::string> names;
    std::error_code error;
    for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
        names.push_back(it->path().filename().string());
    }
    if (error) fail_io("list", folder, error);
    std::sort(names.begin(), names.end());
    return names;
}

std::string resolved(const std::string& path) {
    std::error_code error;
    // Absolute first: what does not exist yet stays relative otherwise, and may have no parent.
    fs::path whole = path.empty() ? fs::path() : fs::absolute(path, error);
    if (!error) whole = fs::weakly_canonical(whole, error);
    if (error || path.empty())
        fail(ErrorCode::Usage, "work folder \"{}\" has no usable path", path);
    if (!whole.has_filename()) whole = whole.parent_path();
    return whole.string();
}

void rename_synced(const std::string& from, const std::string& to) {
    if (::rename(from.c_str(), to.c_str()) != 0) fail_io("rename to", to, last_error());
    io::sync_folder(fs::path(to).parent_path().string());
}

void remove_quietly(const std::string& path) {
    std::error_code ignored;
    fs::remove(path, ignored);
}

// Empty if equal; else the first place where they differ, with both values.
std::string first_difference(const io::Json& then, const io::Json& now, const std::string& name) {
    constexpr size_t kMaxShown = 80;
    if (then.is_object() && now.is_object()) {
        std::vector<std::string> keys;
        for (const auto& [key, value] : now.as_object()) keys.push_back(key);
        for (const auto& [key, value] : then.as_object()) {
            if (!now.contains(key)) keys.push_back(key);
        }
        const io::Json none;
        for (const std::string& key : keys) {
            const std::string inner = name.empty() ? key : name + "." + key;
            std::string found = first_difference(then.contains(key) ? then.at(key) : none,
                                                 now.contains(key) ? now.at(key) : none, inner);
            if (!found.empty()) return found;
        }
        return {};
    }
    const std::string old_value = then.dump(-1);
    const std::string new_value = now.dump(-1);
    if (old_value == new_value) return {};
    return fmt::format("{} = {}, and this run has {}", io::printable(name),
                       io::printable(old_value, kMaxShown), io::printable(new_value, kMaxShown));
}

[[noreturn]] void fail_foreign(const std::string& path, const std::string& why) {
    fail(ErrorCode::Usage,
         "{} is not a work folder of quarot quantize: {}; choose another {} or remove it", path,
         why, Setting{"work_folder"});
}

// What job.json holds; empty if there is none and nothing foreign either.
std::optional<io::Json> stored_job(const std::string& path) {
    const std::string file = path + "/" + kJobFile;
    std::error_code error;
    const bool has_job = fs::exists(file, error);
    if (error) fail_io("look for", file, error);
    if (!has_job) {
        for (const std::string& name : names_in(path)) {
            if (!is_our_name(name))
                fail_foreign(path, fmt::format("it holds {}", io::printable(name)));
        }
        return std::nullopt;
    }
    try {
        const io::Json json = io::Json::parse(io::read_text(file, kJobBytes), kJobFile);
        if (json.at("schema").as_string() == kSchema) return json.at("job");
    } catch (const Error& failure) {
        if (failure.code() == ErrorCode::Io) throw;
        fail_foreign(path, failure.what());
    }
    fail_foreign(path, fmt::format("its {} has another schema", kJobFile));
}

void require_same_job(const std::string& path, const io::Json& stored, const io::Json& wanted,
                      int64_t n_finished, bool resume) {
    const std::string difference = first_difference(stored, wanted, "");
    if (!difference.empty()) {
        fail(ErrorCode::Usage,
             "{} holds work that was begun with {}; repeat the same job with {} to go on with it, "
             "or remove the folder",
             path, difference, kResume);
    }
    if (resume) return;
    fail(ErrorCode::Usage,
         "{} holds {} finished layers of an earlier run; give {} to go on with them, or remove the "
         "folder",
         path, n_finished, kResume);
}

void make_folder(const std::string& path) {
    if (::mkdir(path.c_str(), 0777) == 0) return;
    const std::error_code error = last_error();
    if (error != std::errc::file_exists) fail_io("create the work folder", path, error);
    std::error_code unknown;
    if (!fs::is_directory(path, unknown)) fail_foreign(path, "it is no folder");
}

}  // namespace

WorkFolder::WorkFolder(const std::string& path, const io::Json& job, bool resume)
    : path_(resolved(path)) {
    // As it would be read from the file, so that both compare by their text.
    const io::Json wanted = io::Json::parse(job.dump(-1), "job");
    make_folder(path_);
    lock_.emplace(io::FolderLock::lock(path_));
    const std::optional<io::Json> stored = stored_job(path_);
    journal_.emplace(file_of(kJournalFile));
    const bool has_work = stored && finished_layers() > 0;
    if (!has_work) {
        if (resume) log_info("no finished layers in {}; starting from the beginning", path_);
        begin(wanted);
        return;
    }
    require_same_job(path_, *stored, wanted, finished_layers(), resume);
    go_on();
}

WorkFolder::~WorkFolder() {
    if (removed_ || finished_layers() > 0) return;
    try {
        remove();
    } catch (const std::exception& error) {
        log_warning("{}", error.what());
    }
}

std::string WorkFolder::file_of(const std::string& name) const {
    return path_ + "/" + name;
}

std::string WorkFolder::layer_path(int64_t layer) const {
    return file_of(layer_name(layer));
}

void WorkFolder::begin(const io::Json& job) {
    try {
        journal_->keep_first(0);
        remove_quietly(file_of(kResultFile));
        drop_unrecorded();
        io::Json content;
        content.set("schema", kSchema);
        content.set("job", job);
        write_whole(kJobFile, content.dump() + "\n");
        io::sync_folder(fs::path(path_).parent_path().string());
    } catch (...) {
        for (const char* leftover : {kJobFile, kJournalFile}) remove_quietly(file_of(leftover));
        remove_quietly(path_);
        throw;
    }
}

// On Error{Io} the file is as it was before.
void WorkFolder::write_whole(const std::string& name, const std::string& text) const {
    const std::string part = file_of(name) + std::string(kPart);
    remove_quietly(part);
    io::OutputFile out(part);
    out.write(0, std::as_bytes(std::span(text)));
    out.finish();
    rename_synced(part, file_of(name));
}

void WorkFolder::go_on() {
    const int64_t recorded = finished_layers();
    int64_t intact = 0;
    while (intact < recorded && is_intact(intact)) ++intact;
    if (intact < recorded) {
        log_info("{} is missing or was changed; it and all later layers are made anew",
                 layer_path(intact));
    }
    journal_->keep_first(intact);
    drop_unrecorded();
    log_info("going on in {} after {} finished layers", path_, intact);
}

bool WorkFolder::is_intact(int64_t layer) const {
    const LayerRecord& record = journal_->records()[static_cast<size_t>(layer)];
    try {
        const std::string file = layer_path(layer);
        return io::File(file).size() == record.bytes && digest_of_file(file) == record.digest;
    } catch (const Error&) {
        return false;
    }
}

// Files of layers that no record names, and such as were being written.
void WorkFolder::drop_unrecorded() {
    std::vector<std::string> recorded;
    for (int64_t i = 0; i < finished_layers(); ++i) recorded.push_back(layer_name(i));
    for (const std::string& name : names_in(path_)) {
        const bool is_layer = is_layer_name(name) &&
                              std::find(recorded.begin(), recorded.end(), name) == recorded.end();
        const bool is_part = is_our_name(name) && name.ends_with(kPart);
        if (!is_layer && !is_part) continue;
        log_info("removing unfinished {}", file_of(name));
        std::error_code error;
        fs::remove(file_of(name), error);
        if (error) fail_io("remove", file_of(name), error);
    }
}

int64_t WorkFolder::finished_layers() const {
    return journal_ ? std::ssize(journal_->records()) : 0;
}

void WorkFolder::begin_layer(std::vector<io::PlannedTensor> planned) {
    QUAROT_CHECK(!removed_);
    layer_.reset();
    layer_.emplace(layer_path(finished_layers()) + std::string(kPart), std::move(planned));
}

void WorkFolder::put(const NamedTensor& named) {
    QUAROT_CHECK(layer_.has_value(), "tensor {}", named.name);
    try {
        layer_->write(named.name, 0,
                      {named.tensor.data(), static_cast<size_t>(named.tensor.bytes())});
    } catch (...) {
        layer_.reset();
        throw;
    }
}

void WorkFolder::finish_layer(const io::Json& report) {
    QUAROT_CHECK(layer_.has_value());
    const std::string file = layer_path(finished_layers());
    const std::string part = file + std::string(kPart);
    try {
        layer_->finish();
        layer_.reset();
        rename_synced(part, file);
        journal_->append({io::File(file).size(), digest_of_file(file), report});
    } catch (...) {
        layer_.reset();
        remove_quietly(part);
        remove_quietly(file);
        throw;
    }
}

io::SafetensorsFile WorkFolder::open_layer(int64_t layer) const {
    QUAROT_CHECK(layer >= 0 && layer < finished_layers());
    if (!is_intact(layer)) {
        fail(ErrorCode::Io,
             "{} is missing or was changed since it was written; run again with {} to make it anew",
             layer_path(layer), kResume);
    }
    return io::SafetensorsFile(layer_path(layer));
}

const io::Json& WorkFolder::report(int64_t layer) const {
    QUAROT_CHECK(layer >= 0 && layer < finished_layers());
    return journal_->records()[static_cast<size_t>(layer)].report;
}

void WorkFolder::record_rotation(const std::string& digest) {
    QUAROT_CHECK(!removed_);
    if (finished_layers() == 0) return write_whole(kRotationFile, digest);
    std::error_code ignored;
    const std::string file = file_of(kRotationFile);
    if (fs::exists(file, ignored) && io::read_text(file, kJobBytes) == digest) return;
    fail(ErrorCode::Usage,
         "the rotation that the text gives here is another than that of the finished layers in {}, "
         "as it may be on another kind of processor; go on where they were made, or remove the "
         "folder",
         path_);
}

void WorkFolder::record_result(const std::string& provenance_file) {
    QUAROT_CHECK(!removed_);
    write_whole(kResultFile, io::sha256_of_file(provenance_file));
}

bool WorkFolder::made(const std::string& out) const {
    const std::string found = out + "/" + io::kProvenanceFile;
    std::error_code ignored;
    if (!fs::exists(file_of(kResultFile), ignored) || !fs::exists(found, ignored)) return false;
    return io::read_text(file_of(kResultFile), kJobBytes) == io::sha256_of_file(found);
}

// The journal goes first: without it nothing counts, however far the rest of the removal comes.
void WorkFolder::remove() {
    remove_quietly(file_of(kJournalFile));
    for (const std::string& name : names_in(path_)) {
        if (is_our_name(name)) remove_quietly(file_of(name));
    }
    removed_ = true;
    if (::rmdir(path_.c_str()) != 0) {
        log_warning("cannot remove the work folder {}: {}", path_, last_error().message());
    }
}

int64_t finished_layers_in(const std::string& path, const io::Json& job, bool resume) {
    const std::string folder = resolved(path);
    std::error_code ignored;
    if (!fs::exists(folder, ignored)) return 0;
    if (!fs::is_directory(folder, ignored)) fail_foreign(folder, "it is no folder");
    const std::optional<io::Json> stored = stored_job(folder);
    const int64_t n = std::ssize(JobJournal(folder + "/" + kJournalFile).records());
    if (!stored || n == 0) return 0;
    require_same_job(folder, *stored, io::Json::parse(job.dump(-1), "job"), n, resume);
    return n;
}

}  // namespace quarot::quantize

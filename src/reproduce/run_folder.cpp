#include "reproduce/run_folder.h"

#include <algorithm>
#include <filesystem>
#include <span>
#include <system_error>
#include <utility>

#include "core/error.h"
#include "core/setting.h"
#include "io/output_file.h"

namespace quarot::reproduce {

namespace {

namespace fs = std::filesystem;

constexpr const char* kIdentityFile = "run.json";
constexpr const char* kSchema = "quarot.reproduce-run/1";

// A file that write() had not renamed yet when its process was killed.
bool is_leftover(const fs::path& path) {
    return io::is_temporary_sibling(path.string(), io::kUnfinishedFile);
}

std::vector<fs::path> entries_of(const std::string& folder) {
    std::vector<fs::path> entries;
    std::error_code error;
    for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
        entries.push_back(it->path());
    }
    if (error) fail(ErrorCode::Io, "cannot list {}: {}", folder, error.message());
    return entries;
}

bool is_unused_folder(const std::string& path) {
    std::error_code error;
    if (!fs::is_directory(path, error)) return false;
    const std::vector<fs::path> entries = entries_of(path);
    return std::all_of(entries.begin(), entries.end(), is_leftover);
}

void create_folder(const std::string& path) {
    std::error_code error;
    fs::create_directories(path, error);
    if (error) fail(ErrorCode::Io, "cannot create the folder {}: {}", path, error.message());
}

void remove_tree(const fs::path& path) {
    std::error_code error;
    fs::remove_all(path, error);
    if (error) fail(ErrorCode::Io, "cannot remove {}: {}", path.string(), error.message());
}

// The first key whose value is another one; empty if all are equal.
std::string difference(const io::Json& there, const io::Json& here) {
    for (const auto& [key, value] : here.as_object()) {
        const io::Json* found = there.find(key);
        if (found == nullptr || found->dump(-1) != value.dump(-1)) return key;
    }
    return "";
}

[[noreturn]] void fail_foreign(const std::string& path) {
    fail(ErrorCode::Usage,
         "{} exists and holds no report of this program; choose another name for {}", path,
         Setting{"out"});
}

// A run.json may be somebody else's.
io::Json read_identity(const std::string& path) {
    try {
        const io::Json json = io::Json::parse_file(path + "/" + kIdentityFile);
        if (json.at("schema").as_string() == kSchema) return json.at("run");
    } catch (const Error& error) {
        if (error.code() != ErrorCode::Corrupt) throw;
    }
    fail_foreign(path);
}

io::Json with_schema(const io::Json& identity) {
    io::Json json;
    json.set("schema", kSchema);
    json.set("run", identity);
    return json;
}

}  // namespace

bool exists(const std::string& path) {
    std::error_code error;
    return fs::exists(path, error);
}

RunFolder::RunFolder(std::string path, const io::Json& identity, bool overwrite)
    : path_(std::move(path)) {
    const bool has_run = exists(path_ + "/" + kIdentityFile);
    if (!has_run && exists(path_) && !is_unused_folder(path_)) fail_foreign(path_);
    create_folder(path_);
    lock();
    std::optional<io::Json> there;
    if (has_run) there = read_identity(path_);
    if (there && overwrite) {
        for (const char* name :
             {"rows", "models", "report.md", "report.json", "report.csv", kIdentityFile}) {
            remove_tree(fs::path(path_) / name);
        }
    } else if (there) {
        check_same(*there, identity);
    }
    write(kIdentityFile, with_schema(identity).dump() + "\n");
    for (const std::string& folder : {path_, path_ + "/rows", path_ + "/models"}) {
        create_folder(folder);
        for (const fs::path& entry : entries_of(folder)) {
            if (is_leftover(entry)) remove_tree(entry);
        }
    }
}

void RunFolder::lock() {
    lock_.emplace(io::FolderLock::lock(path_));
}

void RunFolder::check_same(const io::Json& there, const io::Json& identity) const {
    const std::string other = difference(there, identity);
    if (other.empty()) return;
    fail(
        ErrorCode::Usage,
        "{} holds measurements of another run ({} differs); choose another name for {}, or give {} "
        "to begin anew",
        path_, other, Setting{"out"}, Setting{"overwrite"});
}

std::optional<io::Json> RunFolder::load(const std::string& key) const {
    const std::string file = path_ + "/rows/" + key + ".json";
    if (!exists(file)) return std::nullopt;
    return io::Json::parse_file(file);
}

void RunFolder::save(const std::string& key, const io::Json& measurement) const {
    write("rows/" + key + ".json", measurement.dump() + "\n");
}

void RunFolder::keep_models(const std::vector<std::string>& keys) const {
    for (const fs::path& entry : entries_of(path_ + "/models")) {
        const std::string name = entry.filename().string();
        const bool kept = std::any_of(keys.begin(), keys.end(), [&](const std::string& key) {
            return name.starts_with(key);
        });
        if (!kept) remove_tree(entry);
    }
}

void RunFolder::write(const std::string& name, const std::string& text) const {
    io::write_whole(path_ + "/" + name, text);
}

}  // namespace quarot::reproduce

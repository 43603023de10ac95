// How does a folder appear at once? It is filled beside its place, synced, and renamed.
#include "io/output_folder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <span>
#include <string_view>
#include <system_error>

#include "core/check.h"
#include "core/error.h"
#include "core/log.h"
#include "core/setting.h"
#include "io/file.h"
#include "io/file_names.h"
#include "io/output_file.h"

namespace quarot::io {

namespace {

namespace fs = std::filesystem;

// Kinds of hidden siblings: what is being filled, and what was taken away to make room for it.
constexpr std::string_view kPartial = "partial";
constexpr std::string_view kOld = "old";

[[noreturn]] void fail_io(const char* doing, const std::string& path, std::error_code error) {
    fail(ErrorCode::Io, "cannot {} {}: {}{}", doing, path, error.message(),
         missing_folder_hint(error.value()));
}

std::error_code last_error() {
    return {errno, std::generic_category()};
}

// "out/" and "a/../out" become "out".
std::string tidy(const std::string& path) {
    fs::path normal = fs::path(path).lexically_normal();
    if (!normal.has_filename()) normal = normal.parent_path();
    return normal.string();
}

fs::path resolved(const std::string& path) {
    std::error_code error;
    const fs::path whole = fs::absolute(path, error);
    fs::path result = fs::weakly_canonical(whole, error);
    return error ? whole.lexically_normal() : result;
}

bool is_within(const fs::path& inner, const fs::path& outer) {
    const auto [in, out] = std::mismatch(inner.begin(), inner.end(), outer.begin(), outer.end());
    return out == outer.end();
}

void check_apart(const std::string& path, const std::vector<std::string>& inputs) {
    const fs::path out = resolved(path);
    for (const std::string& input : inputs) {
        const fs::path in = resolved(tidy(input));
        if (is_within(out, in)) {
            fail(ErrorCode::Usage, "output {} is the input {} or inside it; choose another folder",
                 path, input);
        }
        if (is_within(in, out)) {
            fail(ErrorCode::Usage, "output {} contains the input {}; choose another folder", path,
                 input);
        }
    }
}

// Is the folder one that we wrote to its end? The provenance file is the last to be written.
bool is_ours(const std::string& folder) {
    std::error_code error;
    return fs::is_regular_file(fs::path(folder) / kProvenanceFile, error);
}

// Is `path` free, or an old output that may be replaced? True if there is something to replace.
bool check_free_or_replaceable(const std::string& path, bool overwrite) {
    std::error_code error;
    const fs::file_status status = fs::symlink_status(path, error);
    if (status.type() == fs::file_type::not_found) return false;
    if (status.type() == fs::file_type::none) fail_io("look at", path, error);
    if (!overwrite) {
        fail(ErrorCode::Usage, "{} exists; choose another name or give {}", path,
             Setting{"overwrite"});
    }
    const bool is_folder = status.type() == fs::file_type::directory;
    if (!(is_folder && is_ours(path)) && !(is_folder && fs::is_empty(path, error))) {
        fail(ErrorCode::Usage,
             "{} is not a folder made by quarot quantize; remove it yourself or choose another "
             "name",
             path);
    }
    return true;
}

// Syncs whatever stands in the folder, also files that others wrote there.
void sync_contents(const std::string& folder) {
    std::error_code error;
    for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
        const int fd = ::open(it->path().c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0) fail_io("open", it->path().string(), last_error());
        const int result = ::fsync(fd);
        const std::error_code sync_error = last_error();
        ::close(fd);
        if (result != 0) fail_io("sync", it->path().string(), sync_error);
    }
    if (error) fail_io("list", folder, error);
    sync_folder(folder);
}

void rename_or_fail(const std::string& from, const std::string& to) {
    if (::rename(from.c_str(), to.c_str()) != 0) fail_io("rename to", to, last_error());
}

// The name that a hidden sibling of kind `from` has as one of kind `to`.
std::string as_kind(const std::string& sibling, std::string_view from, std::string_view to) {
    std::string name = sibling;
    return name.replace(name.rfind(fmt::format(".{}-", from)) + 1, from.size(), to);
}

// Puts `fresh` at `path` and gives the place where the old folder lies now.
std::string swap_in(const std::string& fresh, const std::string& path) {
    // Exchanging names leaves no moment without a folder; not every file system can.
    if (::renameat2(AT_FDCWD, fresh.c_str(), AT_FDCWD, path.c_str(), RENAME_EXCHANGE) == 0) {
        return fresh;
    }
    // By the old folder's name bring_back() knows which new one was whole.
    const std::string old = as_kind(fresh, kPartial, kOld);
    rename_or_fail(path, old);
    if (::rename(fresh.c_str(), path.c_str()) != 0) {
        const std::error_code error = last_error();
        rename_or_fail(old, path);
        fail_io("rename to", path, error);
    }
    return old;
}

std::string parent_of(const std::string& path) {
    const fs::path parent = fs::path(path).parent_path();
    return parent.empty() ? "." : parent.string();
}

// The hidden sibling folders of `path` of one kind.
std::vector<std::string> siblings(const std::string& path, std::string_view kind) {
    const std::string name =
        fs::path(temporary_sibling(path, std::string(kind))).filename().string();
    const std::string prefix = name.substr(0, name.rfind(kind) + kind.size() + 1);
    std::vector<std::string> found;
    std::error_code error;
    for (fs::directory_iterator it(parent_of(path), error), end; !error && it != end;
         it.increment(error)) {
        const std::string other = it->path().filename().string();
        std::error_code ignored;
        if (is_temporary_sibling(other, kind) && other.starts_with(prefix) &&
            other.find('.', prefix.size()) == std::string::npos &&
            it->symlink_status(ignored).type() == fs::file_type::directory) {
            found.push_back(it->path().string());
        }
    }
    return found;
}

// Locked, if no living process holds it.
std::optional<FolderLock> lock_abandoned(const std::string& folder) {
    try {
        std::optional<FolderLock> lock = FolderLock::try_lock(folder);
        if (lock && lock->is_exclusive()) return lock;
    } catch (const Error& unusable) {
        log_warning("{}", unusable.what());
    }
    return std::nullopt;
}

void remove_abandoned(const std::string& path, std::string_view kind) {
    for (const std::string& folder : siblings(path, kind)) {
        const std::optional<FolderLock> lock = lock_abandoned(folder);
        if (!lock) continue;
        log_info("removing {}, left by a run that was killed", folder);
        std::error_code ignored;
        fs::remove_all(folder, ignored);
    }
}

bool is_absent(const std::string& path) {
    std::error_code error;
    return fs::symlink_status(path, error).type() == fs::file_type::not_found;
}

// Where a run was killed between the two renames of swap_in(): its new folder takes the place, or,
// if that is gone, the old one comes back.
void bring_back(const std::string& path) {
    if (!is_absent(path)) return;
    for (const std::string& old : siblings(path, kOld)) {
        for (const std::string& whole : {as_kind(old, kOld, kPartial), old}) {
            if (!is_ours(whole)) continue;
            const std::optional<FolderLock> lock = lock_abandoned(whole);
            if (!lock) return;
            log_warning("a run that was killed left {} as {}; it is in its place now", path, whole);
            rename_or_fail(whole, path);
            sync_folder(parent_of(path));
            return;
        }
    }
}

void check_name_and_inputs(const std::string& path, const std::vector<std::string>& inputs) {
    const std::string name = tidy(path);
    if (name.empty() || name == "." || name == ".." || fs::path(name).filename() == "..") {
        fail(ErrorCode::Usage, "output folder \"{}\" has no name of its own", path);
    }
    check_apart(name, inputs);
}

}  // namespace

void check_output_folder(const std::string& path, bool overwrite,
                         const std::vector<std::string>& inputs) {
    check_name_and_inputs(path, inputs);
    check_free_or_replaceable(tidy(path), overwrite);
}

OutputFolder::OutputFolder(const std::string& path, bool overwrite,
                           const std::vector<std::string>& inputs)
    : path_(tidy(path)), overwrite_(overwrite) {
    check_name_and_inputs(path, inputs);
    bring_back(path_);
    if (check_free_or_replaceable(path_, overwrite)) remove_abandoned(path_, kOld);
    remove_abandoned(path_, kPartial);
    temporary_ = temporary_sibling(path_, std::string(kPartial));
    if (::mkdir(temporary_.c_str(), 0777) != 0) {
        fail_io("create a folder in", parent_of(path_), last_error());
    }
    lock_.emplace(FolderLock::lock(temporary_));
}

OutputFolder::~OutputFolder() {
    if (committed_) return;
    std::error_code ignored;
    fs::remove_all(temporary_, ignored);
}

void OutputFolder::write_text(const std::string& name, const std::string& text) {
    OutputFile file((fs::path(temporary_) / name).string());
    file.write(0, std::as_bytes(std::span(text)));
    file.finish();
}

void OutputFolder::copy_file(const std::string& from, const std::string& name) {
    constexpr int64_t kChunkBytes = int64_t{1} << 20;
    const File source(from);
    OutputFile file((fs::path(temporary_) / name).string());
    std::vector<std::byte> chunk(static_cast<size_t>(std::min(source.size(), kChunkBytes)));
    for (int64_t offset = 0; offset < source.size(); offset += kChunkBytes) {
        const int64_t n = std::min(kChunkBytes, source.size() - offset);
        const std::span<std::byte> part(chunk.data(), static_cast<size_t>(n));
        source.read(offset, part);
        file.write(offset, part);
    }
    file.finish();
}

void OutputFolder::commit() {
    QUAROT_CHECK(!committed_);
    sync_contents(temporary_);
    if (!check_free_or_replaceable(path_, overwrite_)) {
        rename_or_fail(temporary_, path_);
        committed_ = true;
        sync_folder(parent_of(path_));
        return;
    }
    const std::string old = swap_in(temporary_, path_);
    committed_ = true;
    sync_folder(parent_of(path_));
    std::error_code error;
    fs::remove_all(old, error);
    if (error) log_warning("cannot remove the replaced folder {}: {}", old, error.message());
}

}  // namespace quarot::io

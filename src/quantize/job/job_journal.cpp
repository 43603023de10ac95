// Each line is sealed, so that neither a torn nor a changed one is taken for a record.
#include "quantize/job/job_journal.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include "core/error.h"
#include "io/file.h"
#include "io/output_file.h"
#include "io/seal.h"

namespace quarot::quantize {
namespace {

constexpr int64_t kJournalBytes = int64_t{64} << 20;

std::string line_of(const LayerRecord& record, int64_t layer) {
    io::Json json;
    json.set("layer", layer);
    json.set("bytes", record.bytes);
    json.set("xxh3_128", record.digest);
    json.set("report", record.report);
    return io::sealed(json.dump(-1)) + "\n";
}

// `line`: without its newline.
std::optional<LayerRecord> record_of(std::string_view line, int64_t layer) {
    if (!io::is_sealed(line)) return std::nullopt;
    try {
        const io::Json json = io::Json::parse(line, "journal");
        json.at("layer").as_int(layer, layer);
        return LayerRecord{json.at("bytes").as_int(), json.at("xxh3_128").as_string(),
                           json.at("report")};
    } catch (const Error&) {
        return std::nullopt;
    }
}

std::string text_of(const std::string& path) {
    if (!std::filesystem::exists(path)) return {};
    try {
        return io::read_text(path, kJournalBytes);
    } catch (const Error& error) {
        if (error.code() == ErrorCode::Io) throw;
        return {};
    }
}

// The journal opened for one change that is synced before it counts.
class JournalWriter {
  public:
    explicit JournalWriter(const std::string& path)
        : path_(path),
          fd_(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666)) {
        if (fd_ < 0) fail_errno("open");
    }
    ~JournalWriter() { ::close(fd_); }
    JournalWriter(const JournalWriter&) = delete;
    JournalWriter& operator=(const JournalWriter&) = delete;

    bool try_cut(int64_t bytes) { return ::ftruncate(fd_, bytes) == 0; }
    void cut(int64_t bytes) {
        if (!try_cut(bytes)) fail_errno("shorten");
    }
    void write(int64_t offset, std::string_view text) {
        while (!text.empty()) {
            const ssize_t n = ::pwrite(fd_, text.data(), text.size(), offset);
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) fail_errno("write");
            offset += n;
            text.remove_prefix(static_cast<size_t>(n));
        }
    }
    void sync() {
        while (::fsync(fd_) != 0) {
            if (errno != EINTR) fail_errno("sync");
        }
    }

  private:
    [[noreturn]] void fail_errno(const char* doing) const {
        const std::error_code error(errno, std::generic_category());
        fail(ErrorCode::Io, "cannot {} {}: {}", doing, path_, error.message());
    }

    std::string path_;
    int fd_;
};

}  // namespace

JournalRecords parse_journal(std::string_view text) {
    JournalRecords records;
    for (size_t begin = 0; begin < text.size();) {
        const size_t newline = text.find('\n', begin);
        if (newline == std::string_view::npos) break;
        std::optional<LayerRecord> record =
            record_of(text.substr(begin, newline - begin), std::ssize(records.records));
        if (!record) break;
        records.records.push_back(std::move(*record));
        begin = newline + 1;
        records.ends.push_back(static_cast<int64_t>(begin));
    }
    return records;
}

JobJournal::JobJournal(const std::string& path)
    : path_(path), journal_(parse_journal(text_of(path))) {}

int64_t JobJournal::end_of(int64_t n_records) const {
    return n_records == 0 ? 0 : journal_.ends[static_cast<size_t>(n_records - 1)];
}

void JobJournal::keep_first(int64_t n) {
    if (!std::filesystem::exists(path_)) return;
    JournalWriter writer(path_);
    writer.cut(end_of(n));
    writer.sync();
    journal_.records.resize(static_cast<size_t>(n));
    journal_.ends.resize(static_cast<size_t>(n));
}

void JobJournal::append(const LayerRecord& record) {
    const int64_t n = std::ssize(journal_.records);
    const std::string line = line_of(record, n);
    JournalWriter writer(path_);
    try {
        writer.write(end_of(n), line);
        writer.sync();
        io::sync_folder(std::filesystem::path(path_).parent_path().string());
    } catch (...) {
        writer.try_cut(end_of(n));
        throw;
    }
    journal_.records.push_back(record);
    journal_.ends.push_back(end_of(n) + std::ssize(line));
}

}  // namespace quarot::quantize

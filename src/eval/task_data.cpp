#include "eval/task_data.h"

#include <fmt/format.h>

#include <filesystem>
#include <string_view>
#include <system_error>

#include "core/error.h"
#include "io/file.h"
#include "io/text.h"
#include "io/utf8.h"

namespace quarot::eval {

namespace {

using io::Json;

constexpr int64_t kFileBytes = int64_t{1} << 30;
constexpr size_t kLinesOfTextItem = 6;
constexpr std::string_view kPacked = ".bz2";

bool exists(const std::string& path) {
    std::error_code ignored;
    return std::filesystem::exists(path, ignored);
}

// Lines without their ends; one that is not ended counts, too.
class Lines {
  public:
    explicit Lines(std::string_view text) : rest_(text) {}
    bool next(std::string_view& line) {
        if (rest_.empty()) return false;
        const size_t end = rest_.find('\n');
        line = rest_.substr(0, end);
        rest_ = end == std::string_view::npos ? std::string_view() : rest_.substr(end + 1);
        if (line.ends_with('\r')) line.remove_suffix(1);
        ++number_;
        return true;
    }
    int64_t number() const { return number_; }

  private:
    std::string_view rest_;
    int64_t number_ = 0;
};

bool is_blank(std::string_view line) {
    return line.find_first_not_of(" \t") == std::string_view::npos;
}

std::string place(const std::string& path, int64_t line) {
    return fmt::format("{}:{}", path, line);
}

// Six lines an item: label and context in one, the number of the right ending, four endings. As
// JSON, so that the items of both kinds of files go one way.
std::vector<Json> read_text_items(const std::string& path, int64_t limit) {
    const std::string text = io::read_text(path, kFileBytes);
    if (const size_t bad = io::first_non_utf8(text); bad != text.size()) {
        fail(ErrorCode::Corrupt, "{} is not UTF-8 at byte {}", path, bad);
    }
    std::vector<Json> records;
    std::vector<std::string> item;
    Lines lines(text);
    for (std::string_view line; lines.next(line);) {
        item.emplace_back(line);
        if (item.size() < kLinesOfTextItem) continue;
        const Json record = Json::Object{{"text", item[0]},
                                         {"label", item[1]},
                                         {"endings", Json::Array(item.begin() + 2, item.end())}};
        // Parsed again, so that it knows its place.
        const int64_t first = lines.number() - std::ssize(item) + 1;
        records.push_back(Json::parse(record.dump(-1), place(path, first)));
        item.clear();
        if (std::ssize(records) == limit) return records;
    }
    if (!item.empty()) {
        fail(ErrorCode::Corrupt, "{} ends within an item: {} lines, expected {}",
             place(path, lines.number()), item.size(), kLinesOfTextItem);
    }
    return records;
}

void add_labels(std::vector<Json>& records, const std::string& path) {
    const std::string text = io::read_text(path, kFileBytes);
    Lines lines(text);
    for (Json& record : records) {
        std::string_view line;
        if (!lines.next(line)) {
            fail(ErrorCode::Corrupt, "{} has {} labels, expected one for each item up to {}", path,
                 lines.number(), records.back().place());
        }
        record.set("label", Json::parse(line, place(path, lines.number())));
    }
}

const DataFile& find_file(const Task& task, const std::string& folder) {
    std::string names, packed;
    for (const DataFile& file : task.files) {
        const std::string path = folder + "/" + std::string(file.name);
        if (exists(path)) return file;
        if (exists(path + std::string(kPacked))) {
            packed = fmt::format("; {}{} is there: unpack it (bunzip2 -k)", path, kPacked);
        }
        names += (names.empty() ? "" : ", ") + std::string(file.name);
    }
    fail(ErrorCode::NotFound, "{} has no data of {}; looked for {}{}", folder, task.name, names,
         packed);
}

}  // namespace

std::vector<Json> read_json_lines(const std::string& path, int64_t limit) {
    return parse_json_lines(io::read_text(path, kFileBytes), path, limit);
}

std::vector<Json> parse_json_lines(std::string_view text, const std::string& source,
                                   int64_t limit) {
    std::vector<Json> values;
    Lines lines(text);
    for (std::string_view line; lines.next(line);) {
        if (is_blank(line)) continue;
        values.push_back(Json::parse(line, place(source, lines.number())));
        values.back().as_object();
        if (std::ssize(values) == limit) break;
    }
    return values;
}

TaskData read_task(const Task& task, const std::string& folder, int64_t limit) {
    const DataFile& file = find_file(task, folder);
    TaskData data = {.task = &task, .file = folder + "/" + std::string(file.name), .items = {}};
    std::vector<Json> records = data.file.ends_with(".txt") ? read_text_items(data.file, limit)
                                                            : read_json_lines(data.file, limit);
    if (records.empty()) fail(ErrorCode::Corrupt, "{} holds no items", data.file);
    if (!file.labels.empty()) add_labels(records, folder + "/" + std::string(file.labels));
    for (const Json& record : records) data.items.push_back(item_of(task, record));
    return data;
}

}  // namespace quarot::eval

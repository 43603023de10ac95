// How do results reach stdout, whole or as an error, and when does nobody read them?
#include "apps/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "build_info.h"
#include "core/error.h"

namespace quarot::apps {

namespace {

std::string with_unit(int64_t value, const std::vector<std::string>& units) {
    auto scaled = static_cast<double>(value);
    size_t unit = 0;
    while (scaled >= 1000.0 && unit + 1 < units.size()) {
        scaled /= 1000.0;
        ++unit;
    }
    const std::string number = unit == 0 ? fmt::format("{}", value) : fmt::format("{:.1f}", scaled);
    return units[unit].empty() ? number : number + " " + units[unit];
}

}  // namespace

io::Json json_document(const std::string& command) {
    return io::Json::Object{{"schema", "quarot." + command + "/1"}, {"version", QUAROT_VERSION}};
}

void print_result(const std::string& text) {
    const size_t written = std::fwrite(text.data(), 1, text.size(), stdout);
    if (written != text.size() || std::fflush(stdout) != 0) {
        if (errno == EPIPE) throw ClosedPipe{};
        fail(ErrorCode::Io, "standard output does not take the result; is the disk full?");
    }
}

void print_document(const io::Json& document) {
    print_result(document.dump() + "\n");
}

std::string format_table(const std::vector<std::vector<std::string>>& rows) {
    std::vector<size_t> widths;
    for (const auto& row : rows) {
        widths.resize(std::max(widths.size(), row.size()));
        for (size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], row[c].size());
    }
    std::string text;
    for (const auto& row : rows) {
        for (size_t c = 0; c < row.size(); ++c) {
            text += c == 0 ? fmt::format("{:<{}}", row[c], widths[c])
                           : fmt::format("  {:>{}}", row[c], widths[c]);
        }
        text += '\n';
    }
    return text;
}

std::string format_pairs(const std::vector<std::pair<std::string, std::string>>& pairs) {
    size_t width = 0;
    for (const auto& [name, value] : pairs) width = std::max(width, name.size());
    std::string text;
    for (const auto& [name, value] : pairs) {
        text += fmt::format("{:<{}}  {}\n", name, width, value);
    }
    return text;
}

std::string joined(const std::vector<std::string>& words, const std::string& separator) {
    std::string text;
    for (const std::string& word : words) text += (text.empty() ? "" : separator) + word;
    return text;
}

std::string human_bytes(int64_t bytes) {
    return with_unit(bytes, {"bytes", "kB", "MB", "GB", "TB"});
}

std::string human_count(int64_t count) {
    return with_unit(count, {"", "k", "M", "G", "T"});
}

}  // namespace quarot::apps

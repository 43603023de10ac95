#include "eval/evaluation_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "core/error.h"
#include "core/setting.h"
#include "eval/plain_text.h"
#include "eval/task_data.h"
#include "io/hash.h"
#include "io/input_text.h"
#include "io/text.h"
#include "io/utf8.h"

namespace quarot::eval {

namespace {

constexpr int64_t kTextBytes = int64_t{1} << 30;

std::string joined_rows(std::string_view text) {
    std::string rows;
    rows.reserve(text.size() + text.size() / 32);
    for (size_t start = 0; start < text.size();) {
        const size_t newline = text.find('\n', start);
        const size_t end = newline == std::string_view::npos ? text.size() : newline + 1;
        if (start > 0) rows += '\n';
        rows.append(text, start, end - start);
        start = end;
    }
    return rows;
}

// expected: the formats that the caller takes, for the message.
std::string in_format(std::string text, const std::string& format, std::string_view expected) {
    if (format == "raw") return text;
    if (format == "wikitext-rows") return joined_rows(text);
    fail(ErrorCode::Usage, "{} is {}, expected {}", Setting{"text_format"}, format, expected);
}

// What stands between `open` and the next `close`, without white space at its ends.
std::string without_space_inside(std::string_view text, char open, char close) {
    std::string out;
    while (!text.empty()) {
        const size_t first = text.find(open);
        const size_t last = first == std::string_view::npos ? first : text.find(close, first + 1);
        if (last == std::string_view::npos) break;
        out += text.substr(0, first + 1);
        out += stripped(text.substr(first + 1, last - first - 1));
        out += close;
        text = text.substr(last + 1);
    }
    return out += text;
}

// The harness means "' 9" here, but its expression asks for slashes around it and puts itself in
// the place.
std::string with_apostrophes_of_years(std::string_view text) {
    constexpr std::string_view kBefore = "/' ";
    std::string out;
    for (size_t at = 0; at < text.size();) {
        const std::string_view rest = text.substr(at);
        if (rest.size() > 4 && rest.starts_with(kBefore) && rest[3] >= '0' && rest[3] <= '9' &&
            rest[4] == '/') {
            out += "/'[0-9]/";
            at += 5;
        } else {
            out += text[at++];
        }
    }
    return out;
}

bool is_title(std::string_view line) {
    const std::string marks = replace_all(replace_all(line, "= = =", "==="), "= =", "==");
    const std::string_view title = stripped(marks);
    return title.starts_with("= ") && title.ends_with(" =");
}

Document document_of(std::string text, std::string_view original) {
    const bool is_text = io::first_non_utf8(original) == original.size();
    return {.text = std::move(text),
            .n_words = is_text ? count_words(original) : 0,
            .n_bytes = std::ssize(original)};
}

std::vector<std::string> pages_of_json(std::string_view text, const std::string& source) {
    std::vector<std::string> pages;
    for (const io::Json& record : parse_json_lines(text, source)) {
        pages.push_back(record.at("page").as_string());
    }
    return pages;
}

}  // namespace

std::string read_evaluation_text(const std::string& path, const std::string& format) {
    return in_format(io::read_input_text(path, kTextBytes), format, "raw or wikitext-rows");
}

bool has_pages(std::string_view format) {
    return format == "wikitext-pages" || format == "wikitext-jsonl";
}

EvaluationText read_documents(const std::string& path, const std::string& format) {
    std::string text = io::read_input_text(path, kTextBytes);
    EvaluationText result = {.sha256 = io::sha256_of_text(text), .documents = {}};
    if (!has_pages(format)) {
        std::string whole = in_format(std::move(text), format,
                                      "raw, wikitext-rows, wikitext-pages or wikitext-jsonl");
        Document document = document_of({}, whole);
        document.text = std::move(whole);
        result.documents.push_back(std::move(document));
        return result;
    }
    if (const size_t bad = io::first_non_utf8(text); bad != text.size()) {
        fail(ErrorCode::Corrupt, "{} is not UTF-8 at byte {}", path, bad);
    }
    const auto pages =
        format == "wikitext-jsonl" ? pages_of_json(text, path) : wikitext_pages(text);
    for (const std::string& page : pages) {
        if (!stripped(page).empty())
            result.documents.push_back(document_of(detokenized(page), page));
    }
    if (result.documents.empty()) fail(ErrorCode::Corrupt, "{} holds no page with text", path);
    return result;
}

std::vector<std::string> wikitext_pages(std::string_view text) {
    std::vector<std::string> pages;
    for (size_t start = 0; start <= text.size();) {
        const size_t end = std::min(text.find('\n', start), text.size());
        const std::string_view line = text.substr(start, end - start);
        if (pages.empty() || is_title(line)) {
            pages.emplace_back(line);
        } else {
            pages.back().append("\n").append(line);
        }
        start = end + 1;
    }
    return pages;
}

int64_t count_words(std::string_view text) {
    int64_t n = 1;
    bool in_space = false;
    for (size_t at = 0; at < text.size();) {
        const io::Character character = io::character_at(text, at);
        const bool space = is_space(character.code);
        if (space && !in_space) ++n;
        in_space = space;
        at = character.end;
    }
    return n;
}

std::string detokenized(std::string_view page) {
    std::string text = replace_all(page, "s '", "s'");
    text = with_apostrophes_of_years(text);
    const auto replace = [&](std::string_view from, std::string_view to) {
        text = replace_all(text, from, to);
    };
    replace(" @-@ ", "-");
    replace(" @,@ ", ",");
    replace(" @.@ ", ".");
    for (const std::string_view mark : {":", ";", ".", "!", "?", ","}) {
        replace(fmt::format(" {} ", mark), fmt::format("{} ", mark));
    }
    for (const std::string_view pair : {"()", "[]", "{}", "\"\"", "''"}) {
        text = without_space_inside(text, pair[0], pair[1]);
    }
    replace("= = = =", "====");
    replace("= = =", "===");
    replace("= =", "==");
    replace(" \u00b0 ", "\u00b0");
    replace(" \n", "\n");
    replace("\n ", "\n");
    replace(" N ", " 1 ");
    replace(" 's", "'s");
    return text;
}

}  // namespace quarot::eval

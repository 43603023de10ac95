// Values to JSON text: the same value gives the same bytes, and every output is valid JSON.
#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>

#include "io/json.h"
#include "io/utf8.h"

namespace quarot::io {

namespace {

void append_escaped(std::string& out, const std::string& text) {
    out += '"';
    for (size_t at = 0; at < text.size();) {
        const char c = text[at];
        const size_t length = utf8_length_at(text, at);
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (c == '\n') {
            out += "\\n";
        } else if (c == '\r') {
            out += "\\r";
        } else if (c == '\t') {
            out += "\\t";
        } else if (length == 1 && (c < 0x20 || c == 0x7f)) {
            out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
        } else if (length == 0) {
            out += "\xef\xbf\xbd";  // a stray byte becomes U+FFFD
        } else {
            out.append(text, at, length);
        }
        at += length == 0 ? 1 : length;
    }
    out += '"';
}

void append_double(std::string& out, double value) {
    if (!std::isfinite(value)) {
        out += "null";
        return;
    }
    std::array<char, 32> buffer{};
    const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
    const std::string_view digits(buffer.data(), static_cast<size_t>(end - buffer.data()));
    out += digits;
    // Keeps 10000.0 a floating number when read back.
    if (digits.find_first_of(".e") == std::string_view::npos) out += ".0";
}

class Writer {
  public:
    Writer(std::string& out, int indent) : out_(out), indent_(indent) {}

    void write(const Json& json, int depth) {
        if (json.is_null()) {
            out_ += "null";
        } else if (json.is_bool()) {
            out_ += json.as_bool() ? "true" : "false";
        } else if (json.is_int()) {
            out_ += std::to_string(json.as_int());
        } else if (json.is_number()) {
            append_double(out_, json.as_double());
        } else if (json.is_string()) {
            append_escaped(out_, json.as_string());
        } else if (json.is_array()) {
            write_members(json.as_array(), '[', ']', depth,
                          [&](const Json& member) { write(member, depth + 1); });
        } else {
            write_members(json.as_object(), '{', '}', depth, [&](const auto& member) {
                append_escaped(out_, member.first);
                out_ += indent_ < 0 ? ":" : ": ";
                write(member.second, depth + 1);
            });
        }
    }

  private:
    template <typename Members, typename WriteMember>
    void write_members(const Members& members, char open, char close, int depth,
                       const WriteMember& write_member) {
        out_ += open;
        bool first = true;
        for (const auto& member : members) {
            if (!first) out_ += ',';
            first = false;
            new_line(depth + 1);
            write_member(member);
        }
        if (!first) new_line(depth);
        out_ += close;
    }

    void new_line(int depth) {
        if (indent_ < 0) return;
        out_ += '\n';
        out_.append(static_cast<size_t>(indent_) * static_cast<size_t>(depth), ' ');
    }

    std::string& out_;
    int indent_;
};

}  // namespace

std::string Json::dump(int indent) const {
    std::string out;
    Writer(out, indent).write(*this, 0);
    return out;
}

}  // namespace quarot::io

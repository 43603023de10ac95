// How does a value look as JSON, in the spelling of Python's json.dumps?
#include <fmt/format.h>

#include <cmath>

#include "core/error.h"
#include "jinja/compare.h"
#include "jinja/merge_sort.h"
#include "jinja/numbers.h"
#include "jinja/spell.h"
#include "jinja/unicode.h"

namespace quarot::jinja {
namespace {

std::string json_float(double number) {
    if (std::isnan(number)) return "NaN";
    if (std::isinf(number)) return number > 0 ? "Infinity" : "-Infinity";
    return float_text(number);
}

void append_escaped(std::string& out, std::string_view bytes, const Character& c, size_t at,
                    bool ensure_ascii) {
    switch (c.code) {
        case '"':
            out += "\\\"";
            return;
        case '\\':
            out += "\\\\";
            return;
        case '\n':
            out += "\\n";
            return;
        case '\r':
            out += "\\r";
            return;
        case '\t':
            out += "\\t";
            return;
        case '\f':
            out += "\\f";
            return;
        case '\b':
            out += "\\b";
            return;
        default:
            break;
    }
    if (c.code < 0x20 || (ensure_ascii && c.code >= 0x7F && c.code < 0x10000)) {
        if (c.code == 0x7F) {
            out += '\x7F';
            return;
        }
        out += fmt::format("\\u{:04x}", static_cast<uint32_t>(c.code));
    } else if (ensure_ascii && c.code >= 0x10000) {
        const auto rest = static_cast<uint32_t>(c.code - 0x10000);
        out += fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + (rest >> 10), 0xDC00 + (rest & 0x3FF));
    } else {
        out.append(bytes.substr(at, c.end - at));
    }
}

class JsonWriter {
  public:
    JsonWriter(Budget& budget, const JsonStyle& style) : budget_(budget), style_(style) {}

    void write(const Value& value) {
        budget_.step();
        if (const Text* text = value.text()) {
            write_string(*text);
        } else if (const Sequence* list = value.sequence()) {
            write_list(value, *list);
        } else if (const Dict* dict = value.dict()) {
            write_dict(*dict);
        } else {
            const std::string spelled = scalar(value);
            budget_.allocate(spelled.size());
            out_.append(spelled);
        }
    }
    Text take() { return std::move(out_); }

  private:
    static std::string scalar(const Value& value) {
        if (value.is_none()) return "null";
        if (const bool* flag = value.get_if<bool>()) return *flag ? "true" : "false";
        if (const int64_t* whole = value.get_if<int64_t>()) return fmt::format("{}", *whole);
        if (const double* real = value.get_if<double>()) return json_float(*real);
        fail(ErrorCode::Corrupt, "a {} cannot be written as JSON", value.type_name());
    }

    void write_string(const Text& text) {
        budget_.allocate(text.user().size() * sizeof(Span));
        out_.append("\"");
        text.for_each_stretch([&](std::string_view stretch, bool user) {
            std::string escaped;
            for (size_t at = 0; at < stretch.size();) {
                const Character c = character_at(stretch, at);
                const size_t before = escaped.size();
                append_escaped(escaped, stretch, c, at, style_.ensure_ascii);
                budget_.allocate(escaped.size() - before);
                at = c.end;
            }
            out_.append(escaped, user);
        });
        out_.append("\"");
    }

    void new_line() {
        if (!style_.indent) return;
        budget_.allocate(style_.indent->memory() * level_ + 1);
        out_.append("\n");
        for (size_t i = 0; i < level_; ++i) out_.append(*style_.indent);
    }

    template <typename Each>
    void write_container(const char* open, const char* close, size_t count, Each each) {
        out_.append(open);
        ++level_;
        for (size_t i = 0; i < count; ++i) {
            if (i > 0) {
                budget_.allocate(style_.between_items.memory());
                out_.append(style_.between_items);
            }
            new_line();
            each(i);
        }
        --level_;
        if (count > 0) new_line();
        out_.append(close);
    }

    void write_list(const Value& value, const Sequence& list) {
        if (list.flavor != Sequence::Flavor::List && list.flavor != Sequence::Flavor::Tuple) {
            fail(ErrorCode::Corrupt, "a {} cannot be written as JSON", value.type_name());
        }
        write_container("[", "]", list.items.size(), [&](size_t i) { write(list.items[i]); });
    }

    void write_key(const Value& key) {
        if (const Text* text = key.text()) return write_string(*text);
        write_string(Text(scalar(key)));
    }

    void write_dict(const Dict& dict) {
        std::vector<const Dict::Entry*> entries;
        for (const Dict::Entry& entry : dict.entries()) entries.push_back(&entry);
        if (style_.sort_keys) {
            merge_sort(entries, [&](const auto* a, const auto* b) {
                return less(budget_, a->first, b->first);
            });
        }
        write_container("{", "}", entries.size(), [&](size_t i) {
            write_key(entries[i]->first);
            budget_.allocate(style_.after_key.memory());
            out_.append(style_.after_key);
            write(entries[i]->second);
        });
    }

    Budget& budget_;
    const JsonStyle& style_;
    Text out_;
    size_t level_ = 0;
};

}  // namespace

Text json_text(Budget& budget, const Value& value, const JsonStyle& style) {
    JsonWriter writer(budget, style);
    writer.write(value);
    return writer.take();
}

}  // namespace quarot::jinja

// What do the filters make of texts?
#include <string_view>

#include "core/error.h"
#include "jinja/compare.h"
#include "jinja/filters.h"
#include "jinja/format.h"
#include "jinja/parameters.h"
#include "jinja/spell.h"
#include "jinja/text_tools.h"
#include "jinja/unicode.h"

namespace quarot::jinja {
namespace {

template <Text (*Change)(const Text&)>
Value changed(Runtime& runtime, const char* called, const Value& input, const Arguments& args) {
    const Parameters p(called, args, {});
    const Text text = soft_text(runtime, input);
    runtime.budget.allocate(text.size());
    return make_text(runtime.budget, Change(text));
}

bool begins_word(int32_t code) {
    return code == '-' || is_space(code) || code == '(' || code == '{' || code == '[' ||
           code == '<';
}

// Every word in upper case at its first character and lower case after it.
Value title(Runtime& runtime, const char* called, const Value& input, const Arguments& args) {
    const Parameters p(called, args, {});
    const Text text = soft_text(runtime, input);
    runtime.budget.allocate(text.size());
    Text out;
    for (size_t at = 0; at < text.size();) {
        const Character c = character_at(text.bytes(), at);
        if (begins_word(c.code)) {
            out.append(text, at, c.end);
            at = c.end;
            continue;
        }
        size_t end = c.end;
        while (end < text.size() && !begins_word(character_at(text.bytes(), end).code)) {
            end = character_at(text.bytes(), end).end;
        }
        out.append(to_upper(text.slice(at, c.end)));
        out.append(to_lower(text.slice(c.end, end)));
        at = end;
    }
    return make_text(runtime.budget, std::move(out));
}

Value trim(Runtime& runtime, const char* called, const Value& input, const Arguments& args) {
    const Parameters p(called, args, {"chars"});
    const Text* set = p.optional_text(0);
    return make_text(runtime.budget,
                     stripped(runtime.budget, soft_text(runtime, input), set, true, true));
}

Value replace(Runtime& runtime, const char* called, const Value& input, const Arguments& args) {
    const Parameters p(called, args, {"old", "new", "count"}, 2);
    const Text text = soft_text(runtime, input);
    const Text from = soft_text(runtime, p[0]);
    const Text to = soft_text(runtime, p[1]);
    const int64_t count = p.optional_integer(2).value_or(-1);
    return make_text(runtime.budget, replaced(runtime.budget, text, from, to, count));
}

Value center(Runtime& runtime, const char* called, const Value& input, const Arguments& args) {
    const Parameters p(called, args, {"width"});
    return make_text(runtime.budget, aligned(runtime.budget, soft_text(runtime, input),
                                             p.integer(0, 80), Align::Center));
}

const Text& required_text(const Value& input, const char* filter) {
    if (!input.text()) {
        fail(ErrorCode::Corrupt, "{} takes a string, not a {}", filter, input.type_name());
    }
    return plain_text(*input.text());
}

Text indentation_of(Runtime& runtime, const Parameters& p) {
    if (p[0].text()) return *p[0].text();
    return aligned(runtime.budget, Text(), p.integer(0, 4), Align::Left);
}

Value indent(Runtime& runtime, const char* called, const Value& input, const Arguments& args) {
    const Parameters p(called, args, {"width", "first", "blank"});
    Text text = required_text(input, called);
    text.append("\n");
    const Text indentation = indentation_of(runtime, p);
    const bool blank = p.flag(2, false);
    const std::vector<Text> lines = lines_of(runtime.budget, text);
    Text out;
    if (p.flag(1, false)) out.append(indentation);
    for (size_t i = 0; i < lines.size(); ++i) {
        if (i > 0) {
            out.append("\n");
            if (blank || !lines[i].empty()) {
                runtime.budget.allocate(indentation.memory());
                out.append(indentation);
            }
        }
        out.append(lines[i]);
    }
    return make_text(runtime.budget, std::move(out));
}

Value truncate(Runtime& runtime, const char* called, const Value& input, const Arguments& args) {
    const Parameters p(called, args, {"length", "killwords", "end", "leeway"});
    constexpr int64_t kLeeway = 5;  // jinja2's default policy
    if (!input.text() && !input.is_undefined() && length_of(runtime.budget, input)) {
        fail(ErrorCode::Unsupported, "truncate of a {} is not supported", input.type_name());
    }
    const Text text = input.is_undefined() ? Text() : required_text(input, called);
    const Text end = p.has(2) ? p.text(2) : Text("...");
    runtime.budget.scan(text.size() + end.size());
    const int64_t length = p.integer(0, 255);
    const int64_t leeway = p.optional_integer(3).value_or(kLeeway);
    const auto end_length = static_cast<int64_t>(count_characters(end.bytes()));
    if (length < end_length || leeway < 0) {
        fail(ErrorCode::Corrupt, "truncate cannot shorten to {} characters", length);
    }
    const auto size = static_cast<int64_t>(count_characters(text.bytes()));
    if (size <= leeway || size - leeway <= length) return input;
    const auto kept = static_cast<size_t>(length - end_length);
    Text out = text.slice(0, byte_of_character(text.bytes(), kept));
    if (!p.flag(1, false)) out = pieces_of(runtime.budget, out, Text(" "), 1, true).front();
    out.append(end);
    return make_text(runtime.budget, std::move(out));
}

Value wordcount(Runtime& runtime, const char* called, const Value& input, const Arguments& args) {
    const Parameters p(called, args, {});
    const Text text = soft_text(runtime, input);
    int64_t words = 0;
    bool inside = false;
    for (size_t at = 0; at < text.size();) {
        const Character c = character_at(text.bytes(), at);
        words += is_word(c.code) && !inside;
        inside = is_word(c.code);
        at = c.end;
    }
    return words;
}

Value format(Runtime& runtime, const char*, const Value& input, const Arguments& args) {
    if (!args.named.empty() && !args.positional.empty()) {
        fail(ErrorCode::Corrupt, "format takes values by position or by name, not both");
    }
    Dict names;
    for (const auto& [name, value] : args.named) {
        names.set(runtime.budget, make_text(runtime.budget, name), value);
    }
    const Value by_name =
        args.named.empty() ? Value::none() : make_dict(runtime.budget, std::move(names));
    return format_percent(runtime.budget, soft_text(runtime, input), args.positional, by_name);
}

Value string(Runtime& runtime, const char* called, const Value& input, const Arguments& args) {
    const Parameters p(called, args, {});
    if (input.text()) return input;
    return make_text(runtime.budget, str(runtime.budget, input));
}

Value escape(Runtime& runtime, const char* called, const Value& input, const Arguments& args) {
    const Parameters p(called, args, {});
    if (input.text() && input.text()->html) return input;
    Text out;
    str(runtime.budget, input).for_each_stretch([&](std::string_view stretch, bool user) {
        std::string escaped;
        for (char c : stretch) {
            runtime.budget.allocate(sizeof "&amp;" - 1);
            switch (c) {
                case '&':
                    escaped += "&amp;";
                    break;
                case '<':
                    escaped += "&lt;";
                    break;
                case '>':
                    escaped += "&gt;";
                    break;
                case '\'':
                    escaped += "&#39;";
                    break;
                case '"':
                    escaped += "&#34;";
                    break;
                default:
                    escaped += c;
            }
        }
        out.append(escaped, user);
    });
    out.html = true;
    return make_text(runtime.budget, std::move(out));
}

Value safe(Runtime& runtime, const char* called, const Value& input, const Arguments& args) {
    const Parameters p(called, args, {});
    Text out = str(runtime.budget, input);
    out.html = true;
    return make_text(runtime.budget, std::move(out));
}

constexpr NamedFilter kTextFilters[] = {
    {"capitalize", changed<capitalized>},
    {"center", center},
    {"e", escape},
    {"escape", escape},
    {"format", format},
    {"indent", indent},
    {"lower", changed<to_lower>},
    {"replace", replace},
    {"safe", safe},
    {"string", string},
    {"title", title},
    {"trim", trim},
    {"truncate", truncate},
    {"upper", changed<to_upper>},
    {"wordcount", wordcount},
};

}  // namespace

std::span<const NamedFilter> text_filters() {
    return kTextFilters;
}

}  // namespace quarot::jinja

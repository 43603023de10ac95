// How do values of each type look as str() and repr()?
#include "jinja/spell.h"

#include <fmt/format.h>

#include "core/error.h"
#include "jinja/numbers.h"
#include "jinja/unicode.h"

namespace quarot::jinja {
namespace {

std::string escaped_character(int32_t code) {
    switch (code) {
        case '\n':
            return "\\n";
        case '\r':
            return "\\r";
        case '\t':
            return "\\t";
        case '\\':
            return "\\\\";
        default:
            break;
    }
    if (is_printable(code)) {
        std::string plain;
        append_utf8(plain, static_cast<char32_t>(code));
        return plain;
    }
    if (code < 0x100) return fmt::format("\\x{:02x}", code);
    if (code < 0x10000) return fmt::format("\\u{:04x}", code);
    return fmt::format("\\U{:08x}", code);
}

void append_quoted(Budget& budget, Text& out, const Text& text) {
    if (text.html) fail(ErrorCode::Unsupported, "repr of an escaped string is not supported");
    const bool has_single = text.bytes().find('\'') != std::string::npos;
    const bool has_double = text.bytes().find('"') != std::string::npos;
    const char quote = has_single && !has_double ? '"' : '\'';
    budget.allocate(text.user().size() * sizeof(Span));
    out.append(std::string(1, quote));
    text.for_each_stretch([&](std::string_view stretch, bool user) {
        std::string escaped;
        for (size_t at = 0; at < stretch.size();) {
            const Character c = character_at(stretch, at);
            if (c.code == static_cast<char32_t>(quote)) escaped += '\\';
            const std::string character = escaped_character(c.code);
            budget.allocate(character.size());
            escaped += character;
            at = c.end;
        }
        out.append(escaped, user);
    });
    out.append(std::string(1, quote));
}

class Speller {
  public:
    explicit Speller(Budget& budget) : budget_(budget) {}

    // Namespaces can hold themselves, so the nesting is counted while writing.
    void write(const Value& value) {
        const Nesting nesting(budget_);
        budget_.step();
        const size_t before = out_.size();
        if (const Text* text = value.text()) {
            append_quoted(budget_, out_, *text);
        } else if (const Sequence* list = value.sequence()) {
            write_sequence(*list, value.type_name());
        } else if (const Dict* dict = value.dict()) {
            write_dict(*dict);
        } else if (const auto* space = value.get_if<std::shared_ptr<Namespace>>()) {
            write_namespace(**space);
        } else {
            out_.append(scalar_text(value));
            budget_.allocate(out_.size() - before);
        }
    }
    Text take() { return std::move(out_); }

  private:
    std::string scalar_text(const Value& value) const {
        if (value.is_undefined()) return "Undefined";
        if (value.is_none()) return "None";
        if (const bool* flag = value.get_if<bool>()) return *flag ? "True" : "False";
        if (const int64_t* whole = value.get_if<int64_t>()) return fmt::format("{}", *whole);
        if (const double* real = value.get_if<double>()) return float_text(*real);
        if (const Range* range = value.get_if<Range>()) {
            if (range->step == 1) return fmt::format("range({}, {})", range->start, range->stop);
            return fmt::format("range({}, {}, {})", range->start, range->stop, range->step);
        }
        if (const auto* callable = value.get_if<std::shared_ptr<const Callable>>()) {
            if ((*callable)->is_macro) return fmt::format("<Macro '{}'>", (*callable)->name);
        }
        if (const auto* loop = value.get_if<std::shared_ptr<Loop>>()) {
            return fmt::format("<LoopContext {}/{}>", (*loop)->index0 + 1,
                               (*loop)->items->items.size());
        }
        fail(ErrorCode::Unsupported, "the text of a {} is not supported", value.type_name());
    }

    void write_items(const std::vector<Value>& items) {
        for (size_t i = 0; i < items.size(); ++i) {
            if (i > 0) out_.append(", ");
            write(items[i]);
        }
    }

    void write_sequence(const Sequence& list, const std::string& type) {
        switch (list.flavor) {
            case Sequence::Flavor::Tuple:
                out_.append("(");
                write_items(list.items);
                out_.append(list.items.size() == 1 ? ",)" : ")");
                return;
            case Sequence::Flavor::Iterator:
                fail(ErrorCode::Unsupported,
                     "the text of a generator is not supported; use the filter list or join");
            case Sequence::Flavor::List:
                out_.append("[");
                write_items(list.items);
                out_.append("]");
                return;
            default:
                out_.append(type + "([");
                write_items(list.items);
                out_.append("])");
        }
    }

    void write_dict(const Dict& dict) {
        out_.append("{");
        bool first = true;
        for (const auto& [key, value] : dict.entries()) {
            if (!first) out_.append(", ");
            first = false;
            write(key);
            out_.append(": ");
            write(value);
        }
        out_.append("}");
    }

    void write_namespace(const Namespace& space) {
        out_.append("<Namespace {");
        bool first = true;
        for (const Text& name : space.order) {
            if (!first) out_.append(", ");
            first = false;
            append_quoted(budget_, out_, name);
            out_.append(": ");
            write(space.members.find(name.bytes())->second);
        }
        out_.append("}>");
    }

    Budget& budget_;
    Text out_;
};

}  // namespace

Text str(Budget& budget, const Value& value) {
    if (value.is_undefined()) return Text();
    if (const Text* text = value.text()) {
        budget.scan(text->size());
        return *text;
    }
    return repr(budget, value);
}

Text repr(Budget& budget, const Value& value) {
    Speller speller(budget);
    speller.write(value);
    return speller.take();
}

}  // namespace quarot::jinja

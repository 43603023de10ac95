// How are texts cut, searched and joined in linear time and for a price?
#include "jinja/text_tools.h"

#include <algorithm>
#include <set>

#include "core/checked_math.h"
#include "core/error.h"
#include "jinja/spell.h"
#include "jinja/unicode.h"

namespace quarot::jinja {
namespace {

// Parts of a text, paid for one by one: a long text can have as many as it has bytes.
class Parts {
  public:
    Parts(Budget& budget, const Text& text) : budget_(budget), text_(text) {}
    void add(size_t begin, size_t end) {
        budget_.allocate(sizeof(Text) + end - begin);
        all_.push_back(text_.slice(begin, end));
    }
    int64_t count() const { return static_cast<int64_t>(all_.size()); }
    std::vector<Text> take() { return std::move(all_); }
    std::vector<Text> take_reversed() {
        std::reverse(all_.begin(), all_.end());
        return take();
    }

  private:
    Budget& budget_;
    const Text& text_;
    std::vector<Text> all_;
};

bool ends_line(int32_t code) {
    return (code >= 0x0A && code <= 0x0D) || (code >= 0x1C && code <= 0x1E) || code == 0x85 ||
           code == 0x2028 || code == 0x2029;
}

size_t count_bytes(std::string_view text, std::string_view needle) {
    size_t count = 0;
    for (size_t at = find_bytes(text, needle); at != std::string_view::npos;
         at = find_bytes(text, needle, at + needle.size())) {
        ++count;
    }
    return count;
}

// The new text between all characters and at both ends.
Text interleaved(const Text& text, const Text& to, size_t count) {
    Text out;
    size_t at = 0;
    for (size_t i = 0; i < count; ++i) {
        out.append(to);
        if (at == text.size()) break;
        const size_t next = character_at(text.bytes(), at).end;
        out.append(text, at, next);
        at = next;
    }
    out.append(text, at, text.size());
    return out;
}

void charge_growth(Budget& budget, const Text& text, size_t count, const Text& to) {
    const auto growth = checked_mul(static_cast<int64_t>(count), static_cast<int64_t>(to.memory()));
    budget.allocate(growth ? static_cast<size_t>(*growth) : SIZE_MAX);
    budget.allocate(text.size());
}

std::vector<Text> words_from_left(Budget& budget, const Text& text, int64_t max_count) {
    Parts words(budget, text);
    const std::string& bytes = text.bytes();
    size_t at = 0;
    while (true) {
        while (at < bytes.size() && is_space(character_at(bytes, at).code)) {
            at = character_at(bytes, at).end;
        }
        if (at == bytes.size()) return words.take();
        if (max_count >= 0 && words.count() == max_count) break;
        const size_t begin = at;
        while (at < bytes.size() && !is_space(character_at(bytes, at).code)) {
            at = character_at(bytes, at).end;
        }
        words.add(begin, at);
    }
    words.add(at, bytes.size());  // with the white space at its end
    return words.take();
}

std::vector<Text> words_from_right(Budget& budget, const Text& text, int64_t max_count) {
    Parts words(budget, text);
    const std::string& bytes = text.bytes();
    const auto space_before = [&](size_t at) {
        return is_space(character_at(bytes, character_before(bytes, at)).code);
    };
    size_t at = bytes.size();
    while (true) {
        while (at > 0 && space_before(at)) at = character_before(bytes, at);
        if (at == 0) break;
        if (max_count >= 0 && words.count() == max_count) {
            words.add(0, at);
            break;
        }
        const size_t end = at;
        while (at > 0 && !space_before(at)) at = character_before(bytes, at);
        words.add(at, end);
    }
    return words.take_reversed();
}

std::vector<Text> pieces_from_right(Budget& budget, const Text& text, const Text& separator,
                                    int64_t max_count) {
    // All places are found from the left of the mirrored text, so that the cost stays linear.
    const std::string back(text.bytes().rbegin(), text.bytes().rend());
    const std::string needle(separator.bytes().rbegin(), separator.bytes().rend());
    Parts pieces(budget, text);
    size_t from = 0;
    while (max_count < 0 || pieces.count() < max_count) {
        const size_t at = find_bytes(back, needle, from);
        if (at == std::string::npos) break;
        pieces.add(back.size() - at, back.size() - from);
        from = at + needle.size();
    }
    pieces.add(0, back.size() - from);
    return pieces.take_reversed();
}

}  // namespace

const Text& plain_text(const Text& text) {
    if (text.html) {
        fail(ErrorCode::Unsupported, "an escaped string can only be printed; do it last");
    }
    return text;
}

Text soft_text(Runtime& runtime, const Value& value) {
    if (value.text()) plain_text(*value.text());
    return str(runtime.budget, value);
}

Text stripped(Budget& budget, const Text& text, const Text* set, bool left, bool right) {
    constexpr size_t kSetBytesPerStep = 8;
    if (set) budget.step(set->size() / kSetBytesPerStep);
    std::set<int32_t> taken;
    for (size_t at = 0; set && at < set->size();) {
        const Character c = character_at(set->bytes(), at);
        taken.insert(c.code);
        at = c.end;
    }
    const auto goes = [&](int32_t code) { return set ? taken.count(code) > 0 : is_space(code); };
    const Span kept = stretch_without(text.bytes(), goes, left, right);
    return text.slice(kept.begin, kept.end);
}

Text replaced(Budget& budget, const Text& text, const Text& from, const Text& to,
              int64_t max_count) {
    budget.scan(text.size() + from.size());
    const size_t places =
        from.empty() ? count_characters(text.bytes()) + 1 : count_bytes(text.bytes(), from.bytes());
    const size_t count = max_count < 0 ? places : std::min(places, static_cast<size_t>(max_count));
    budget.step(count);
    charge_growth(budget, text, count, to);
    if (from.empty()) return interleaved(text, to, count);
    Text out;
    size_t at = 0;
    for (size_t i = 0; i < count; ++i) {
        const size_t next = find_bytes(text.bytes(), from.bytes(), at);
        out.append(text, at, next);
        out.append(to);
        at = next + from.size();
    }
    out.append(text, at, text.size());
    return out;
}

Text joined(Budget& budget, const Text& glue, const std::vector<Value>& items) {
    Text out;
    for (size_t i = 0; i < items.size(); ++i) {
        budget.step();
        if (items[i].text()) plain_text(*items[i].text());
        if (i > 0) {
            budget.allocate(glue.memory());
            out.append(glue);
        }
        const Text item = str(budget, items[i]);
        budget.allocate(item.memory());
        out.append(item);
    }
    return out;
}

std::vector<Text> lines_of(Budget& budget, const Text& text) {
    Parts lines(budget, text);
    const std::string& bytes = text.bytes();
    size_t begin = 0;
    for (size_t at = 0; at < bytes.size();) {
        const Character c = character_at(bytes, at);
        const size_t line_end = at;
        at = c.end;
        if (!ends_line(c.code)) continue;
        if (c.code == '\r' && at < bytes.size() && bytes[at] == '\n') ++at;
        lines.add(begin, line_end);
        begin = at;
    }
    if (begin < bytes.size()) lines.add(begin, bytes.size());
    return lines.take();
}

std::vector<Text> words_of(Budget& budget, const Text& text, int64_t max_count, bool from_right) {
    return from_right ? words_from_right(budget, text, max_count)
                      : words_from_left(budget, text, max_count);
}

std::vector<Text> pieces_of(Budget& budget, const Text& text, const Text& separator,
                            int64_t max_count, bool from_right) {
    if (separator.empty()) fail(ErrorCode::Corrupt, "the separator of a split is empty");
    budget.scan(text.size() + separator.size());
    if (from_right) return pieces_from_right(budget, text, separator, max_count);
    Parts pieces(budget, text);
    size_t from = 0;
    while (max_count < 0 || pieces.count() < max_count) {
        const size_t at = find_bytes(text.bytes(), separator.bytes(), from);
        if (at == std::string::npos) break;
        pieces.add(from, at);
        from = at + separator.size();
    }
    pieces.add(from, text.size());
    return pieces.take();
}

Text aligned(Budget& budget, const Text& text, int64_t width, Align align, const Text& filler) {
    const auto have = static_cast<int64_t>(count_characters(text.bytes()));
    if (width <= have) return text;
    const int64_t missing = width - have;
    const auto cost = checked_mul(missing, static_cast<int64_t>(filler.memory()));
    budget.allocate(cost ? static_cast<size_t>(*cost) : SIZE_MAX);
    int64_t before = 0;
    if (align == Align::Right) before = missing;
    if (align == Align::Center) before = missing / 2 + (missing & width & 1);
    Text out;
    for (int64_t i = 0; i < before; ++i) out.append(filler);
    out.append(text);
    for (int64_t i = before; i < missing; ++i) out.append(filler);
    return out;
}

std::vector<Value> as_values(Budget& budget, std::vector<Text> texts) {
    std::vector<Value> values;
    for (Text& text : texts) values.push_back(make_text(budget, std::move(text)));
    return values;
}

}  // namespace quarot::jinja

// How are two values compared, and what does a loop over one visit?
#include "jinja/compare.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "jinja/unicode.h"

namespace quarot::jinja {
namespace {

// Long doubles hold every 64-bit integer and every double.
std::optional<long double> exact_number(const Value& value) {
    if (const auto whole = value.integer()) return static_cast<long double>(*whole);
    if (const double* real = value.get_if<double>()) return static_cast<long double>(*real);
    return std::nullopt;
}

bool equal_sequences(Budget& budget, const Sequence& a, const Sequence& b) {
    if (a.flavor != b.flavor || a.items.size() != b.items.size()) return false;
    for (size_t i = 0; i < a.items.size(); ++i) {
        if (!equal(budget, a.items[i], b.items[i])) return false;
    }
    return true;
}

bool equal_dicts(Budget& budget, const Dict& a, const Dict& b) {
    if (a.entries().size() != b.entries().size()) return false;
    for (const auto& [key, value] : a.entries()) {
        const Value* other = b.find(budget, key);
        if (!other || !equal(budget, value, *other)) return false;
    }
    return true;
}

bool equal_ranges(const Range& a, const Range& b) {
    if (a.size() != b.size()) return false;
    return a.size() == 0 || (a.start == b.start && (a.size() == 1 || a.step == b.step));
}

// Generators and views of values are equal only to themselves; views of keys are like sets.
bool compares_by_identity(Sequence::Flavor flavor) {
    return flavor == Sequence::Flavor::Iterator || flavor == Sequence::Flavor::DictValues;
}
bool is_set_like(Sequence::Flavor flavor) {
    return flavor == Sequence::Flavor::DictKeys || flavor == Sequence::Flavor::DictItems;
}

[[noreturn]] void fail_without_order(const Value& a, const Value& b) {
    fail(ErrorCode::Corrupt, "a {} and a {} have no order", a.type_name(), b.type_name());
}

bool is_ordered_pair(const Sequence* a, const Sequence* b) {
    return a && b && a->flavor == b->flavor &&
           (a->flavor == Sequence::Flavor::List || a->flavor == Sequence::Flavor::Tuple);
}

// a < b, or a <= b; Error{Corrupt} if their types have no order.
bool ordered(Budget& budget, const Value& a, const Value& b, bool or_equal) {
    budget.step();
    const auto x = exact_number(a);
    const auto y = exact_number(b);
    if (x && y) return or_equal ? *x <= *y : *x < *y;
    if (a.text() && b.text()) {
        budget.scan(std::min(a.text()->size(), b.text()->size()));
        const int order = a.text()->bytes().compare(b.text()->bytes());
        return or_equal ? order <= 0 : order < 0;
    }
    if (!is_ordered_pair(a.sequence(), b.sequence())) fail_without_order(a, b);
    const std::vector<Value>& left = a.sequence()->items;
    const std::vector<Value>& right = b.sequence()->items;
    for (size_t i = 0; i < std::min(left.size(), right.size()); ++i) {
        if (!equal(budget, left[i], right[i])) return ordered(budget, left[i], right[i], or_equal);
    }
    return or_equal ? left.size() <= right.size() : left.size() < right.size();
}

std::vector<Value> characters(Budget& budget, const Text& text) {
    std::vector<Value> items;
    for (size_t at = 0; at < text.size();) {
        const size_t end = character_at(text.bytes(), at).end;
        items.push_back(make_text(budget, text.slice(at, end)));
        at = end;
    }
    return items;
}

std::vector<Value> keys_of(Budget& budget, const Dict& dict) {
    budget.require(dict.entries().size() * sizeof(Value));
    std::vector<Value> keys;
    for (const auto& [key, value] : dict.entries()) keys.push_back(key);
    return keys;
}

std::vector<Value> numbers_of(Budget& budget, const Range& range) {
    budget.step(static_cast<size_t>(range.size()));
    std::vector<Value> numbers;
    for (int64_t i = 0; i < range.size(); ++i) numbers.emplace_back(range.at(i));
    return numbers;
}

}  // namespace

bool is_true(const Value& value) {
    if (value.is_undefined() || value.is_none()) return false;
    if (const auto number = value.number()) return *number != 0;
    if (const Text* text = value.text()) return !text->empty();
    if (const Sequence* list = value.sequence()) {
        return list->flavor == Sequence::Flavor::Iterator || !list->items.empty();
    }
    if (const Dict* dict = value.dict()) return !dict->entries().empty();
    if (const Range* range = value.get_if<Range>()) return range->size() > 0;
    return true;
}

bool equal(Budget& budget, const Value& a, const Value& b) {
    budget.step();
    const auto x = exact_number(a);
    const auto y = exact_number(b);
    if (x || y) return x && y && *x == *y;
    if (a.data().index() != b.data().index()) return false;
    if (a.is_undefined() || a.is_none()) return true;
    if (a.text()) {
        budget.scan(std::min(a.text()->size(), b.text()->size()));
        return a.text()->bytes() == b.text()->bytes();
    }
    if (const Sequence* list = a.sequence()) {
        if (compares_by_identity(list->flavor)) return list == b.sequence();
        if (is_set_like(list->flavor)) {
            fail(ErrorCode::Unsupported, "comparing views of a dict is not supported");
        }
        return equal_sequences(budget, *list, *b.sequence());
    }
    if (a.dict()) return equal_dicts(budget, *a.dict(), *b.dict());
    if (const Range* range = a.get_if<Range>()) return equal_ranges(*range, *b.get_if<Range>());
    if (const auto* space = a.get_if<std::shared_ptr<Namespace>>()) {
        return *space == *b.get_if<std::shared_ptr<Namespace>>();
    }
    fail(ErrorCode::Unsupported, "comparing a {} is not supported", a.type_name());
}

bool less(Budget& budget, const Value& a, const Value& b) {
    return ordered(budget, a, b, false);
}
bool less_or_equal(Budget& budget, const Value& a, const Value& b) {
    return ordered(budget, a, b, true);
}

bool contains(Budget& budget, const Value& container, const Value& item) {
    if (const Text* text = container.text()) {
        if (!item.text()) {
            fail(ErrorCode::Corrupt, "'in <string>' takes a string, not a {}", item.type_name());
        }
        budget.scan(text->size() + item.text()->size());
        return find_bytes(text->bytes(), item.text()->bytes()) != std::string::npos;
    }
    if (const Dict* dict = container.dict()) return dict->find(budget, item) != nullptr;
    for (const SequencePtr all = iterate(budget, container); const Value& member : all->items) {
        if (equal(budget, member, item)) return true;
    }
    return false;
}

bool compares(Budget& budget, Comparison comparison, const Value& a, const Value& b) {
    switch (comparison) {
        case Comparison::Equal:
            return equal(budget, a, b);
        case Comparison::Unequal:
            return !equal(budget, a, b);
        case Comparison::Less:
            return less(budget, a, b);
        case Comparison::LessOrEqual:
            return less_or_equal(budget, a, b);
        case Comparison::Greater:
            return less(budget, b, a);
        case Comparison::GreaterOrEqual:
            return less_or_equal(budget, b, a);
        case Comparison::In:
            return contains(budget, b, a);
        case Comparison::NotIn:
            break;
    }
    return !contains(budget, b, a);
}

SequencePtr iterate(Budget& budget, const Value& value) {
    const auto list_of = [&](std::vector<Value> items) {
        return *make_list(budget, std::move(items)).get_if<SequencePtr>();
    };
    if (const SequencePtr* list = value.get_if<SequencePtr>()) {
        budget.step((*list)->items.size());  // whoever asks will look at them
        if ((*list)->flavor != Sequence::Flavor::Iterator) return *list;
        const auto from = static_cast<std::ptrdiff_t>((*list)->used);
        budget.require(((*list)->items.size() - (*list)->used) * sizeof(Value));
        (*list)->used = (*list)->items.size();
        return list_of({(*list)->items.begin() + from, (*list)->items.end()});
    }
    if (value.is_undefined()) return list_of({});
    if (const Text* text = value.text()) return list_of(characters(budget, *text));
    if (const Dict* dict = value.dict()) return list_of(keys_of(budget, *dict));
    if (const Range* range = value.get_if<Range>()) return list_of(numbers_of(budget, *range));
    fail(ErrorCode::Corrupt, "a {} cannot be iterated over", value.type_name());
}

bool is_iterable(const Value& value) {
    return value.sequence() || value.is_undefined() || value.text() || value.dict() ||
           value.is<Range>() || value.is<std::shared_ptr<Loop>>();
}

std::optional<int64_t> length_of(Budget& budget, const Value& value) {
    if (value.is_undefined()) return 0;
    if (const Text* text = value.text()) {
        budget.scan(text->size());
        return static_cast<int64_t>(count_characters(text->bytes()));
    }
    if (const Dict* dict = value.dict()) return static_cast<int64_t>(dict->entries().size());
    if (const Range* range = value.get_if<Range>()) return range->size();
    if (const auto* loop = value.get_if<std::shared_ptr<Loop>>()) {
        return static_cast<int64_t>((*loop)->items->items.size());
    }
    const Sequence* list = value.sequence();
    if (!list || list->flavor == Sequence::Flavor::Iterator) return std::nullopt;
    return static_cast<int64_t>(list->items.size());
}

}  // namespace quarot::jinja

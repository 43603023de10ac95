// What do the filters give that look at lists or make lists of lists?
#include <algorithm>
#include <set>

#include "core/error.h"
#include "io/text.h"
#include "jinja/arithmetic.h"
#include "jinja/compare.h"
#include "jinja/filters.h"
#include "jinja/item_key.h"
#include "jinja/limits.h"
#include "jinja/merge_sort.h"
#include "jinja/parameters.h"
#include "jinja/text_tools.h"

namespace quarot::jinja {
namespace {

Value length(Runtime& runtime, const char* called, const Value& input, const Arguments& args) {
    const Parameters p(called, args, {});
    const auto count = length_of(runtime.budget, input);
    if (!count) fail(ErrorCode::Corrupt, "a {} has no length", input.type_name());
    return *count;
}

Value first(Runtime& runtime, const char* called, const Value& input, const Arguments& args) {
    const Parameters p(called, args, {});
    const Sequence* list = input.sequence();
    if (list && list->flavor == Sequence::Flavor::Iterator) {
        if (list->used < list->items.size()) return list->items[list->used++];
        return make_undefined(runtime.budget, "there is no first item");
    }
    const SequencePtr items = iterate(runtime.budget, input);
    if (!items->items.empty()) return items->items[0];
    return make_undefined(runtime.budget, "there is no first item");
}

void refuse_iterator(const Value& input, const char* filter) {
    const Sequence* list = input.sequence();
    if (list && list->flavor == Sequence::Flavor::Iterator) {
        fail(ErrorCode::Corrupt, "{} cannot take a generator; use the filter list", filter);
    }
}

Value last(Runtime& runtime, const char* called, const Value& input, const Arguments& args) {
    const Parameters p(called, args, {});
    refuse_iterator(input, called);
    const SequencePtr items = iterate(runtime.budget, input);
    if (!items->items.empty()) return items->items.back();
    return make_undefined(runtime.budget, "there is no last item");
}

std::vector<Value> copied_items(Budget& budget, const Value& value) {
    const SequencePtr all = iterate(budget, value);
    budget.require(all->items.size() * sizeof(Value));
    return all->items;
}

Value list(Runtime& runtime, const char* called, const Value& input, const Arguments& args) {
    const Parameters p(called, args, {});
    return make_list(runtime.budget, copied_items(runtime.budget, input));
}

Value reverse(Runtime& runtime, const char* called, const Value& input, const Arguments& args) {
    const Parameters p(called, args, {});
    std::vector<Value> items = copied_items(runtime.budget, input);
    std::reverse(items.begin(), items.end());
    if (!input.text()) {
        const Sequence* from = input.sequence();
        const bool was_iterator = from && from->flavor == Sequence::Flavor::Iterator;
        return was_iterator ? make_list(runtime.budget, std::move(items))
                            : make_iterator(runtime.budget, std::move(items));
    }
    return make_text(runtime.budget, joined(runtime.budget, Text(), items));
}

Value join(Runtime& runtime, const char* called, const Value& input, const Arguments& args) {
    const Parameters p(called, args, {"d", "attribute"});
    const Text glue = soft_text(runtime, p[0]);
    std::vector<Value> items = copied_items(runtime.budget, input);
    const ItemPath path(runtime.budget, p[1]);
    for (Value& item : items) item = path.of(runtime, item);
    return make_text(runtime.budget, joined(runtime.budget, glue, items));
}

struct Keyed {
    Value key;
    Value item;
};

std::vector<Value> sorted(Runtime& runtime, std::vector<Keyed> items, bool reverse) {
    merge_sort(items, [&](const Keyed& a, const Keyed& b) {
        return reverse ? less(runtime.budget, b.key, a.key) : less(runtime.budget, a.key, b.key);
    });
    std::vector<Value> out;
    out.reserve(items.size());
    for (Keyed& entry : items) out.push_back(std::move(entry.item));
    return out;
}

// Several attributes are separated by commas: the key is the list of them.
Value sort_key(Runtime& runtime, const std::vector<ItemPath>& paths, const Value& item,
               bool case_sensitive) {
    std::vector<Value> parts;
    for (const ItemPath& path : paths) {
        const Value part = path.of(runtime, item);
        parts.push_back(case_sensitive ? part : without_case(runtime, part));
    }
    return make_list(runtime.budget, std::move(parts));
}

Value sort(Runtime& runtime, const char* called, const Value& input, const Arguments& args) {
    const Parameters p(called, args, {"reverse", "case_sensitive", "attribute"});
    std::vector<ItemPath> paths;
    if (p[2].text()) {
        for (const Text& part : pieces_of(runtime.budget, *p[2].text(), Text(","), -1, false)) {
            paths.emplace_back(runtime.budget, make_text(runtime.budget, part));
        }
    } else {
        paths.emplace_back(runtime.budget, p[2]);
    }
    std::vector<Keyed> items;
    for (const SequencePtr all = iterate(runtime.budget, input); const Value& item : all->items) {
        items.push_back({sort_key(runtime, paths, item, p.flag(1, false)), item});
    }
    return make_list(runtime.budget, sorted(runtime, std::move(items), p.flag(0, false)));
}

Value dictsort(Runtime& runtime, const char* called, const Value& input, const Arguments& args) {
    const Parameters p(called, args, {"case_sensitive", "by", "reverse"});
    const std::string by = p.has(1) ? p.text(1).bytes() : "key";
    if (by != "key" && by != "value") {
        fail(ErrorCode::Corrupt, "{} goes by \"{}\", expected \"key\" or \"value\"", called,
             io::printable(by, 40));
    }
    if (!input.dict()) {
        fail(ErrorCode::Corrupt, "dictsort takes a dict, not a {}", input.type_name());
    }
    std::vector<Keyed> items;
    for (const auto& [key, value] : input.dict()->entries()) {
        const Value part = by == "key" ? key : value;
        items.push_back({p.flag(0, false) ? part : without_case(runtime, part),
                         make_tuple(runtime.budget, {key, value})});
    }
    return make_list(runtime.budget, sorted(runtime, std::move(items), p.flag(2, false)));
}

template <bool Largest>
Value extreme(Runtime& runtime, const char* called, const Value& input, const Arguments& args) {
    const Parameters p(called, args, {"case_sensitive", "attribute"});
    const SequencePtr items = iterate(runtime.budget, input);
    if (items->items.empty()) return make_undefined(runtime.budget, "the sequence has no items");
    const ItemPath path(runtime.budget, p[1]);
    const auto key_of = [&](const Value& item) {
        const Value part = path.of(runtime, item);
        return p.flag(0, false) ? part : without_case(runtime, part);
    };
    Value best = items->items[0];
    Value best_key = key_of(best);
    for (size_t i = 1; i < items->items.size(); ++i) {
        Value key = key_of(items->items[i]);
        const bool wins =
            Largest ? less(runtime.budget, best_key, key) : less(runtime.budget, key, best_key);
        if (!wins) continue;
        best = items->items[i];
        best_key = std::move(key);
    }
    return best;
}

Value unique(Runtime& runtime, const char* called, const Value& input, const Arguments& args) {
    const Parameters p(called, args, {"case_sensitive", "attribute"});
    const ItemPath path(runtime.budget, p[1]);
    std::set<std::string> seen;
    std::vector<Value> out;
    for (const SequencePtr all = iterate(runtime.budget, input); const Value& item : all->items) {
        const Value part = path.of(runtime, item);
        const Value key = p.flag(0, false) ? part : without_case(runtime, part);
        std::string hash = hash_key(runtime.budget, key);
        runtime.budget.allocate(sizeof(std::string) + hash.size());
        if (seen.insert(std::move(hash)).second) out.push_back(item);
    }
    return make_iterator(runtime.budget, std::move(out));
}

Value sum(Runtime& runtime, const char* called, const Value& input, const Arguments& args) {
    const Parameters p(called, args, {"attribute", "start"});
    if (p[1].text()) fail(ErrorCode::Corrupt, "sum cannot add strings; use the filter join");
    const ItemPath path(runtime.budget, p[0]);
    Value total = p.has(1) ? p[1] : Value(int64_t{0});
    for (const SequencePtr all = iterate(runtime.budget, input); const Value& item : all->items) {
        total = compute(runtime.budget, Operator::Add, total, path.of(runtime, item));
    }
    return total;
}

int64_t part_count(const Parameters& p, const char* filter) {
    const int64_t count = p.integer(0, 0);
    if (count < 1) fail(ErrorCode::Corrupt, "{} takes a positive number, not {}", filter, count);
    return count;
}

// Rows of `linecount` items, the last one filled up.
Value batch(Runtime& runtime, const char* called, const Value& input, const Arguments& args) {
    const Parameters p(called, args, {"linecount", "fill_with"}, 1);
    const auto width = static_cast<size_t>(part_count(p, called));
    const SequencePtr kept = iterate(runtime.budget, input);
    const std::vector<Value>& items = kept->items;
    std::vector<Value> rows;
    for (size_t at = 0; at < items.size(); at += width) {
        const size_t end = at + std::min(width, items.size() - at);
        std::vector<Value> row(items.begin() + static_cast<std::ptrdiff_t>(at),
                               items.begin() + static_cast<std::ptrdiff_t>(end));
        if (row.size() < width && p.has(1) && !p[1].is_none()) {
            if (width > size_t{limits::kTemplateRange}) {
                fail(ErrorCode::Corrupt, "batch fills at most {} items", limits::kTemplateRange);
            }
            row.resize(width, p[1]);
        }
        rows.push_back(make_list(runtime.budget, std::move(row)));
        if (items.size() - at <= width) break;
    }
    return make_iterator(runtime.budget, std::move(rows));
}

// The items in `slices` columns whose lengths differ by one at most.
Value slice(Runtime& runtime, const char* called, const Value& input, const Arguments& args) {
    const Parameters p(called, args, {"slices", "fill_with"}, 1);
    const auto slices = static_cast<size_t>(part_count(p, called));
    const SequencePtr kept = iterate(runtime.budget, input);
    const std::vector<Value>& items = kept->items;
    const size_t each = items.size() / slices;
    const size_t longer = items.size() % slices;
    std::vector<Value> columns;
    size_t at = 0;
    for (size_t i = 0; i < slices; ++i) {
        const size_t end = at + each + (i < longer ? 1 : 0);
        std::vector<Value> column(items.begin() + static_cast<std::ptrdiff_t>(at),
                                  items.begin() + static_cast<std::ptrdiff_t>(end));
        if (i >= longer && p.has(1) && !p[1].is_none()) column.push_back(p[1]);
        columns.push_back(make_list(runtime.budget, std::move(column)));
        at = end;
    }
    return make_iterator(runtime.budget, std::move(columns));
}

constexpr NamedFilter kListFilters[] = {
    {"batch", batch},        {"count", length},    {"dictsort", dictsort},
    {"first", first},        {"join", join},       {"last", last},
    {"length", length},      {"list", list},       {"max", extreme<true>},
    {"min", extreme<false>}, {"reverse", reverse}, {"slice", slice},
    {"sort", sort},          {"sum", sum},         {"unique", unique},
};

}  // namespace

std::span<const NamedFilter> list_filters() {
    return kListFilters;
}

}  // namespace quarot::jinja

// How are members, items and slices of values looked up?
#include "jinja/access.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/checked_math.h"
#include "core/error.h"
#include "io/text.h"
#include "jinja/compare.h"
#include "jinja/limits.h"
#include "jinja/methods.h"
#include "jinja/text_tools.h"
#include "jinja/unicode.h"

namespace quarot::jinja {
namespace {

void refuse_undefined(const Value& value) {
    const Undefined* missing = value.get_if<Undefined>();
    if (!missing) return;
    fail(ErrorCode::Corrupt, "{}, so it has no members",
         missing->reason ? *missing->reason : "the value is undefined");
}

Value missing_member(Budget& budget, const Value& value, const std::string& name) {
    return make_undefined(
        budget, fmt::format("a {} has no member '{}'", value.type_name(), io::printable(name, 40)));
}

void refuse_internal(const std::string& name) {
    if (name.starts_with("__") && name.ends_with("__")) {
        fail(ErrorCode::Corrupt, "the attribute {} may not be used", io::printable(name, 40));
    }
}

Value loop_cycle(const Loop& loop, const Arguments& args) {
    if (args.positional.empty()) fail(ErrorCode::Corrupt, "loop.cycle needs a value");
    return args.positional[static_cast<size_t>(loop.index0) % args.positional.size()];
}

Value loop_changed(Runtime& runtime, Loop& loop, const Arguments& args) {
    const Value now = make_tuple(runtime.budget, args.positional);
    const bool same = loop.last_changed && equal(runtime.budget, *loop.last_changed, now);
    loop.last_changed = now;
    return !same;
}

Value neighbour(Budget& budget, const Loop& loop, int64_t index, const char* which) {
    if (index < 0 || index >= static_cast<int64_t>(loop.items->items.size())) {
        return make_undefined(budget, fmt::format("there is no {} item", which));
    }
    return loop.items->items[static_cast<size_t>(index)];
}

std::optional<Value> loop_member(Budget& budget, const std::shared_ptr<Loop>& loop,
                                 const std::string& name) {
    const auto length = static_cast<int64_t>(loop->items->items.size());
    if (name == "index") return loop->index0 + 1;
    if (name == "index0") return loop->index0;
    if (name == "revindex") return length - loop->index0;
    if (name == "revindex0") return length - loop->index0 - 1;
    if (name == "first") return loop->index0 == 0;
    if (name == "last") return loop->index0 + 1 == length;
    if (name == "length") return length;
    if (name == "depth") return int64_t{1};  // only recursive loops are deeper
    if (name == "depth0") return int64_t{0};
    if (name == "previtem") return neighbour(budget, *loop, loop->index0 - 1, "previous");
    if (name == "nextitem") return neighbour(budget, *loop, loop->index0 + 1, "next");
    const auto bind = [&](auto function) -> Value {
        return std::make_shared<const Callable>(Callable{name, function});
    };
    if (name == "cycle") {
        return bind([loop](Runtime&, const Arguments& args) { return loop_cycle(*loop, args); });
    }
    if (name == "changed") {
        return bind([loop](Runtime& runtime, const Arguments& args) {
            return loop_changed(runtime, *loop, args);
        });
    }
    return std::nullopt;
}

std::optional<Value> named_member(Runtime& runtime, const Value& value, const std::string& name) {
    if (const auto* space = value.get_if<std::shared_ptr<Namespace>>()) {
        const auto found = (*space)->members.find(name);
        if (found == (*space)->members.end()) return std::nullopt;
        return found->second;
    }
    if (const auto* loop = value.get_if<std::shared_ptr<Loop>>()) {
        return loop_member(runtime.budget, *loop, name);
    }
    if (const auto* callable = value.get_if<std::shared_ptr<const Callable>>()) {
        if ((*callable)->is_macro && name == "name") {
            return make_text(runtime.budget, (*callable)->name);
        }
    }
    if (const Range* range = value.get_if<Range>()) {
        if (name == "start") return range->start;
        if (name == "stop") return range->stop;
        if (name == "step") return range->step;
        if (name == "count" || name == "index") {
            fail(ErrorCode::Unsupported, "the method {} of a range is not supported", name);
        }
    }
    return method_of(runtime, value, name);
}

std::optional<int64_t> position(int64_t index, int64_t size) {
    if (index < 0) index += size;
    if (index < 0 || index >= size) return std::nullopt;
    return index;
}

std::optional<Value> character_number(Runtime& runtime, const Text& text, int64_t index) {
    plain_text(text);
    runtime.budget.scan(text.size());
    const auto size = static_cast<int64_t>(count_characters(text.bytes()));
    const auto at = position(index, size);
    if (!at) return std::nullopt;
    const size_t begin = byte_of_character(text.bytes(), static_cast<size_t>(*at));
    const size_t end = character_at(text.bytes(), begin).end;
    return make_text(runtime.budget, text.slice(begin, end));
}

std::optional<Value> stored_item(Runtime& runtime, const Value& value, const Value& key) {
    if (const Dict* dict = value.dict()) {
        if (key.sequence() && key.sequence()->flavor != Sequence::Flavor::Tuple)
            return std::nullopt;
        if (key.dict()) return std::nullopt;
        const Value* found = dict->find(runtime.budget, key);
        return found ? std::optional(*found) : std::nullopt;
    }
    const auto index = key.integer();
    if (!index) return std::nullopt;
    if (const Text* text = value.text()) return character_number(runtime, *text, *index);
    if (const Range* range = value.get_if<Range>()) {
        const auto at = position(*index, range->size());
        return at ? std::optional<Value>(range->at(*at)) : std::nullopt;
    }
    const Sequence* list = value.sequence();
    if (!list ||
        (list->flavor != Sequence::Flavor::List && list->flavor != Sequence::Flavor::Tuple)) {
        return std::nullopt;
    }
    const auto at = position(*index, static_cast<int64_t>(list->items.size()));
    return at ? std::optional(list->items[static_cast<size_t>(*at)]) : std::nullopt;
}

// The positions that a slice takes, in order.
struct Slice {
    int64_t start = 0;
    int64_t stop = 0;
    int64_t step = 1;
    int64_t count = 0;
};

std::optional<int64_t> slice_part(const Value& part) {
    if (part.is_none()) return std::nullopt;
    const auto whole = part.integer();
    if (!whole) fail(ErrorCode::Corrupt, "a slice takes integers, not a {}", part.type_name());
    return whole;
}

Slice resolve(const std::array<Value, 3>& parts, int64_t size) {
    const int64_t step = slice_part(parts[2]).value_or(1);
    if (step == 0) fail(ErrorCode::Corrupt, "the step of a slice is 0");
    const int64_t lowest = step > 0 ? 0 : -1;
    const int64_t highest = step > 0 ? size : size - 1;
    const auto bound = [&](const Value& part, int64_t otherwise) {
        const auto given = slice_part(part);
        if (!given) return otherwise;
        const int64_t from_start = *given < 0 ? std::max(*given, -size - 1) + size : *given;
        return std::clamp(from_start, lowest, highest);
    };
    const int64_t start = bound(parts[0], step > 0 ? lowest : highest);
    const int64_t stop = bound(parts[1], step > 0 ? highest : lowest);
    if (step > 0 ? start >= stop : start <= stop) return {start, stop, step, 0};
    const uint64_t distance = static_cast<uint64_t>(step > 0 ? stop - start : start - stop) - 1;
    const uint64_t stride =
        step > 0 ? static_cast<uint64_t>(step) : uint64_t{0} - static_cast<uint64_t>(step);
    return {start, stop, step, static_cast<int64_t>(distance / stride) + 1};
}

std::vector<size_t> character_borders(const std::string& bytes) {
    std::vector<size_t> borders;
    for (size_t at = 0; at < bytes.size(); at = character_at(bytes, at).end) {
        borders.push_back(at);
    }
    borders.push_back(bytes.size());
    return borders;
}

Value slice_text(Runtime& runtime, const Text& text, const std::array<Value, 3>& parts) {
    plain_text(text);
    runtime.budget.allocate(text.size() * sizeof(size_t));
    const std::vector<size_t> borders = character_borders(text.bytes());
    const Slice slice = resolve(parts, static_cast<int64_t>(borders.size()) - 1);
    const auto first = static_cast<size_t>(slice.start);
    if (slice.count == 0) return make_text(runtime.budget, Text());
    if (slice.step == 1) {
        const size_t end = borders[first + static_cast<size_t>(slice.count)];
        return make_text(runtime.budget, text.slice(borders[first], end));
    }
    runtime.budget.step(static_cast<size_t>(slice.count));
    Text out;
    for (int64_t i = 0; i < slice.count; ++i) {
        const auto at = static_cast<size_t>(slice.start + i * slice.step);
        out.append(text, borders[at], borders[at + 1]);
    }
    return make_text(runtime.budget, std::move(out));
}

Value slice_range(const Range& range, const std::array<Value, 3>& parts) {
    const Slice slice = resolve(parts, range.size());
    const auto step = checked_mul(range.step, slice.step);
    if (!step || *step > limits::kTemplateRangeBound || *step < -limits::kTemplateRangeBound) {
        fail(ErrorCode::Unsupported, "a range with so long steps is not supported");
    }
    return Range{range.at(slice.start), range.at(slice.stop), *step};
}

}  // namespace

Value attribute_of(Runtime& runtime, const Value& value, const std::string& name) {
    runtime.budget.step();
    runtime.budget.scan(name.size());
    refuse_undefined(value);
    refuse_internal(name);
    if (auto member = named_member(runtime, value, name)) return *member;
    if (const Dict* dict = value.dict()) {
        if (const Value* found = dict->find(name)) return *found;
    }
    return missing_member(runtime.budget, value, name);
}

Value item_of(Runtime& runtime, const Value& value, const Value& key) {
    runtime.budget.step();
    refuse_undefined(value);
    if (auto item = stored_item(runtime, value, key)) return *item;
    if (!key.text()) {
        return make_undefined(runtime.budget,
                              fmt::format("a {} has no such item", value.type_name()));
    }
    runtime.budget.scan(key.text()->size());
    refuse_internal(key.text()->bytes());
    if (auto member = named_member(runtime, value, key.text()->bytes())) return *member;
    return missing_member(runtime.budget, value, key.text()->bytes());
}

Value slice_of(Runtime& runtime, const Value& value, const std::array<Value, 3>& parts) {
    refuse_undefined(value);
    if (const Text* text = value.text()) return slice_text(runtime, *text, parts);
    if (const Range* range = value.get_if<Range>()) return slice_range(*range, parts);
    const Sequence* list = value.sequence();
    if (!list ||
        (list->flavor != Sequence::Flavor::List && list->flavor != Sequence::Flavor::Tuple)) {
        // jinja2 fails, or goes on with an undefined value where it folds constants.
        fail(ErrorCode::Unsupported, "a slice of a {} is not supported", value.type_name());
    }
    const Slice slice = resolve(parts, static_cast<int64_t>(list->items.size()));
    runtime.budget.step(static_cast<size_t>(slice.count));
    std::vector<Value> items;
    for (int64_t i = 0; i < slice.count; ++i) {
        items.push_back(list->items[static_cast<size_t>(slice.start + i * slice.step)]);
    }
    return make_sequence(runtime.budget, list->flavor, std::move(items));
}

}  // namespace quarot::jinja

// What do the filters give that apply other filters and tests to each item?
#include "core/error.h"
#include "jinja/compare.h"
#include "jinja/filters.h"
#include "jinja/item_key.h"
#include "jinja/value_tests.h"

namespace quarot::jinja {
namespace {

const std::string& name_in(const Arguments& args, size_t index, const char* filter) {
    if (index >= args.positional.size()) {
        fail(ErrorCode::Corrupt, "{} needs a name as its argument", filter);
    }
    const Text* name = args.positional[index].text();
    if (!name) fail(ErrorCode::Corrupt, "{} takes a name, not a value", filter);
    return name->bytes();
}

Arguments after(Budget& budget, const Arguments& args, size_t count) {
    budget.step(args.positional.size() + args.named.size());
    for (const auto& [name, value] : args.named) budget.scan(name.memory());
    Arguments rest = args;
    rest.positional.erase(rest.positional.begin(),
                          rest.positional.begin() + static_cast<std::ptrdiff_t>(count));
    return rest;
}

Value map_attribute(Runtime& runtime, const Value& input, const Arguments& args) {
    Value attribute;
    Value otherwise = Value::none();
    bool has_default = false;
    for (const auto& [name, value] : args.named) {
        if (name.bytes() == "attribute") {
            attribute = value;
        } else if (name.bytes() == "default") {
            otherwise = value;
            has_default = !value.is_none();
        } else {
            fail(ErrorCode::Corrupt, "map has no argument {}", name.bytes());
        }
    }
    const ItemPath path(runtime.budget, attribute);
    std::vector<Value> out;
    for (const SequencePtr all = iterate(runtime.budget, input); const Value& item : all->items) {
        out.push_back(has_default ? path.of(runtime, item, otherwise) : path.of(runtime, item));
    }
    return make_iterator(runtime.budget, std::move(out));
}

Value map(Runtime& runtime, const char* called, const Value& input, const Arguments& args) {
    if (!is_true(input)) return make_iterator(runtime.budget, {});
    if (args.positional.empty() && !args.named.empty()) return map_attribute(runtime, input, args);
    const std::string& filter = name_in(args, 0, called);
    const Arguments rest = after(runtime.budget, args, 1);
    std::vector<Value> out;
    for (const SequencePtr all = iterate(runtime.budget, input); const Value& item : all->items) {
        const Nesting nesting(runtime.budget);
        out.push_back(apply_filter(runtime, filter, item, rest));
    }
    return make_iterator(runtime.budget, std::move(out));
}

template <bool ByAttribute, bool Keep>
Value choose(Runtime& runtime, const char* called, const Value& input, const Arguments& args) {
    if (!is_true(input)) return make_iterator(runtime.budget, {});
    const size_t used = ByAttribute ? 1 : 0;
    if (args.positional.size() < used) {
        fail(ErrorCode::Corrupt, "{} needs the name of a member", called);
    }
    const ItemPath path(runtime.budget, ByAttribute ? args.positional[0] : Value());
    const bool has_test = args.positional.size() > used;
    const std::string test = has_test ? name_in(args, used, called) : "";
    const Arguments rest = has_test ? after(runtime.budget, args, used + 1) : Arguments{};
    std::vector<Value> out;
    for (const SequencePtr all = iterate(runtime.budget, input); const Value& item : all->items) {
        const Value part = path.of(runtime, item);
        const bool passes = has_test ? passes_test(runtime, test, part, rest) : is_true(part);
        if (passes == Keep) out.push_back(item);
    }
    return make_iterator(runtime.budget, std::move(out));
}

constexpr NamedFilter kSelectionFilters[] = {
    {"map", map},
    {"reject", choose<false, false>},
    {"rejectattr", choose<true, false>},
    {"select", choose<false, true>},
    {"selectattr", choose<true, true>},
};

}  // namespace

std::span<const NamedFilter> selection_filters() {
    return kSelectionFilters;
}

}  // namespace quarot::jinja

// Which methods do dicts, lists and strings have, and what do those of dicts and lists do?
#include "jinja/methods.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "core/error.h"
#include "jinja/compare.h"
#include "jinja/parameters.h"

namespace quarot::jinja {
namespace {

template <size_t N>
bool is_one_of(const std::array<std::string_view, N>& names, std::string_view name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

constexpr std::array<std::string_view, 8> kChangingListMethods = {
    "append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"};
constexpr std::array<std::string_view, 5> kChangingDictMethods = {"clear", "pop", "popitem",
                                                                  "setdefault", "update"};
constexpr std::array<std::string_view, 10> kMissingTextMethods = {
    "casefold",    "encode",  "expandtabs", "format_map", "isidentifier",
    "isprintable", "istitle", "maketrans",  "swapcase",   "translate"};
constexpr std::array<std::string_view, 13> kMissingNumberMethods = {
    "as_integer_ratio", "bit_count", "bit_length", "conjugate", "denominator",
    "from_bytes",       "fromhex",   "hex",        "imag",      "is_integer",
    "numerator",        "real",      "to_bytes"};

// A method that holds the value which it was taken from.
Value bound(const std::string& name, const Value& self,
            std::function<Value(Runtime&, const Arguments&)> call) {
    return std::make_shared<const Callable>(
        Callable{.name = name, .call = std::move(call), .depth = self.depth() + 1});
}

Value dict_get(Runtime& runtime, const Dict& dict, const Arguments& args) {
    if (!args.named.empty()) fail(ErrorCode::Corrupt, "get takes no keyword arguments");
    const Parameters p("get", args, {"key", "default"}, 1);
    if (const Value* found = dict.find(runtime.budget, p[0])) return *found;
    return p.has(1) ? p[1] : Value::none();
}

Value dict_view(Runtime& runtime, const std::string& called, const Dict& dict,
                Sequence::Flavor flavor, const Arguments& args) {
    const Parameters p(called, args, {});
    runtime.budget.step(dict.entries().size());
    std::vector<Value> items;
    for (const auto& [key, value] : dict.entries()) {
        if (flavor == Sequence::Flavor::DictKeys) items.push_back(key);
        if (flavor == Sequence::Flavor::DictValues) items.push_back(value);
        if (flavor == Sequence::Flavor::DictItems) {
            items.push_back(make_tuple(runtime.budget, {key, value}));
        }
    }
    return make_sequence(runtime.budget, flavor, std::move(items));
}

std::optional<Value> dict_method(Budget& budget, const DictPtr& dict, const std::string& name) {
    const auto view = [&](Sequence::Flavor flavor) {
        return bound(name, dict, [name, dict, flavor](Runtime& runtime, const Arguments& args) {
            return dict_view(runtime, name, *dict, flavor, args);
        });
    };
    if (name == "items") return view(Sequence::Flavor::DictItems);
    if (name == "keys") return view(Sequence::Flavor::DictKeys);
    if (name == "values") return view(Sequence::Flavor::DictValues);
    if (name == "get") {
        return bound(name, dict, [dict](Runtime& runtime, const Arguments& args) {
            return dict_get(runtime, *dict, args);
        });
    }
    if (name == "copy") {
        return bound(name, dict, [dict](Runtime&, const Arguments& args) -> Value {
            const Parameters p("copy", args, {});
            return dict;
        });
    }
    if (name == "fromkeys") fail(ErrorCode::Unsupported, "dict.fromkeys is not supported");
    if (is_one_of(kChangingDictMethods, name)) {
        return make_undefined(budget, "the method " + name + " would change its dict");
    }
    return std::nullopt;
}

Value list_index(Runtime& runtime, const Sequence& list, const Arguments& args) {
    const Parameters p("index", args, {"value"}, 1);
    for (size_t i = 0; i < list.items.size(); ++i) {
        if (equal(runtime.budget, list.items[i], p[0])) return static_cast<int64_t>(i);
    }
    fail(ErrorCode::Corrupt, "index does not find the value in the list");
}

Value list_count(Runtime& runtime, const Sequence& list, const Arguments& args) {
    const Parameters p("count", args, {"value"}, 1);
    int64_t count = 0;
    for (const Value& item : list.items) count += equal(runtime.budget, item, p[0]);
    return count;
}

std::optional<Value> sequence_method(Budget& budget, const SequencePtr& list,
                                     const std::string& name) {
    const bool is_list = list->flavor == Sequence::Flavor::List;
    if (!is_list && list->flavor != Sequence::Flavor::Tuple) return std::nullopt;
    if (name == "index" || name == "count") {
        const auto method = name == "index" ? list_index : list_count;
        return bound(name, list, [list, method](Runtime& runtime, const Arguments& args) {
            return method(runtime, *list, args);
        });
    }
    if (!is_list) return std::nullopt;
    if (name == "copy") {
        return bound(name, list, [list](Runtime&, const Arguments& args) -> Value {
            const Parameters p("copy", args, {});
            return list;
        });
    }
    if (is_one_of(kChangingListMethods, name)) {
        return make_undefined(budget, "the method " + name + " would change its list");
    }
    return std::nullopt;
}

std::optional<Value> method_of_text(const TextPtr& text, const std::string& name) {
    if (text->html) fail(ErrorCode::Unsupported, "methods of an escaped string are not supported");
    if (const TextMethod* method = text_method(name)) {
        return bound(name, text, [text, method](Runtime& runtime, const Arguments& args) {
            runtime.budget.scan(text->size());
            return method->call(runtime, method->name, *text, args);
        });
    }
    if (is_one_of(kMissingTextMethods, name)) {
        fail(ErrorCode::Unsupported, "the string method {} is not supported", name);
    }
    return std::nullopt;
}

}  // namespace

std::optional<Value> method_of(Runtime& runtime, const Value& value, const std::string& name) {
    runtime.budget.step();
    if (const TextPtr* text = value.get_if<TextPtr>()) return method_of_text(*text, name);
    if (const DictPtr* dict = value.get_if<DictPtr>()) {
        return dict_method(runtime.budget, *dict, name);
    }
    if (const SequencePtr* list = value.get_if<SequencePtr>()) {
        return sequence_method(runtime.budget, *list, name);
    }
    if (value.number() && is_one_of(kMissingNumberMethods, name)) {
        fail(ErrorCode::Unsupported, "the member {} of numbers is not supported", name);
    }
    return std::nullopt;
}

}  // namespace quarot::jinja

// How are values made, paid for and told apart?
#include "jinja/value.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "jinja/limits.h"

namespace quarot::jinja {
namespace {

constexpr size_t kBytesPerValue = sizeof(Value);
constexpr size_t kBytesPerObject = 64;  // of bookkeeping

int depth_over(const std::vector<Value>& items) {
    int depth = 0;
    for (const Value& item : items) depth = std::max(depth, item.depth());
    return depth + 1;
}

int checked_depth(int depth) {
    if (depth > limits::kTemplateDepth) {
        fail(ErrorCode::Corrupt, "lists and dicts nest more than {} deep", limits::kTemplateDepth);
    }
    return depth;
}

std::string sequence_type_name(Sequence::Flavor flavor) {
    switch (flavor) {
        case Sequence::Flavor::List:
            return "list";
        case Sequence::Flavor::Tuple:
            return "tuple";
        case Sequence::Flavor::DictKeys:
            return "dict_keys";
        case Sequence::Flavor::DictValues:
            return "dict_values";
        case Sequence::Flavor::DictItems:
            return "dict_items";
        case Sequence::Flavor::Iterator:
            break;
    }
    return "generator";
}

std::string text_key(std::string_view text) {
    std::string key = "s";
    return key.append(text);
}

}  // namespace

Value::Value() = default;
Value::Value(const Value& other) = default;
Value::Value(Value&& other) noexcept = default;
Value& Value::operator=(const Value& other) = default;
Value& Value::operator=(Value&& other) noexcept = default;
Value::~Value() = default;

int64_t Range::size() const {
    if (step > 0 && start < stop) return (stop - start - 1) / step + 1;
    if (step < 0 && start > stop) return (start - stop - 1) / -step + 1;
    return 0;
}

const Text* Value::text() const {
    const TextPtr* text = get_if<TextPtr>();
    return text ? text->get() : nullptr;
}
const Sequence* Value::sequence() const {
    const SequencePtr* sequence = get_if<SequencePtr>();
    return sequence ? sequence->get() : nullptr;
}
const Dict* Value::dict() const {
    const DictPtr* dict = get_if<DictPtr>();
    return dict ? dict->get() : nullptr;
}

std::optional<int64_t> Value::integer() const {
    if (const bool* flag = get_if<bool>()) return int64_t{*flag};
    if (const int64_t* number = get_if<int64_t>()) return *number;
    return std::nullopt;
}

std::optional<double> Value::number() const {
    if (const double* real = get_if<double>()) return *real;
    if (const auto whole = integer()) return static_cast<double>(*whole);
    return std::nullopt;
}

std::string Value::type_name() const {
    if (const Sequence* list = sequence()) return sequence_type_name(list->flavor);
    static const char* const kNames[] = {"Undefined", "NoneType",  "bool",     "int",
                                         "float",     "str",       "list",     "dict",
                                         "range",     "Namespace", "function", "LoopContext"};
    static_assert(std::size(kNames) == std::variant_size_v<Data>);
    return kNames[data_.index()];
}

int Value::depth() const {
    if (const Sequence* list = sequence()) return list->depth;
    if (const Dict* map = dict()) return map->depth();
    if (const auto* callable = get_if<std::shared_ptr<const Callable>>()) return (*callable)->depth;
    return 0;
}

const Value* Dict::find(Budget& budget, const Value& key) const {
    const auto found = index_.find(hash_key(budget, key));
    return found == index_.end() ? nullptr : &entries_[found->second].second;
}

const Value* Dict::find(std::string_view key) const {
    const auto found = index_.find(text_key(key));
    return found == index_.end() ? nullptr : &entries_[found->second].second;
}

void Dict::set(Budget& budget, Value key, Value value) {
    std::string hash = hash_key(budget, key);
    budget.allocate(2 * kBytesPerValue + kBytesPerObject + hash.size());
    depth_ = checked_depth(std::max({depth_, value.depth() + 1, key.depth() + 1}));
    const auto [place, is_new] = index_.emplace(std::move(hash), entries_.size());
    if (is_new) {
        entries_.emplace_back(std::move(key), std::move(value));
    } else {
        entries_[place->second].second = std::move(value);
    }
}

void Namespace::set(const Text& name, Value value) {
    const auto [place, is_new] = members.insert_or_assign(name.bytes(), std::move(value));
    if (is_new) order.push_back(name);
}

Value make_undefined(Budget& budget, std::string reason) {
    budget.allocate(sizeof(std::string) + reason.size() + kBytesPerObject);
    return Undefined{std::make_shared<const std::string>(std::move(reason))};
}

Value make_text(Budget& budget, Text text) {
    budget.allocate(text.memory() + kBytesPerObject);
    return std::make_shared<const Text>(std::move(text));
}

Value make_text(Budget& budget, std::string bytes, bool user) {
    return make_text(budget, Text(std::move(bytes), user));
}

Value make_sequence(Budget& budget, Sequence::Flavor flavor, std::vector<Value> items) {
    budget.allocate(items.size() * kBytesPerValue + kBytesPerObject);
    const int depth = checked_depth(depth_over(items));
    return std::make_shared<const Sequence>(Sequence{flavor, std::move(items), depth});
}

Value make_list(Budget& budget, std::vector<Value> items) {
    return make_sequence(budget, Sequence::Flavor::List, std::move(items));
}
Value make_tuple(Budget& budget, std::vector<Value> items) {
    return make_sequence(budget, Sequence::Flavor::Tuple, std::move(items));
}

Value make_iterator(Budget& budget, std::vector<Value> items) {
    return make_sequence(budget, Sequence::Flavor::Iterator, std::move(items));
}

Value make_dict(Budget& budget, Dict dict) {
    budget.allocate(kBytesPerObject);
    return std::make_shared<const Dict>(std::move(dict));
}

std::string hash_key(Budget& budget, const Value& value) {
    budget.step();
    if (const Text* text = value.text()) {
        budget.allocate(text->size());
        return text_key(text->bytes());
    }
    if (const auto whole = value.integer()) return fmt::format("i{}", *whole);
    if (const double* real = value.get_if<double>()) {
        constexpr double kBound = 9.2e18;
        if (*real == std::floor(*real) && std::abs(*real) < kBound) {
            return fmt::format("i{}", static_cast<int64_t>(*real));
        }
        return fmt::format("f{}", *real);
    }
    if (value.is_none()) return "n";
    if (value.is_undefined()) return "u";
    const Sequence* list = value.sequence();
    if (list && list->flavor == Sequence::Flavor::Tuple) {
        std::string key = "t";
        for (const Value& item : list->items) {
            const std::string part = hash_key(budget, item);
            budget.allocate(part.size());
            key += fmt::format("{}:{}", part.size(), part);
        }
        return key;
    }
    if (const Range* range = value.get_if<Range>()) {
        return fmt::format("r{},{},{}", range->start, range->size(), range->step);
    }
    // Python refuses what can change; the rest would be keys by their address.
    const bool is_refused = value.dict() || (list && list->flavor == Sequence::Flavor::List);
    fail(is_refused ? ErrorCode::Corrupt : ErrorCode::Unsupported, "a {} cannot be a key",
         value.type_name());
}

}  // namespace quarot::jinja

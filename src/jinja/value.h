// What a template computes with: Python's values, as far as templates need them.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "jinja/budget.h"
#include "jinja/text.h"

namespace quarot::jinja {

struct Sequence;
class Dict;
struct Namespace;
struct Callable;
struct Loop;

struct Undefined {
    std::shared_ptr<const std::string> reason;  // "'x' is undefined"; null: no more to say
};

struct None {};

struct Range {
    int64_t start = 0;
    int64_t stop = 0;
    int64_t step = 1;
    int64_t size() const;
    int64_t at(int64_t index) const { return start + index * step; }
};

using TextPtr = std::shared_ptr<const Text>;
using SequencePtr = std::shared_ptr<const Sequence>;
using DictPtr = std::shared_ptr<const Dict>;

template <typename T, typename Variant>
struct IsAlternative;
template <typename T, typename... Alternatives>
struct IsAlternative<T, std::variant<Alternatives...>>
    : std::bool_constant<(std::is_same_v<T, Alternatives> || ...)> {};

// Values do not change once made, but for namespaces, loops and how far an iterator was used;
// copying one is cheap. Namespaces and loops can come to hold themselves, so its maker keeps a list
// of it and empties it in the end.
class Value {
  public:
    using Data = std::variant<Undefined, None, bool, int64_t, double, TextPtr, SequencePtr, DictPtr,
                              Range, std::shared_ptr<Namespace>, std::shared_ptr<const Callable>,
                              std::shared_ptr<Loop>>;
    Value();  // undefined
    // Defined in value.cpp, because each is much code wherever it is inlined.
    Value(const Value& other);
    Value(Value&& other) noexcept;
    Value& operator=(const Value& other);
    Value& operator=(Value&& other) noexcept;
    ~Value();
    template <typename T>
    requires IsAlternative<T, Data>::value Value(T data)
        : data_(std::in_place_type<T>, std::move(data)) {}  // NOLINT
    static Value none() { return None{}; }

    template <typename T>
    bool is() const {
        return std::holds_alternative<T>(data_);
    }
    template <typename T>
    const T* get_if() const {
        return std::get_if<T>(&data_);
    }
    const Data& data() const { return data_; }

    bool is_undefined() const { return is<Undefined>(); }
    bool is_none() const { return is<None>(); }
    bool is_string() const { return is<TextPtr>(); }
    const Text* text() const;          // null if it is no string
    const Sequence* sequence() const;  // null if it is no sequence
    const Dict* dict() const;          // null if it is no dict
    // Integers, and booleans as 0 and 1.
    std::optional<int64_t> integer() const;
    // Integers, booleans and floats.
    std::optional<double> number() const;
    // As Python calls the type: "str", "NoneType".
    std::string type_name() const;
    int depth() const;  // of containers in containers, what methods are bound to included

  private:
    Data data_;
};

struct Sequence {
    enum class Flavor { List, Tuple, DictKeys, DictValues, DictItems, Iterator };
    Flavor flavor = Flavor::List;
    std::vector<Value> items;
    int depth = 1;
    mutable size_t used = 0;  // items that an iterator has given away
};

// Keys keep the order in which they first came.
class Dict {
  public:
    using Entry = std::pair<Value, Value>;
    const std::vector<Entry>& entries() const { return entries_; }
    int depth() const { return depth_; }
    const Value* find(Budget& budget, const Value& key) const;  // Error if the key is unhashable
    const Value* find(std::string_view key) const;
    void set(Budget& budget, Value key, Value value);

  private:
    std::vector<Entry> entries_;
    std::map<std::string, size_t, std::less<>> index_;  // by hash_key
    int depth_ = 1;
};

struct Namespace {
    std::map<std::string, Value, std::less<>> members;
    std::vector<Text> order;  // in which they were first set
    void set(const Text& name, Value value);
};

// What stands in the parentheses of a call.
struct Arguments {
    std::vector<Value> positional;
    std::vector<std::pair<Text, Value>> named;  // names can come from a user's dict
};

class Runtime;
struct Callable {
    std::string name;
    std::function<Value(Runtime&, const Arguments&)> call;
    bool is_macro = false;
    int depth = 0;  // one more than that of the value which `call` holds
};

// The variable `loop` inside a for.
struct Loop {
    SequencePtr items;
    int64_t index0 = 0;
    std::optional<Value> last_changed;  // argument of the previous loop.changed()
};

// Makers that charge the budget and hold containers to a depth.
Value make_undefined(Budget& budget, std::string reason);
Value make_text(Budget& budget, Text text);
Value make_text(Budget& budget, std::string bytes, bool user = false);
Value make_sequence(Budget& budget, Sequence::Flavor flavor, std::vector<Value> items);
Value make_list(Budget& budget, std::vector<Value> items);
Value make_tuple(Budget& budget, std::vector<Value> items);
Value make_iterator(Budget& budget, std::vector<Value> items);
Value make_dict(Budget& budget, Dict dict);

// Equal keys of a dict have equal hash keys; Error{Corrupt} if the value is not hashable.
std::string hash_key(Budget& budget, const Value& value);

}  // namespace quarot::jinja

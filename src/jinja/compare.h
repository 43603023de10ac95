// Are two values equal, which is less, is one in the other, and is it true? By Python's rules.
#pragma once

#include "jinja/value.h"

namespace quarot::jinja {

bool is_true(const Value& value);
bool equal(Budget& budget, const Value& a, const Value& b);
// Error{Corrupt} if the types have no order.
bool less(Budget& budget, const Value& a, const Value& b);
bool less_or_equal(Budget& budget, const Value& a, const Value& b);
bool contains(Budget& budget, const Value& container, const Value& item);

enum class Comparison { Equal, Unequal, Less, LessOrEqual, Greater, GreaterOrEqual, In, NotIn };
bool compares(Budget& budget, Comparison comparison, const Value& a, const Value& b);

// What a for loop visits; a used iterator is used up. Error{Corrupt} if the value is not iterable.
SequencePtr iterate(Budget& budget, const Value& value);
bool is_iterable(const Value& value);
// len(); empty if the value has none.
std::optional<int64_t> length_of(Budget& budget, const Value& value);

}  // namespace quarot::jinja

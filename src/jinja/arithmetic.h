// What do + - * / // % ** and ~ give? By Python's rules, within 64 bits.
#pragma once

#include "jinja/value.h"

namespace quarot::jinja {

enum class Operator { Add, Subtract, Multiply, Divide, FloorDivide, Modulo, Power };

// Error{Corrupt} if the types do not fit or a divisor is zero, Error{Unsupported} where Python's
// integers would grow over 64 bits.
Value compute(Budget& budget, Operator op, const Value& a, const Value& b);
Value negated(const Value& value);
Value unary_plus(const Value& value);

}  // namespace quarot::jinja

// By which part of an item do sort, map, join and their kin go?
#pragma once

#include <vector>

#include "jinja/runtime.h"

namespace quarot::jinja {

// The argument `attribute`: "a.b.0" is a path of members, an integer one index, undefined or None
// the item itself.
class ItemPath {
  public:
    ItemPath(Budget& budget, const Value& attribute);
    Value of(Runtime& runtime, Value item) const;
    // `otherwise` stands for a member that is not there.
    Value of(Runtime& runtime, Value item, const Value& otherwise) const;

  private:
    std::vector<Value> parts_;
};

// Strings in lower case, other values as they are.
Value without_case(Runtime& runtime, const Value& value);

}  // namespace quarot::jinja

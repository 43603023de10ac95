// How does a value look as text? As str() and repr() of Python, and as JSON.
#pragma once

#include <optional>
#include <string>

#include "jinja/value.h"

namespace quarot::jinja {

// What {{ value }} prints. Error{Unsupported} for values whose text would name a memory address.
Text str(Budget& budget, const Value& value);
Text repr(Budget& budget, const Value& value);

struct JsonStyle {
    bool ensure_ascii = false;
    bool sort_keys = false;
    std::optional<Text> indent;  // of one level
    Text between_items = Text(", ");
    Text after_key = Text(": ");
};
// Keys keep their order; nothing is escaped for HTML.
Text json_text(Budget& budget, const Value& value, const JsonStyle& style);

}  // namespace quarot::jinja

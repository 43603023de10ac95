// How is an attribute path such as a.b.0 followed?
#include "jinja/item_key.h"

#include <algorithm>

#include "core/error.h"
#include "jinja/access.h"
#include "jinja/numbers.h"
#include "jinja/text_tools.h"
#include "jinja/unicode.h"

namespace quarot::jinja {

ItemPath::ItemPath(Budget& budget, const Value& attribute) {
    if (attribute.is_undefined() || attribute.is_none()) return;
    if (!attribute.text()) {
        parts_.push_back(attribute);
        return;
    }
    for (const Text& part : pieces_of(budget, *attribute.text(), Text("."), -1, false)) {
        const bool is_index =
            !part.empty() && part.bytes().find_first_not_of("0123456789") == std::string::npos;
        if (is_index) {
            parts_.emplace_back(parse_integer(part.bytes(), 10).value_or(0));
        } else {
            parts_.push_back(make_text(budget, part));
        }
    }
}

Value ItemPath::of(Runtime& runtime, Value item) const {
    for (const Value& part : parts_) item = item_of(runtime, item, part);
    return item;
}

Value ItemPath::of(Runtime& runtime, Value item, const Value& otherwise) const {
    for (const Value& part : parts_) {
        item = item_of(runtime, item, part);
        if (item.is_undefined()) item = otherwise;
    }
    return item;
}

Value without_case(Runtime& runtime, const Value& value) {
    if (!value.text()) return value;
    runtime.budget.scan(value.text()->size());
    return make_text(runtime.budget, to_lower(*value.text()));
}

}  // namespace quarot::jinja

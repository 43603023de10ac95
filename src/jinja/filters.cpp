// Which filter has this name?
#include "jinja/filters.h"

#include "core/error.h"
#include "io/text.h"

namespace quarot::jinja {

const NamedFilter* find_filter(const std::string& name) {
    for (const auto filters :
         {text_filters(), list_filters(), selection_filters(), value_filters()}) {
        for (const NamedFilter& entry : filters) {
            if (name == entry.name) return &entry;
        }
    }
    return nullptr;
}

Value apply_filter(Runtime& runtime, const std::string& name, const Value& input,
                   const Arguments& args) {
    runtime.budget.step();
    const NamedFilter* filter = find_filter(name);
    if (!filter) {
        fail(ErrorCode::Unsupported, "the filter {} is not supported", io::printable(name, 40));
    }
    if (input.text()) runtime.budget.scan(input.text()->size());
    return filter->filter(runtime, filter->name, input, args);
}

}  // namespace quarot::jinja

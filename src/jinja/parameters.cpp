// How are arguments bound to the names of parameters?
#include "jinja/parameters.h"

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "jinja/compare.h"

namespace quarot::jinja {

Parameters::Parameters(std::string function, const Arguments& arguments,
                       std::initializer_list<const char*> names, size_t required)
    : function_(std::move(function)), names_(names), values_(names.size()) {
    if (arguments.positional.size() > names_.size()) {
        fail(ErrorCode::Corrupt, "{} takes at most {} arguments, not {}", function_, names_.size(),
             arguments.positional.size());
    }
    for (size_t i = 0; i < arguments.positional.size(); ++i) values_[i] = arguments.positional[i];
    for (const auto& [name, value] : arguments.named) {
        const auto found = std::find(names_.begin(), names_.end(), std::string_view(name.bytes()));
        if (found == names_.end()) {
            fail(ErrorCode::Corrupt, "{} has no argument {}", function_, name.bytes());
        }
        auto& place = values_[static_cast<size_t>(found - names_.begin())];
        if (place) fail(ErrorCode::Corrupt, "{} is given {} twice", function_, name.bytes());
        place = value;
    }
    for (size_t i = 0; i < required; ++i) {
        if (!values_[i]) fail(ErrorCode::Corrupt, "{} needs the argument {}", function_, names_[i]);
    }
}

void Parameters::fail_type(size_t index, const char* expected) const {
    if (!values_[index]) {
        fail(ErrorCode::Corrupt, "{} needs {} for {} (argument {}), none is given", function_,
             expected, names_[index], index + 1);
    }
    fail(ErrorCode::Corrupt, "{} takes {} for {} (argument {}), not a {}", function_, expected,
         names_[index], index + 1, values_[index]->type_name());
}

const Value& Parameters::operator[](size_t index) const {
    static const Value kMissing;
    return values_[index] ? *values_[index] : kMissing;
}

bool Parameters::flag(size_t index, bool otherwise) const {
    return values_[index] ? is_true(*values_[index]) : otherwise;
}

int64_t Parameters::integer(size_t index, int64_t otherwise) const {
    if (!values_[index]) return otherwise;
    const auto whole = values_[index]->integer();
    if (!whole) fail_type(index, "an integer");
    return *whole;
}

std::optional<int64_t> Parameters::optional_integer(size_t index) const {
    if (!values_[index] || values_[index]->is_none()) return std::nullopt;
    return integer(index, 0);
}

const Text& Parameters::text(size_t index) const {
    if (!values_[index] || !values_[index]->text()) fail_type(index, "a string");
    return *values_[index]->text();
}

const Text* Parameters::optional_text(size_t index) const {
    if (!values_[index] || values_[index]->is_none()) return nullptr;
    return &text(index);
}

}  // namespace quarot::jinja

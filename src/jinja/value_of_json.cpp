// How does JSON become values, and which of their strings did a user type?
#include "jinja/value_of_json.h"

#include "io/utf8.h"

namespace quarot::jinja {
namespace {

// Bytes that are not UTF-8 become U+FFFD; everything behind this door trusts its texts.
std::string well_formed(const std::string& text) {
    if (io::first_non_utf8(text) == text.size()) return text;
    std::string out;
    for (size_t at = 0; at < text.size();) {
        const size_t bytes = io::utf8_length_at(text, at);
        out += bytes > 0 ? text.substr(at, bytes) : "\xEF\xBF\xBD";
        at += bytes > 0 ? bytes : 1;
    }
    return out;
}

Value object_value(Budget& budget, const io::Json& json, UserText user) {
    Dict dict;
    for (const auto& [name, member] : json.as_object()) {
        const bool is_role = user == UserText::ExceptRoles && name == "role" && member.is_string();
        const UserText inside = user == UserText::No || is_role ? UserText::No : UserText::Yes;
        // Names are marked, too: tools, their arguments and members of messages are named by the
        // user, but for the two names that every message has.
        const bool is_ours = user == UserText::ExceptRoles && (name == "role" || name == "content");
        const bool marks_name = user != UserText::No && !is_ours;
        Value value = value_of_json(budget, member, inside);
        dict.set(budget, make_text(budget, well_formed(name), marks_name), std::move(value));
    }
    return make_dict(budget, std::move(dict));
}

}  // namespace

Value value_of_json(Budget& budget, const io::Json& json, UserText user) {
    budget.step();
    if (json.is_null()) return Value::none();
    if (json.is_bool()) return json.as_bool();
    if (json.is_int()) return json.as_int();
    if (json.is_number()) return json.as_double();
    if (json.is_string())
        return make_text(budget, well_formed(json.as_string()), user != UserText::No);
    if (json.is_object()) return object_value(budget, json, user);
    std::vector<Value> items;
    for (const io::Json& item : json.as_array()) {
        items.push_back(value_of_json(budget, item, user));
    }
    return make_list(budget, std::move(items));
}

}  // namespace quarot::jinja

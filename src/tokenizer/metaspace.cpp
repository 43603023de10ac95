// Older files have add_prefix_space instead of prepend_scheme; newer ones may have both.
#include "tokenizer/metaspace.h"

#include "core/error.h"
#include "io/text.h"
#include "tokenizer/character_field.h"
#include "tokenizer/unicode.h"

namespace quarot::tokenizer {
namespace {

PrependScheme parse_scheme(const io::Json& value) {
    const std::string& name = value.as_string();
    if (name == "first") return PrependScheme::First;
    if (name == "always") return PrependScheme::Always;
    if (name == "never") return PrependScheme::Never;
    fail(ErrorCode::Corrupt, "{} is \"{}\", expected \"first\", \"always\" or \"never\"",
         value.place(), io::printable(name));
}

}  // namespace

Metaspace Metaspace::parse(const io::Json& step) {
    const io::Json* scheme = step.find("prepend_scheme");
    const io::Json* split = step.find("split");
    const io::Json* prefix = step.find("add_prefix_space");
    const Metaspace read{.mark = parse_character(step.at("replacement")),
                         .prepend = scheme ? parse_scheme(*scheme) : PrependScheme::Always,
                         .split = split == nullptr || split->as_bool()};
    if (prefix != nullptr && !prefix->as_bool() && read.prepend != PrependScheme::Never) {
        fail(ErrorCode::Corrupt, "{} is false, expected \"prepend_scheme\": \"never\" beside it",
             prefix->place());
    }
    return read;
}

std::string Metaspace::mark_text() const {
    std::string text;
    append_utf8(text, mark);
    return text;
}

}  // namespace quarot::tokenizer

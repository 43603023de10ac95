// The fields of a Metaspace step, which pre-tokenizers and decoders share.
#pragma once

#include <string>

#include "io/json.h"
#include "tokenizer/text_steps.h"

namespace quarot::tokenizer {

struct Metaspace {
    char32_t mark;
    PrependScheme prepend;
    bool split;

    static Metaspace parse(const io::Json& step);
    std::string mark_text() const;
};

}  // namespace quarot::tokenizer

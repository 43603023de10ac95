// What lies beside tokenizer.json in a model folder and adds to it.
#pragma once

#include "io/json.h"

namespace quarot::tokenizer {

// nullptr for a file that is not there.
struct FilesBeside {
    const io::Json* config = nullptr;        // tokenizer_config.json
    const io::Json* added_tokens = nullptr;  // added_tokens.json
    const io::Json* special_map = nullptr;   // special_tokens_map.json
};

}  // namespace quarot::tokenizer

// One value that somebody gave for a flag, and where.
#pragma once

#include <string>

namespace quarot::apps {

struct Given {
    std::string source;  // for messages: "--seqlen", "QUAROT_SEQLEN" or "run.toml: seqlen"
    std::string value;   // of a switch: "true" or "false"
};

}  // namespace quarot::apps

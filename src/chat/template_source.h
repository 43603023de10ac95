// Where in a model folder does its chat template stand, or in a GGUF file?
#pragma once

#include <string>

#include "io/json.h"

namespace quarot::chat {

struct TemplateSource {
    std::string text;
    std::string place;          // of the text, for messages
    io::Json tokenizer_config;  // null if the folder has none
};

// chat_template.jinja, additional_chat_templates/NAME.jinja, chat_template of tokenizer_config.json
// (a text or a list of named texts), in this order. An empty name means the default template.
// Errors as ChatTemplate::load.
TemplateSource find_template(const std::string& folder, const std::string& name);
bool has_template(const std::string& folder);

}  // namespace quarot::chat

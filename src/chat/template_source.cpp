// How is the text of a folder's chat template found?
#include "chat/template_source.h"

#include <algorithm>
#include <filesystem>
#include <vector>

#include "core/error.h"
#include "core/limits.h"
#include "io/file.h"
#include "io/text.h"

namespace quarot::chat {
namespace {

constexpr const char* kDefaultName = "default";

bool exists(const std::string& path) {
    std::error_code ignored;
    return std::filesystem::exists(path, ignored);
}

std::string template_path(const std::string& folder) {
    return folder + "/chat_template.jinja";
}
std::string config_path(const std::string& folder) {
    return folder + "/tokenizer_config.json";
}

// Names become file names, so they hold nothing that could lead elsewhere.
void check_name(const std::string& name) {
    const bool is_plain = std::all_of(name.begin(), name.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '_' || c == '-';
    });
    if (!is_plain) {
        fail(ErrorCode::Usage, "the name of a chat template is \"{}\", expected letters and digits",
             io::printable(name, 40));
    }
}

std::string joined(const std::vector<std::string>& names) {
    std::string list;
    for (const std::string& name : names) {
        if (!list.empty()) list += ", ";
        list += io::printable(name, 40);
    }
    return list;
}

// The text of that name from [{"name": ..., "template": ...}, ...].
const std::string& named_text(const io::Json& list, const std::string& name) {
    std::vector<std::string> names;
    for (const io::Json& entry : list.as_array()) {
        names.push_back(entry.at("name").as_string());
        if (names.back() == name) return entry.at("template").as_string();
    }
    fail(ErrorCode::Usage, "{} has no template named {}, only: {}", list.place(), name,
         joined(names));
}

[[noreturn]] void fail_without_template(const std::string& folder) {
    fail(ErrorCode::Unsupported,
         "{} has no chat template (chat_template.jinja, or chat_template in "
         "tokenizer_config.json); run it without --chat and write the whole prompt yourself, or "
         "take a model that was trained to chat",
         folder);
}

}  // namespace

TemplateSource find_template(const std::string& folder, const std::string& name) {
    check_name(name);
    TemplateSource source;
    const std::string config = config_path(folder);
    if (exists(config)) source.tokenizer_config = io::Json::parse_file(config);
    const bool wants_default = name.empty() || name == kDefaultName;
    std::string path = template_path(folder);
    if (!wants_default) path = folder + "/additional_chat_templates/" + name + ".jinja";
    if (exists(path)) {
        source.text = io::read_text(path, limits::kTemplateBytes);
        source.place = path;
        return source;
    }
    const io::Json* given = source.tokenizer_config.is_object()
                                ? source.tokenizer_config.find("chat_template")
                                : nullptr;
    if (!given) fail_without_template(folder);
    source.place = given->place();
    if (given->is_array()) {
        source.text = named_text(*given, wants_default ? kDefaultName : name);
    } else if (wants_default) {
        source.text = given->as_string();
    } else {
        fail(ErrorCode::Usage, "{} has one template only, none named {}", folder, name);
    }
    return source;
}

bool has_template(const std::string& folder) {
    if (exists(template_path(folder))) return true;
    const std::string config = config_path(folder);
    if (!exists(config)) return false;
    const io::Json json = io::Json::parse_file(config);
    return json.is_object() && json.find("chat_template");
}

}  // namespace quarot::chat

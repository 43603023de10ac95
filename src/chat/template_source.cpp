// How is the text of a folder's chat template found?
#include "chat/template_source.h"

#include <algorithm>
#include <filesystem>
#include <vector>

#include "chat/word.h"
#include "core/error.h"
#include "core/setting.h"
#include "io/file.h"
#include "io/file_listing.h"
#include "io/gguf_metadata.h"
#include "io/limits.h"
#include "io/text.h"
#include "jinja/limits.h"
#include "tokenizer/gguf_tokenizer.h"

namespace quarot::chat {
namespace {

constexpr const char* kDefaultName = "default";
constexpr const char* kExtension = ".jinja";

std::string template_path(const std::string& folder) {
    return folder + "/chat_template.jinja";
}
std::string additional_folder(const std::string& folder) {
    return folder + "/additional_chat_templates";
}

// null if there is none.
io::Json tokenizer_config_of(const std::string& model) {
    if (io::is_gguf_file(model)) {
        return io::Json::parse(tokenizer::gguf_tokenizer_config(io::read_gguf_metadata(model)),
                               model + " as tokenizer_config.json");
    }
    const std::string path = model + "/tokenizer_config.json";
    return io::is_listed(path) ? io::Json::parse_file(path) : io::Json();
}

// Names become file names, so they hold nothing that could lead elsewhere.
void check_name(const std::string& name) {
    if (name.empty() || is_word(name)) return;
    fail(ErrorCode::Usage,
         "the name of a chat template is \"{}\", expected letters, digits, _ and -",
         io::printable(name, 40));
}

std::string joined(const std::vector<std::string>& names) {
    std::string list;
    for (const std::string& name : names) {
        if (!list.empty()) list += ", ";
        list += io::printable(name, 40);
    }
    return list;
}

// The text of that name: the only one of tokenizer_config.json, or one of its list
// [{"name": ..., "template": ...}, ...]. Null if there is none.
const io::Json* configured_text(const io::Json* given, const std::string& name) {
    if (!given) return nullptr;
    if (!given->is_array()) return name == kDefaultName ? given : nullptr;
    for (const io::Json& entry : given->as_array()) {
        if (entry.at("name").as_string() == name) return &entry.at("template");
    }
    return nullptr;
}

// Names of the templates in files of their own.
std::vector<std::string> file_names(const std::string& folder) {
    std::vector<std::string> names;
    std::error_code ignored;
    size_t seen = 0;
    std::filesystem::directory_iterator entry(additional_folder(folder), ignored);
    for (; entry != std::filesystem::directory_iterator() && seen < limits::kFolderEntries;
         entry.increment(ignored), ++seen) {
        const std::filesystem::path& path = entry->path();
        if (path.extension() == kExtension) names.push_back(path.stem().string());
    }
    std::sort(names.begin(), names.end());
    return names;
}

std::vector<std::string> all_names(const std::string& folder, const io::Json* given) {
    std::vector<std::string> names;
    if (io::is_listed(template_path(folder))) names.push_back(kDefaultName);
    for (std::string& name : file_names(folder)) names.push_back(std::move(name));
    if (given && given->is_array()) {
        for (const io::Json& entry : given->as_array()) {
            names.push_back(entry.at("name").as_string());
        }
    } else if (given) {
        names.push_back(kDefaultName);
    }
    return names;
}

[[noreturn]] void fail_without_template(const std::string& folder, const std::string& name,
                                        const std::vector<std::string>& names) {
    if (!names.empty()) {
        fail(ErrorCode::Usage, "{} has no chat template named {}, only: {}", folder, name,
             joined(names));
    }
    fail(ErrorCode::Unsupported,
         "{} has no chat template (chat_template.jinja, or chat_template in "
         "tokenizer_config.json); run it without {} and write the whole prompt yourself, or take a "
         "model that was trained to chat",
         folder, Setting{"chat"});
}

}  // namespace

TemplateSource find_template(const std::string& folder, const std::string& name) {
    check_name(name);
    TemplateSource source;
    source.tokenizer_config = tokenizer_config_of(folder);
    const std::string wanted = name.empty() ? kDefaultName : name;
    const std::string path = wanted == kDefaultName
                                 ? template_path(folder)
                                 : additional_folder(folder) + "/" + wanted + kExtension;
    if (io::is_listed(path)) {
        source.text = io::read_text(path, limits::kTemplateBytes);
        source.place = path;
        return source;
    }
    const io::Json* given = source.tokenizer_config.is_object()
                                ? source.tokenizer_config.find("chat_template")
                                : nullptr;
    const io::Json* text = configured_text(given, wanted);
    if (!text) fail_without_template(folder, wanted, all_names(folder, given));
    source.text = text->as_string();
    source.place = given->place();
    return source;
}

bool has_template(const std::string& folder) {
    if (io::is_listed(template_path(folder))) return true;
    const io::Json json = tokenizer_config_of(folder);
    return json.is_object() && json.find("chat_template");
}

}  // namespace quarot::chat

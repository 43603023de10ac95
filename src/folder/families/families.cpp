// The list of families, and the choice of one by a config.json's "architectures".
#include <algorithm>
#include <vector>

#include "core/error.h"
#include "folder/families/llama.h"
#include "io/text.h"

namespace quarot::folder {

namespace {

std::string supported_architectures() {
    std::string list;
    for (const Family& family : families()) {
        for (const std::string_view architecture : family.architectures) {
            list += fmt::format("{}{}", list.empty() ? "" : ", ", architecture);
        }
    }
    return list;
}

}  // namespace

std::span<const Family> families() {
    static const std::vector<Family> kFamilies = {kLlamaFamily, kMistralFamily};
    return kFamilies;
}

const Family& family_of(const io::Json& config) {
    if (const io::Json* code = config.find("auto_map")) {
        fail(ErrorCode::Unsupported,
             "{} asks for code of the model's own, which is never run; supported are plain {}",
             code->place(), supported_architectures());
    }
    const io::Json& architectures = config.at("architectures");
    if (architectures.as_array().size() != 1) {
        fail(ErrorCode::Corrupt, "{} has {} entries, expected one of {}", architectures.place(),
             architectures.as_array().size(), supported_architectures());
    }
    const std::string& wanted = architectures.as_array().front().as_string();
    for (const Family& family : families()) {
        const auto& names = family.architectures;
        if (std::find(names.begin(), names.end(), wanted) != names.end()) return family;
    }
    fail(ErrorCode::Unsupported, "{} is \"{}\", and this version supports {}",
         architectures.place(), io::printable(wanted), supported_architectures());
}

}  // namespace quarot::folder

#include "folder/gguf_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "core/error.h"
#include "folder/families/family.h"
#include "folder/families/gguf_fields.h"
#include "folder/folder_config.h"
#include "folder/gguf_tensors.h"
#include "io/gguf.h"
#include "io/text.h"

namespace quarot::folder {

namespace {

void refuse_parts(const io::GgufMetadata& metadata) {
    const int64_t n = metadata.find_integer("split.count", 0, INT64_MAX).value_or(1);
    if (n <= 1) return;
    fail(ErrorCode::Unsupported,
         "{} is {}, so this is one of several files of a model, and one whole file is read; merge "
         "them with llama-gguf-split",
         metadata.place("split.count"), n);
}

bool is_of(const GgufFamily& gguf, const io::GgufMetadata& metadata) {
    return !gguf.architecture.empty() &&
           gguf.architecture == metadata.text("general.architecture") &&
           (gguf.holds == nullptr || gguf.holds(metadata));
}

// Two families may share an architecture.
std::string known_architectures() {
    std::vector<std::string_view> names;
    for (const Family& family : families()) {
        const std::string_view name = family.gguf.architecture;
        const bool is_new = std::find(names.begin(), names.end(), name) == names.end();
        if (!name.empty() && is_new) names.push_back(name);
    }
    std::string list;
    for (const std::string_view name : names) {
        list += fmt::format("{}{}", list.empty() ? "" : ", ", name);
    }
    return list;
}

const Family& family_of_gguf(const io::GgufMetadata& metadata) {
    for (const Family& family : families()) {
        if (is_of(family.gguf, metadata)) return family;
    }
    fail(ErrorCode::Unsupported, "{} is \"{}\", and this version reads GGUF files of {}",
         metadata.place("general.architecture"),
         io::printable(metadata.text("general.architecture")), known_architectures());
}

io::Json config_of(const io::GgufFile& file, const Family& family) {
    io::Json config = io::Json::Object{
        {"architectures", io::Json::Array{std::string(family.architectures.front())}},
        {"model_type", std::string(family.name)}};
    io::Json common = common_gguf_fields(file);
    for (auto& [key, value] : common.as_object()) config.set(key, std::move(value));
    if (!family.gguf.has_experts) refuse_gguf_experts(file);
    if (family.gguf.add_fields != nullptr) family.gguf.add_fields(file, config);
    // Written and read once, so that messages about its values say where they come from.
    return io::Json::parse(config.dump(-1), file.path() + " as config.json");
}

}  // namespace

GgufModel open_gguf_model(const std::string& path) {
    io::GgufFile file(path);
    refuse_parts(file.metadata());
    const Family& family = family_of_gguf(file.metadata());
    io::Json config = config_of(file, family);
    auto tensors = gguf_tensors(std::move(file), family, read_folder_config(config).model);
    return {std::move(config), io::Checkpoint::of_file(std::move(tensors))};
}

}  // namespace quarot::folder

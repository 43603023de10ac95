// The commands are those of the transformers package, which reads all these files.
#include "tokenizer/missing_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "io/file_listing.h"
#include "io/limits.h"
#include "io/text.h"

namespace quarot::tokenizer {
namespace {

std::vector<std::string> names_in(const std::string& folder) {
    std::vector<std::string> names;
    std::error_code failed;
    for (std::filesystem::directory_iterator at(folder, failed), end; !failed && at != end;
         at.increment(failed)) {
        names.push_back(at->path().filename().string());
        if (names.size() == limits::kFolderEntries) break;
    }
    std::sort(names.begin(), names.end());
    return names;
}

// Whether a name may stand in a command that people copy: shells and Python read it as it is.
bool is_harmless(std::string_view name) {
    const auto is_plain = [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
               c == '.' || c == '_' || c == '-';
    };
    return !name.starts_with('-') && std::all_of(name.begin(), name.end(), is_plain);
}

// The command names no folder, so that nobody's name for one gets into a shell.
std::string conversion(const std::string& more = {}) {
    return fmt::format(
        "make one in that folder with: python -c \"from transformers import AutoTokenizer; "
        "AutoTokenizer.from_pretrained('.'{}).save_pretrained('.')\"",
        more);
}

// What to do about a folder with this file, or nothing if the file is no tokenizer.
std::string advice(std::string_view name) {
    if (name == "tokenizer.model" || name == "vocab.json" || name == "tokenizer.tiktoken") {
        return conversion();
    }
    if (name.ends_with(".gguf")) {
        if (is_harmless(name)) return conversion(fmt::format(", gguf_file='{}'", name));
        return "make one with AutoTokenizer of the transformers package, which reads that file as "
               "its gguf_file";
    }
    if (name.starts_with("tok") && name.ends_with(".bin")) {
        return "a vocabulary without merges cannot be converted, so put the tokenizer.model it was "
               "made from beside it and " +
               conversion();
    }
    return {};
}

}  // namespace

void refuse_other_tokenizer_files(const std::string& folder) {
    if (io::is_listed((std::filesystem::path(folder) / "tokenizer.json").string())) return;
    const std::vector<std::string> names = names_in(folder);
    // A .bin file says least about what to do, so it comes last.
    for (bool bin : {false, true}) {
        for (const std::string& name : names) {
            const std::string what_to_do = advice(name);
            if (what_to_do.empty() || name.ends_with(".bin") != bin) continue;
            fail(ErrorCode::Unsupported,
                 "{}: there is {} but no tokenizer.json, which is needed; {}",
                 io::printable(folder), io::printable(name), what_to_do);
        }
    }
}

}  // namespace quarot::tokenizer

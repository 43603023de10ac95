#include "io/model_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <string_view>

#include "core/error.h"
#include "core/limits.h"
#include "io/text.h"

namespace quarot::io {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 3> kWeightEndings = {".safetensors", ".gguf", ".ggml"};
constexpr std::array<std::string_view, 6> kOtherEndings = {".gguf", ".ggml", ".bin",
                                                           ".pt",   ".pth",  ".ckpt"};

bool is_there(const fs::path& path) {
    std::error_code error;
    return fs::exists(path, error);
}

template <size_t size>
bool ends_in(const fs::path& path, const std::array<std::string_view, size>& endings) {
    return std::find(endings.begin(), endings.end(), path.extension().string()) != endings.end();
}

// The first in order of names, or empty.
fs::path other_weights_in(const std::string& folder) {
    fs::path first;
    size_t seen = 0;
    std::error_code error;
    for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
        const fs::path name = it->path().filename();
        if (ends_in(name, kOtherEndings) && (first.empty() || name < first)) first = name;
        if (++seen == limits::kFolderEntries) break;
    }
    return first;
}

// In words without the file's name, which is for nobody's shell or Python to read.
std::string conversion_of(const fs::path& name) {
    const bool is_gguf = name.extension() == ".gguf";
    return fmt::format(
        "convert the model first with the transformers package: "
        "AutoModelForCausalLM.from_pretrained(FOLDER{0}).save_pretrained(OUT){1}",
        is_gguf ? ", gguf_file=NAME" : "", is_gguf ? ", and the same with AutoTokenizer" : "");
}

}  // namespace

void expect_folder(const std::string& path) {
    std::error_code error;
    if (fs::is_directory(path, error)) return;
    const fs::path name = fs::path(path).filename();
    if (is_there(path) && ends_in(name, kWeightEndings)) {
        fail(ErrorCode::Unsupported,
             "{} is a file, expected the folder of a model: config.json, tokenizer.json and "
             "weights in safetensors; {}",
             printable(path),
             name.extension() == ".safetensors" ? "give the folder that it is in"
                                                : conversion_of(name));
    }
    fail(ErrorCode::NotFound, "{} is not a folder that can be read, expected a model folder",
         printable(path));
}

void refuse_other_weights(const std::string& folder) {
    const fs::path base(folder);
    if (is_there(base / kShardIndexName) || is_there(base / kWeightsName)) return;
    const fs::path other = other_weights_in(folder);
    if (other.empty()) return;
    fail(ErrorCode::Unsupported,
         "{} holds {} and no safetensors, which is the only format read; {}", printable(folder),
         printable(other.string()), conversion_of(other));
}

}  // namespace quarot::io

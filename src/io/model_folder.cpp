// People bring what the hub offers: a lone .gguf file, pickled weights, weights under other names.
#include "io/model_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <string_view>

#include "core/error.h"
#include "core/log.h"
#include "io/file_listing.h"
#include "io/limits.h"
#include "io/text.h"

namespace quarot::io {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kOurEnding = ".safetensors";
constexpr const char* kAdapterConfig = "adapter_config.json";
constexpr std::string_view kGgufEnding = ".gguf";
constexpr std::array<std::string_view, 5> kForeignEndings = {".ggml", ".bin", ".pt", ".pth",
                                                             ".ckpt"};
// What training leaves beside the weights.
constexpr std::array<std::string_view, 6> kNoWeights = {"training_args.bin", "optimizer.bin",
                                                        "optimizer.pt",      "scheduler.bin",
                                                        "scheduler.pt",      "rng_state.pth"};

bool is_there(const fs::path& path) {
    std::error_code error;
    return fs::exists(path, error);
}

template <size_t size>
bool is_one_of(const std::array<std::string_view, size>& list, const fs::path& name) {
    return std::find(list.begin(), list.end(), name.string()) != list.end();
}

bool is_ours(const fs::path& name) {
    return name.extension() == kOurEnding;
}

bool is_gguf(const fs::path& name) {
    return name.extension() == kGgufEnding;
}

bool is_foreign(const fs::path& name) {
    return is_one_of(kForeignEndings, name.extension()) && !is_one_of(kNoWeights, name);
}

// The first in order of names, or empty.
fs::path first_in(const std::string& folder, bool (*is_wanted)(const fs::path&)) {
    fs::path first;
    size_t seen = 0;
    std::error_code error;
    for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
        const fs::path name = it->path().filename();
        if (is_wanted(name) && (first.empty() || name < first)) first = name;
        if (++seen == limits::kFolderEntries) break;
    }
    return first;
}

constexpr std::string_view kConversion =
    "convert the model first with the transformers package: "
    "AutoModelForCausalLM.from_pretrained(FOLDER).save_pretrained(OUT)";

void refuse_adapter(const std::string& folder) {
    if (!is_listed((fs::path(folder) / kAdapterConfig).string())) return;
    fail(
        ErrorCode::Unsupported,
        "{} holds an adapter ({}) and no model of its own; merge it into its base model first with "
        "the peft package: AutoPeftModelForCausalLM.from_pretrained(FOLDER).merge_and_unload()"
        ".save_pretrained(OUT), and put the base model's tokenizer files into OUT",
        printable(folder), kAdapterConfig);
}

// What the hub's clients keep: models--OWNER--NAME/snapshots/REVISION.
void refuse_cache_of_hub(const std::string& folder) {
    std::error_code error;
    if (!fs::is_directory(fs::path(folder) / "snapshots", error)) return;
    fail(
        ErrorCode::NotFound,
        "{} is a cache of the hub, expected the folder of one version, which lies in its snapshots",
        printable(folder));
}

}  // namespace

void expect_folder(const std::string& path) {
    std::error_code error;
    if (fs::is_directory(path, error)) return;
    const fs::path name = fs::path(path).filename();
    if (is_there(path) && (is_ours(name) || is_foreign(name))) {
        fail(ErrorCode::Unsupported,
             "{} is a file, expected the folder of a model: config.json, tokenizer.json and "
             "weights in safetensors; {}",
             printable(path), is_ours(name) ? "give the folder that it is in" : kConversion);
    }
    fail(ErrorCode::NotFound, "{} is not a folder that can be read, expected a model folder",
         printable(path));
}

void refuse_other_weights(const std::string& folder) {
    const fs::path base(folder);
    for (const char* name : {kShardIndexName, kWeightsName}) {
        if (is_listed((base / name).string())) return;
    }
    refuse_adapter(folder);
    refuse_cache_of_hub(folder);
    if (const fs::path ours = first_in(folder, is_ours); !ours.empty()) {
        fail(ErrorCode::NotFound,
             "{} holds {}, but neither {} nor {}, which names the shards; is this a folder as the "
             "transformers "
             "package writes it?",
             printable(folder), printable(ours.string()), kWeightsName, kShardIndexName);
    }
    if (const fs::path gguf = first_in(folder, is_gguf); !gguf.empty()) {
        fail(ErrorCode::Unsupported,
             "{} holds {} and no safetensors; give that file itself in place of the folder",
             printable(folder), printable(gguf.string()));
    }
    const fs::path other = first_in(folder, is_foreign);
    if (other.empty()) return;
    fail(ErrorCode::Unsupported,
         "{} holds {} and no safetensors, which is the only format read; {}", printable(folder),
         printable(other.string()), kConversion);
}

bool reads_single_file(const std::string& folder) {
    const fs::path base(folder);
    if (is_there(base / kWeightsName)) return true;
    return is_listed((base / kWeightsName).string()) &&
           !is_listed((base / kShardIndexName).string());
}

void warn_of_adapter(const std::string& folder) {
    if (!is_listed((fs::path(folder) / kAdapterConfig).string())) return;
    log_warning("{} holds an adapter ({}) beside its weights; it is not applied", folder,
                kAdapterConfig);
}

}  // namespace quarot::io

// The list of families, and the choice of one by a config.json's "architectures".
#include <algorithm>
#include <vector>

#include "core/error.h"
#include "folder/families/family.h"
#include "folder/stored_names.h"
#include "io/text.h"

namespace quarot::folder {

extern const Family kLlamaFamily, kMistralFamily, kQwen2Family, kQwen3Family, kPhi3Family,
    kMixtralFamily, kQwen3MoeFamily, kGemmaFamily, kGemma2Family, kGemma3Family, kSmolLm3Family,
    kGraniteFamily, kOlmo2Family, kOptFamily, kGptNeoxFamily, kStarcoder2Family, kStablelmFamily,
    kCohereFamily;

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

std::vector<RowRun> runs_of(const TensorSlice& slice, int64_t first, int64_t n) {
    std::vector<RowRun> runs;
    for (int64_t r = first; r < first + n;) {
        const int64_t left = slice.block == 0 ? n : slice.block - r % slice.block;
        const int64_t count = std::min(left, first + n - r);
        const int64_t row = slice.row(r);
        const bool follows = !runs.empty() && runs.back().first + runs.back().count == row;
        if (follows) {
            runs.back().count += count;
        } else {
            runs.push_back({row, count});
        }
        r += count;
    }
    return runs;
}

TensorSlice whole_tensor(const model::LinearId& id, const model::ModelConfig&) {
    return {.name = linear_name(id)};
}

std::span<const Family> families() {
    static const std::vector<Family> kFamilies = {
        kLlamaFamily,      kMistralFamily,  kQwen2Family, kQwen3Family,  kPhi3Family,
        kMixtralFamily,    kQwen3MoeFamily, kGemmaFamily, kGemma2Family, kGemma3Family,
        kSmolLm3Family,    kGraniteFamily,  kOlmo2Family, kOptFamily,    kGptNeoxFamily,
        kStarcoder2Family, kStablelmFamily, kCohereFamily};
    return kFamilies;
}

const Family& family_of(const io::Json& config) {
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
    // Beside an architecture of ours it is the same network, written by the model's makers.
    if (const io::Json* code = config.find("auto_map")) {
        fail(ErrorCode::Unsupported,
             "{} asks for code of the model's own for \"{}\", which is never run; supported are "
             "plain {}",
             code->place(), io::printable(wanted), supported_architectures());
    }
    fail(ErrorCode::Unsupported, "{} is \"{}\", and this version supports {}",
         architectures.place(), io::printable(wanted), supported_architectures());
}

}  // namespace quarot::folder

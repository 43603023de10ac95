// The patterns are those of the models' own tokenizer.json.
#include "tokenizer/gguf_pretokenizers.h"

#include <fmt/format.h>

#include <array>
#include <string>

#include "core/error.h"
#include "io/text.h"

namespace quarot::tokenizer {
namespace {

constexpr std::string_view kKey = "tokenizer.ggml.pre";

constexpr std::string_view kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kGpt4o =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kTekken =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

constexpr std::array kKnown = {
    GgufPreTokenizer{.name = "gpt-2"},
    GgufPreTokenizer{.name = "phi-2"},
    GgufPreTokenizer{.name = "mpt", .composes = true},
    GgufPreTokenizer{.name = "olmo", .composes = true},
    GgufPreTokenizer{.name = "smollm", .single_digits = true},
    GgufPreTokenizer{.name = "starcoder", .single_digits = true},
    GgufPreTokenizer{.name = "refact", .single_digits = true},
    GgufPreTokenizer{.name = "command-r", .single_digits = true, .composes = true},
    GgufPreTokenizer{.name = "qwen2", .pattern = kQwen2, .composes = true},
    GgufPreTokenizer{.name = "deepseek-r1-qwen", .pattern = kQwen2},
    GgufPreTokenizer{.name = "stablelm2", .pattern = kQwen2},
    GgufPreTokenizer{
        .name = "llama-bpe", .pattern = kLlama3, .ignores_merges = true, .adds_bos = true},
    GgufPreTokenizer{
        .name = "llama3", .pattern = kLlama3, .ignores_merges = true, .adds_bos = true},
    GgufPreTokenizer{
        .name = "llama-v3", .pattern = kLlama3, .ignores_merges = true, .adds_bos = true},
    GgufPreTokenizer{.name = "smaug-bpe", .pattern = kLlama3},
    GgufPreTokenizer{.name = "dbrx", .pattern = kLlama3},
    GgufPreTokenizer{.name = "gpt-4o", .pattern = kGpt4o},
    GgufPreTokenizer{
        .name = "tekken", .pattern = kTekken, .ignores_merges = true, .adds_bos = true},
};

std::string known_names() {
    std::string list;
    for (const GgufPreTokenizer& known : kKnown) {
        list += fmt::format("{}{}", list.empty() ? "" : ", ", known.name);
    }
    return list;
}

}  // namespace

const GgufPreTokenizer& gguf_pretokenizer(const io::GgufMetadata& metadata) {
    const std::string* name = metadata.find_text(kKey);
    for (const GgufPreTokenizer& known : kKnown) {
        if (name != nullptr && known.name == *name) return known;
    }
    fail(ErrorCode::Unsupported,
         "{} is {}, and the pre-tokenizers that this version knows are {}; take the model's folder "
         "with its tokenizer.json",
         metadata.place(kKey),
         name == nullptr ? "missing" : fmt::format("\"{}\"", io::printable(*name, 40)),
         known_names());
}

}  // namespace quarot::tokenizer

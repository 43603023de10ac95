// Both kinds are written as the tokenizers package writes BPE.
#include "tokenizer/gguf_tokenizer.h"

#include <array>
#include <optional>
#include <string_view>
#include <utility>

#include "core/error.h"
#include "io/json.h"
#include "io/text.h"
#include "tokenizer/gguf_pretokenizers.h"
#include "tokenizer/gguf_scored_merges.h"
#include "tokenizer/gguf_vocabulary.h"

namespace quarot::tokenizer {
namespace {

using io::Json;

constexpr std::string_view kModel = "tokenizer.ggml.model";
constexpr const char* kMark = "\u2581";  // what stands for a space

Json::Object typed(const char* type) {
    return {{"type", type}};
}

Json byte_level(bool use_regex) {
    return Json::Object{{"type", "ByteLevel"},
                        {"add_prefix_space", false},
                        {"trim_offsets", true},
                        {"use_regex", use_regex}};
}

Json replace(const char* from, const char* to) {
    return Json::Object{
        {"type", "Replace"}, {"pattern", Json::Object{{"String", from}}}, {"content", to}};
}

// Phi-3's tokens swallow the white space behind them, but for three; files do not say so.
bool strips_behind(const io::GgufMetadata& metadata, const std::string& token) {
    const std::string* architecture = metadata.find_text("general.architecture");
    return architecture != nullptr && *architecture == "phi3" && token != "<unk>" &&
           token != "<s>" && token != "<|endoftext|>";
}

Json added_tokens(const GgufVocabulary& vocabulary, const auto& strips) {
    Json::Array added;
    for (size_t id = 0; id < vocabulary.tokens().size(); ++id) {
        if (!vocabulary.is_added(id)) continue;
        const std::string& text = vocabulary.tokens()[id];
        added.emplace_back(
            Json::Object{{"id", static_cast<int64_t>(id)},
                         {"content", text},
                         {"single_word", false},
                         {"lstrip", false},
                         {"rstrip", strips(text)},
                         {"normalized", false},
                         {"special", vocabulary.kind(id) != TokenKind::UserDefined}});
    }
    return added;
}

// Token and id of those that `belongs` takes; texts that are empty stand for nothing.
Json vocab(const GgufVocabulary& vocabulary, const auto& belongs) {
    Json::Object entries;
    for (size_t id = 0; id < vocabulary.tokens().size(); ++id) {
        const std::string& text = vocabulary.tokens()[id];
        if (!text.empty() && belongs(id)) entries.emplace_back(text, static_cast<int64_t>(id));
    }
    return entries;
}

// Puts bos in front of a text and eos behind it, where the file wants them.
Json post_processor(const GgufVocabulary& vocabulary, bool bos_otherwise) {
    Json::Array single;
    Json special = Json::Object{};
    const auto add = [&](std::string_view name, bool otherwise) {
        const std::optional<size_t> id = vocabulary.named(name);
        if (!id || !vocabulary.adds(name, otherwise)) return;
        const std::string& text = vocabulary.tokens()[*id];
        single.emplace_back(
            Json::Object{{"SpecialToken", Json::Object{{"id", text}, {"type_id", 0}}}});
        special.set(text, Json::Object{{"id", text},
                                       {"ids", Json::Array{static_cast<int64_t>(*id)}},
                                       {"tokens", Json::Array{text}}});
    };
    add("bos", bos_otherwise);
    single.emplace_back(Json::Object{{"Sequence", Json::Object{{"id", "A"}, {"type_id", 0}}}});
    add("eos", false);
    if (single.size() == 1) return {};
    Json::Object json = typed("TemplateProcessing");
    json.emplace_back("single", std::move(single));
    json.emplace_back("pair", Json::Array{});
    json.emplace_back("special_tokens", std::move(special));
    return json;
}

Json byte_level_pretokenizer(const GgufPreTokenizer& pre) {
    Json::Array steps;
    if (pre.single_digits) {
        steps.emplace_back(Json::Object{{"type", "Digits"}, {"individual_digits", true}});
    }
    if (!pre.pattern.empty()) {
        steps.emplace_back(
            Json::Object{{"type", "Split"},
                         {"pattern", Json::Object{{"Regex", std::string(pre.pattern)}}},
                         {"behavior", "Isolated"},
                         {"invert", false}});
    }
    steps.push_back(byte_level(pre.pattern.empty()));
    return Json::Object{{"type", "Sequence"}, {"pretokenizers", std::move(steps)}};
}

Json byte_level_bpe(const io::GgufMetadata& metadata) {
    const GgufPreTokenizer& pre = gguf_pretokenizer(metadata);
    const GgufVocabulary vocabulary(metadata);
    // What is unused fills up a vocabulary, and stands for no text.
    const auto in_model = [&](size_t id) {
        const TokenKind kind = vocabulary.kind(id);
        return kind == TokenKind::Normal || kind == TokenKind::UserDefined;
    };
    const std::vector<std::string>& merges = metadata.texts("tokenizer.ggml.merges");
    const auto never = [](const std::string&) { return false; };
    return Json::Object{
        {"version", "1.0"},
        {"truncation", Json()},
        {"padding", Json()},
        {"added_tokens", added_tokens(vocabulary, never)},
        {"normalizer", pre.composes ? Json(typed("NFC")) : Json()},
        {"pre_tokenizer", byte_level_pretokenizer(pre)},
        {"post_processor", post_processor(vocabulary, pre.adds_bos)},
        {"decoder", byte_level(true)},
        {"model", Json::Object{{"type", "BPE"},
                               {"dropout", Json()},
                               {"unk_token", Json()},
                               {"continuing_subword_prefix", Json()},
                               {"end_of_word_suffix", Json()},
                               {"fuse_unk", false},
                               {"byte_fallback", false},
                               {"ignore_merges", pre.ignores_merges},
                               {"vocab", vocab(vocabulary, in_model)},
                               {"merges", Json::Array(merges.begin(), merges.end())}}}};
}

// Spaces become marks, and a text begins with one where `prefixes`.
Json space_normalizer(bool prefixes) {
    Json::Array steps;
    if (prefixes) steps.emplace_back(Json::Object{{"type", "Prepend"}, {"prepend", kMark}});
    steps.push_back(replace(" ", kMark));
    return Json::Object{{"type", "Sequence"}, {"normalizers", std::move(steps)}};
}

Json space_decoder(bool prefixes) {
    Json::Array steps = {replace(kMark, " "), typed("ByteFallback"), typed("Fuse")};
    if (prefixes) {
        steps.emplace_back(
            Json::Object{{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
    }
    return Json::Object{{"type", "Sequence"}, {"decoders", std::move(steps)}};
}

Json scored_bpe(const io::GgufMetadata& metadata) {
    const GgufVocabulary vocabulary(metadata);
    const std::optional<size_t> unknown = vocabulary.named("unknown");
    const auto in_model = [&](size_t id) { return !vocabulary.is_added(id) || id == unknown; };
    bool has_bytes = false;
    for (size_t id = 0; id < vocabulary.tokens().size(); ++id) {
        has_bytes = has_bytes || vocabulary.kind(id) == TokenKind::Byte;
    }
    Json::Array merges;
    for (auto& [left, right] : scored_merges(vocabulary, metadata)) {
        merges.emplace_back(Json::Array{std::move(left), std::move(right)});
    }
    const bool prefixes = metadata.find_flag("tokenizer.ggml.add_space_prefix").value_or(true);
    const auto strips = [&](const std::string& token) { return strips_behind(metadata, token); };
    return Json::Object{
        {"version", "1.0"},
        {"truncation", Json()},
        {"padding", Json()},
        {"added_tokens", added_tokens(vocabulary, strips)},
        {"normalizer", space_normalizer(prefixes)},
        {"pre_tokenizer", Json()},
        {"post_processor", post_processor(vocabulary, true)},
        {"decoder", space_decoder(prefixes)},
        {"model",
         Json::Object{{"type", "BPE"},
                      {"dropout", Json()},
                      {"unk_token", unknown ? Json(vocabulary.tokens()[*unknown]) : Json()},
                      {"continuing_subword_prefix", Json()},
                      {"end_of_word_suffix", Json()},
                      {"fuse_unk", true},
                      {"byte_fallback", has_bytes},
                      {"ignore_merges", false},
                      {"vocab", vocab(vocabulary, in_model)},
                      {"merges", std::move(merges)}}}};
}

void name_tokens(const GgufVocabulary& vocabulary, Json& config) {
    constexpr std::array<std::pair<const char*, const char*>, 4> kNamed = {
        {{"bos_token", "bos"},
         {"eos_token", "eos"},
         {"unk_token", "unknown"},
         {"pad_token", "padding"}}};
    for (const auto& [key, name] : kNamed) {
        const std::optional<size_t> id = vocabulary.named(name);
        if (id) config.set(key, vocabulary.tokens()[*id]);
    }
}

}  // namespace

bool has_vocabulary(const io::GgufMetadata& metadata) {
    return metadata.contains(kModel);
}

std::string gguf_tokenizer_json(const io::GgufMetadata& metadata) {
    if (!has_vocabulary(metadata)) {
        fail(ErrorCode::NotFound, "{} has no vocabulary ({})", metadata.source(), kModel);
    }
    const std::string& model = metadata.text(kModel);
    if (model == "gpt2") return byte_level_bpe(metadata).dump(-1);
    if (model == "llama") return scored_bpe(metadata).dump(-1);
    fail(ErrorCode::Unsupported,
         "{} is \"{}\", and this version reads \"gpt2\" (byte-level BPE) and \"llama\" "
         "(SentencePiece's BPE)",
         metadata.place(kModel), io::printable(model, 40));
}

std::string gguf_tokenizer_config(const io::GgufMetadata& metadata) {
    Json config = Json::Object{{"tokenizer_class", "PreTrainedTokenizerFast"},
                               {"clean_up_tokenization_spaces", false}};
    if (has_vocabulary(metadata)) name_tokens(GgufVocabulary(metadata), config);
    if (const std::string* text = metadata.find_text("tokenizer.chat_template")) {
        config.set("chat_template", *text);
    }
    return config.dump();
}

}  // namespace quarot::tokenizer

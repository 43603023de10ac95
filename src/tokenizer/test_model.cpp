// The files are written to a folder because that is the only door of a Tokenizer.
#include "tokenizer/test_model.h"

#include <fstream>

#include "support/temp_dir.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/byte_token.h"

namespace quarot::tokenizer::test {
namespace {

using Merges = std::vector<std::pair<std::string, std::string>>;

void add_merges(const Merges& merges, io::Json& model) {
    io::Json vocab = model.at("vocab");
    io::Json list{io::Json::Array{}};
    for (const auto& [left, right] : merges) {
        const auto next = static_cast<int64_t>(vocab.as_object().size());
        if (!vocab.contains(left + right)) vocab.set(left + right, next);
        list.push_back(io::Json::Array{left, right});
    }
    model.set("vocab", vocab);
    model.set("merges", list);
}

io::Json with_added_tokens(io::Json json, const std::vector<std::string>& contents) {
    io::Json tokens{io::Json::Array{}};
    for (const std::string& content : contents) {
        const int64_t id = json.at("model").at("vocab").at(content).as_int();
        tokens.push_back(added_token(content, static_cast<int32_t>(id)));
    }
    json.set("added_tokens", tokens);
    return json;
}

}  // namespace

io::Json parse(std::string_view text) {
    return io::Json::parse(text, "tokenizer.json");
}

io::Json byte_level_model(const Merges& merges) {
    io::Json vocab{io::Json::Object{}};
    for (int byte = 0; byte < 256; ++byte) {
        vocab.set(std::string(character_of_byte(static_cast<uint8_t>(byte))), byte);
    }
    io::Json model = parse(R"({"type": "BPE", "dropout": null, "unk_token": null})");
    model.set("vocab", vocab);
    add_merges(merges, model);
    vocab = model.at("vocab");
    vocab.set("<s>", static_cast<int64_t>(vocab.as_object().size()));
    model.set("vocab", vocab);
    io::Json json = parse(R"({"version": "1.0", "normalizer": null, "post_processor": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
        "decoder": {"type": "ByteLevel"}})");
    json.set("model", model);
    return with_added_tokens(json, {"<s>"});
}

io::Json metaspace_model(const std::vector<std::string>& characters, const Merges& merges) {
    io::Json vocab = parse(R"({"<unk>": 0, "<s>": 1, "</s>": 2})");
    for (int byte = 0; byte < 256; ++byte) {
        vocab.set(byte_token(static_cast<uint8_t>(byte)), 3 + byte);
    }
    for (const std::string& character : characters) {
        vocab.set(character, static_cast<int64_t>(vocab.as_object().size()));
    }
    io::Json model = parse(R"({"type": "BPE", "unk_token": "<unk>", "fuse_unk": true,
        "byte_fallback": true})");
    model.set("vocab", vocab);
    add_merges(merges, model);
    io::Json json = parse(R"({"version": "1.0", "pre_tokenizer": null, "post_processor": null,
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}})");
    json.set("model", model);
    return with_added_tokens(json, {"<unk>", "<s>", "</s>"});
}

io::Json added_token(const std::string& content, int32_t id) {
    io::Json token = parse(R"({"single_word": false, "lstrip": false, "rstrip": false,
        "normalized": false, "special": true})");
    token.set("content", content);
    token.set("id", id);
    return token;
}

void write(const std::string& path, std::string_view text) {
    std::ofstream(path, std::ios::binary) << text;
}

Tokenizer load(const io::Json& json, std::string_view config) {
    const quarot::test::TempDir folder;
    write(folder / "tokenizer.json", json.dump());
    write(folder / "tokenizer_config.json", config);
    return Tokenizer::load(folder.path());
}

}  // namespace quarot::tokenizer::test

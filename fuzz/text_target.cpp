// Any bytes through four tokenizers of the common kinds, encoded as text and decoded as ids.
#include <cstring>
#include <memory>

#include "core/error.h"
#include "fuzz/target.h"
#include "io/json.h"
#include "io/utf8.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/byte_token.h"
#include "tokenizer/tokenizer.h"

namespace quarot::fuzz {
namespace {

struct Subject {
    std::unique_ptr<tokenizer::Tokenizer> tokenizer;
    bool lossless;  // valid text comes back as it was
};

io::Json byte_vocabulary() {
    io::Json vocab = io::Json::Object{};
    for (int byte = 0; byte < 256; ++byte) {
        vocab.set(std::string(tokenizer::character_of_byte(static_cast<uint8_t>(byte))), byte);
    }
    return vocab;
}

io::Json spaced_vocabulary() {
    io::Json vocab = io::Json::Object{{"<unk>", 0}};
    for (int byte = 0; byte < 256; ++byte) {
        vocab.set(tokenizer::byte_token(static_cast<uint8_t>(byte)), 1 + byte);
    }
    return vocab;
}

// Adds the parts of the merges and their results to the vocabulary.
io::Json model(io::Json vocab, const std::vector<std::pair<std::string, std::string>>& merges,
               const std::string& more) {
    io::Json json = io::Json::parse(R"({"type":"BPE")" + more + "}", "model");
    io::Json list = io::Json::Array{};
    for (const auto& [left, right] : merges) {
        for (const std::string& token : {left, right, left + right}) {
            if (vocab.contains(token)) continue;
            vocab.set(token, static_cast<int64_t>(vocab.as_object().size()));
        }
        list.push_back(io::Json::Array{left, right});
    }
    json.set("vocab", std::move(vocab));
    json.set("merges", std::move(list));
    return json;
}

Subject subject(io::Json model, const std::string& sections, bool lossless) {
    const auto next = static_cast<int64_t>(model.at("vocab").as_object().size());
    io::Json json = io::Json::parse("{" + sections + "}", "tokenizer.json");
    io::Json tokens = io::Json::Array{};
    for (const char* content : {"<s>", "<|end|>", "ab"}) {
        tokens.push_back(io::Json::Object{{"id", next + std::ssize(tokens.as_array())},
                                          {"content", content},
                                          {"special", content[0] == '<'},
                                          {"single_word", content[0] == 'a'},
                                          {"lstrip", false},
                                          {"rstrip", false},
                                          {"normalized", false}});
    }
    json.set("added_tokens", std::move(tokens));
    json.set("model", std::move(model));
    try {
        return {std::make_unique<tokenizer::Tokenizer>(tokenizer::Tokenizer::from_json(json)),
                lossless};
    } catch (const Error& error) {
        throw Finding(error.what());  // else every input would count as refused
    }
}

const std::vector<Subject>& subjects() {
    static const std::vector<Subject> kSubjects = [] {
        const std::vector<std::pair<std::string, std::string>> merges = {
            {"t", "h"}, {"th", "e"}, {"Ġ", "the"}, {"a", "a"}, {"aa", "aa"}, {"Ã", "©"}};
        const std::string bytes = R"("decoder":{"type":"ByteLevel"},"pre_tokenizer":)";
        std::vector<Subject> all;
        all.push_back(subject(model(byte_vocabulary(), merges, ""),
                              bytes + R"({"type":"ByteLevel","add_prefix_space":false})", true));
        const auto split = [&](const std::string& pattern) {
            return bytes +
                   R"({"type":"Sequence","pretokenizers":[{"type":"Split","pattern":)"
                   R"({"Regex":")" +
                   pattern +
                   R"("},"behavior":"Isolated","invert":false},{"type":"ByteLevel",)"
                   R"("add_prefix_space":false,"use_regex":false}]})";
        };
        all.push_back(subject(
            model(byte_vocabulary(), merges, R"(,"ignore_merges":true)"),
            split(R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|)"
                  R"( ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+)"),
            true));
        all.push_back(subject(model(byte_vocabulary(), merges, ""),
                              split(R"(\\p{Lu}+\\p{Ll}*|[aeiou]+(?=x)|\\s+)"), true));
        all.push_back(subject(
            model(spaced_vocabulary(), {{"▁", "t"}, {"▁t", "h"}, {"▁", "▁"}, {"b", "c"}},
                  R"(,"unk_token":"<unk>","byte_fallback":true,"fuse_unk":true)"),
            R"("normalizer":{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"▁"},)"
            R"({"type":"Replace","pattern":{"String":" "},"content":"▁"}]},)"
            R"("decoder":{"type":"Sequence","decoders":[{"type":"Replace","pattern":)"
            R"({"String":"▁"},"content":" "},{"type":"ByteFallback"},{"type":"Fuse"},)"
            R"({"type":"Strip","content":" ","start":1,"stop":0}]})",
            false));
        return all;
    }();
    return kSubjects;
}

void check_encoding(const Subject& subject, std::string_view text) {
    const std::vector<int32_t> ids = subject.tokenizer->encode(text);
    for (const int32_t id : ids) {
        expect(id >= 0 && id < subject.tokenizer->vocabulary_size(), "an id beyond the vocabulary");
    }
    const std::string decoded = subject.tokenizer->decode(ids, false);
    expect(io::first_non_utf8(decoded) == decoded.size(), "a text decodes to no text");
    const bool valid = io::first_non_utf8(text) == text.size();
    expect(!subject.lossless || !valid || decoded == text, "a text does not come back");
}

// The bytes as ids, two bytes each, some of them beyond the vocabulary.
void check_decoding(const Subject& subject, std::string_view bytes) {
    std::vector<int32_t> ids;
    for (; bytes.size() >= 2; bytes.remove_prefix(2)) {
        uint16_t id = 0;
        std::memcpy(&id, bytes.data(), sizeof(id));
        ids.push_back(static_cast<int32_t>(id % (subject.tokenizer->vocabulary_size() + 2)));
    }
    std::string streamed;
    tokenizer::StreamDecoder stream(*subject.tokenizer, false);
    for (const int32_t id : ids) {
        const std::string piece = stream.put(id);
        expect(io::first_non_utf8(piece) == piece.size(), "a piece ends within a character");
        streamed += piece;
    }
    streamed += stream.finish();
    expect(streamed == subject.tokenizer->decode(ids, false), "streaming decodes otherwise");
}

void run(std::string_view input) {
    if (input.empty()) return;
    const auto choice = static_cast<unsigned char>(input.front());
    const Subject& chosen = subjects()[choice % subjects().size()];
    input.remove_prefix(1);
    choice < 128 ? check_encoding(chosen, input) : check_decoding(chosen, input);
}

std::vector<std::string> seeds() {
    std::vector<std::string> seeds;
    const std::vector<std::string> texts = {
        "",
        "the theatre aaaaaaaa 12345 don't",
        "\n\n  \r\n\t<s>ab abab<|end|><|end",
        "\xc3\xa9\xf0\x9f\x98\x80 \xe4\xb8\xad\xe6\x96\x87 \xd9\x85\xd8\xb1",
        "\xff\xc0\xaf\xed\xa0\x80 \xe2\x82",
        std::string(200, ' '),
        std::string(200, 'a'),
        std::string("\0\x01\x7f", 3)};
    for (const std::string& text : texts) {
        for (int tokenizer = 0; tokenizer < 4; ++tokenizer) {
            seeds.push_back(static_cast<char>(tokenizer) + text);
            seeds.push_back(static_cast<char>(128 + tokenizer) + text);
        }
    }
    return seeds;
}

std::vector<std::string> words() {
    return {"<s>",          "<|end|>",      "ab",       "the",      " the",
            "'s",           "'LL",          "\r\n",     "\xc3\xa9", "\xf0\x9f\x98\x80",
            "\xe2\x96\x81", "\xe3\x80\x80", "\xcc\x81", "\xff",     "123",
            "AEx"};
}

}  // namespace

constinit const Target kTextTarget = {
    .name = "text", .run = run, .seeds = seeds, .words = words, .max_bytes = 256};

}  // namespace quarot::fuzz

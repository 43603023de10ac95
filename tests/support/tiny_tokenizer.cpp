// The smallest tokenizer.json that encodes every text: one token a byte.
#include <string>

#include "support/tiny_model.h"

namespace quarot::test {

namespace {

// Byte-level tokenizers write a byte as one printable character: itself where it prints, else the
// next unused code point from 256 on.
std::string symbol_of_byte(int byte) {
    const auto prints = [](int b) {
        return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || (b >= 174 && b <= 255);
    };
    int code_point = byte;
    if (!prints(byte)) {
        code_point = 256;
        for (int b = 0; b < byte; ++b) code_point += prints(b) ? 0 : 1;
    }
    if (code_point < 0x80) return std::string(1, static_cast<char>(code_point));
    return {static_cast<char>(0xC0 | (code_point >> 6)),
            static_cast<char>(0x80 | (code_point & 0x3F))};
}

io::Json special_token(int id, const char* content) {
    return io::Json::Object{{"id", id},        {"content", content}, {"single_word", false},
                            {"lstrip", false}, {"rstrip", false},    {"normalized", false},
                            {"special", true}};
}

io::Json byte_level() {
    return io::Json::Object{{"type", "ByteLevel"},
                            {"add_prefix_space", false},
                            {"trim_offsets", true},
                            {"use_regex", true}};
}

}  // namespace

std::string tiny_tokenizer_json() {
    io::Json vocab = io::Json::Object{};
    for (int byte = 0; byte < 256; ++byte) vocab.set(symbol_of_byte(byte), byte);
    const io::Json model = io::Json::Object{{"type", "BPE"},
                                            {"dropout", io::Json()},
                                            {"unk_token", io::Json()},
                                            {"continuing_subword_prefix", io::Json()},
                                            {"end_of_word_suffix", io::Json()},
                                            {"fuse_unk", false},
                                            {"byte_fallback", false},
                                            {"ignore_merges", false},
                                            {"vocab", vocab},
                                            {"merges", io::Json::Array{}}};
    const io::Json json = io::Json::Object{
        {"version", "1.0"},
        {"truncation", io::Json()},
        {"padding", io::Json()},
        {"added_tokens", io::Json::Array{special_token(256, "<s>"), special_token(257, "</s>")}},
        {"normalizer", io::Json()},
        {"pre_tokenizer", byte_level()},
        {"post_processor", io::Json()},
        {"decoder", byte_level()},
        {"model", model}};
    return json.dump();
}

}  // namespace quarot::test

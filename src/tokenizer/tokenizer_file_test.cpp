// Files that are damaged or ask for what we do not have: is the answer a named error?
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/expect_error.h"
#include "support/temp_dir.h"
#include "tokenizer/limits.h"
#include "tokenizer/test_model.h"
#include "tokenizer/tokenizer.h"

namespace quarot::tokenizer {
namespace {

struct Case {
    const char* section;  // of the whole file, or of its model if it begins with "model."
    const char* value;
    const char* mention;
};

io::Json with(const Case& changed) {
    io::Json json = test::metaspace_model({"a", "b"}, {{"a", "b"}});
    const std::string section = changed.section;
    if (!section.starts_with("model.")) {
        json.set(section, test::parse(changed.value));
        return json;
    }
    io::Json model = json.at("model");
    model.set(section.substr(6), test::parse(changed.value));
    json.set("model", model);
    return json;
}

void expect_each(ErrorCode code, const std::vector<Case>& cases) {
    for (const Case& changed : cases) {
        SCOPED_TRACE(std::string(changed.section) + ": " + changed.value);
        expect_error(code, {"tokenizer.json", changed.mention}, [&] { test::load(with(changed)); });
    }
}

TEST(TokenizerFile, NoDropoutIsSpelledInTwoWays) {
    for (const char* none : {"null", "0.0", "0"}) {
        SCOPED_TRACE(none);
        test::load(with({"model.dropout", none, ""}));
    }
}

TEST(TokenizerFile, WhatWeDoNotHaveIsNamed) {
    expect_each(
        ErrorCode::Unsupported,
        {{"version", R"("2.0")", "2.0"},
         {"model.type", R"("Unigram")", "Unigram"},
         {"model", R"({"type": "WordPiece", "vocab": {}})", "WordPiece"},
         {"model.dropout", "0.1", "dropout"},
         {"model.continuing_subword_prefix", R"("##")", "##"},
         {"model.end_of_word_suffix", R"("</w>")", "</w>"},
         {"normalizer", R"({"type": "Nmt"})", "Nmt"},
         {"normalizer", R"({"type": "Sequence", "normalizers": [{"type": "StripAccents"}]})",
          "StripAccents"},
         {"normalizer", R"({"type": "Replace", "pattern": {"Regex": "(a)\\1"}, "content": ""})",
          "\\1"},
         {"pre_tokenizer", R"({"type": "UnicodeScripts"})", "UnicodeScripts"},
         {"pre_tokenizer", R"({"type": "Punctuation", "behavior": "Kept"})", "Kept"},
         {"pre_tokenizer", R"({"type": "Split", "pattern": {"Regex": "x\\K"},
                               "behavior": "Isolated", "invert": false})",
          "x\\K"},
         {"pre_tokenizer", R"({"type": "Split", "pattern": {"String": ""},
                               "behavior": "Isolated", "invert": false})",
          "String"},
         {"pre_tokenizer", R"({"type": "Sequence", "pretokenizers": [
             {"type": "ByteLevel", "add_prefix_space": false},
             {"type": "Metaspace", "replacement": "_"}]})",
          "ByteLevel"},
         {"post_processor", R"({"type": "CrossEncoder"})", "CrossEncoder"},
         {"post_processor", R"({"type": "TemplateProcessing", "single": [], "special_tokens": {}})",
          "leaves the text out"},
         {"post_processor", R"({"type": "TemplateProcessing", "special_tokens": {},
             "single": [{"Sequence": {"id": "A"}}, {"Sequence": {"id": "B"}}]})",
          "text A once"},
         {"post_processor", R"({"type": "Sequence", "processors": [
             {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A"}}]},
             {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A"}}]}]})",
          "second"},
         {"normalizer", R"({"type": "a\nb"})", "a\\x0ab"},
         {"decoder", R"({"type": "CTC"})", "CTC"}});
}

TEST(TokenizerFile, DamageIsNamedWithItsPlace) {
    expect_each(
        ErrorCode::Corrupt,
        {{"model", "[]", "model"},
         {"model", "{}", "vocab"},
         {"model.vocab", "[]", "vocab"},
         {"model.vocab", R"({"a": "0"})", "vocab"},
         {"model.vocab", R"({"a": -1})", "-1"},
         {"model.vocab", R"({"a": 1.5})", "vocab"},
         {"model.vocab", R"({"a": 4194304})", "4194304"},
         {"model.vocab", R"({"a": 0, "b": 0})", "unique"},
         {"model.merges", "null", "merges"},
         {"model.merges", R"({"a": "b"})", "merges"},
         {"model.merges", R"([1])", "merges"},
         {"model.merges", R"(["ab"])", "two parts"},
         {"model.merges", R"(["a  b"])", "two parts"},
         {"model.merges", R"([["a"]])", "parts"},
         {"model.merges", R"(["a x"])", "\"x\""},
         {"model.merges", R"(["b a"])", "\"ba\""},
         {"model.unk_token", R"("missing")", "missing"},
         {"model.fuse_unk", R"("yes")", "fuse_unk"},
         {"added_tokens", "{}", "added_tokens"},
         {"added_tokens", R"([{"id": 0}])", "content"},
         {"added_tokens", R"([{"id": 300, "content": ""}])", "content"},
         {"added_tokens", R"([{"id": -3, "content": "x"}])", "-3"},
         {"normalizer", R"({"prepend": "_"})", "type"},
         {"post_processor", R"({"type": "TemplateProcessing", "special_tokens": {},
             "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}]})",
          "<s>"},
         {"post_processor", R"({"type": "TemplateProcessing",
             "special_tokens": {"<s>": {"ids": [9999]}},
             "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}]})",
          "9999"},
         {"pre_tokenizer", R"({"type": "Metaspace", "replacement": "__"})", "replacement"},
         {"pre_tokenizer", R"({"type": "Metaspace", "replacement": "_",
                               "add_prefix_space": false})",
          "prepend_scheme"},
         {"post_processor", R"({"type": "BertProcessing", "sep": ["a", 9999],
                                "cls": ["a", 3]})",
          "9999"},
         {"post_processor", R"({"type": "RobertaProcessing", "sep": ["a", 3], "cls": ["a"]})",
          "cls"},
         {"decoder", R"({"type": "Strip", "content": "ab", "start": 1, "stop": 0})", "content"},
         {"decoder", R"({"type": "Strip", "content": "a", "start": -1, "stop": 0})", "start"}});
}

TEST(TokenizerFile, TokensThatAlmostSpellAByteAreRefused) {
    for (const char* token : {"<0x-1>", "<0xab>", "<0x+F>"}) {
        expect_error(ErrorCode::Corrupt, {token},
                     [&] { test::load(test::metaspace_model({token})); });
    }
}

TEST(TokenizerFile, LongChainsAreRefused) {
    std::string steps = R"({"type": "Prepend", "prepend": "a"})";
    for (int i = 0; i < 5; ++i) {
        steps = R"({"type": "Sequence", "normalizers": [)" + steps + "," + steps + "]}";
    }
    expect_each(ErrorCode::Unsupported, {{"normalizer", steps.c_str(), "steps"}});
}

TEST(TokenizerFile, LiteralsThatAreEmptyOrEndlessAreRefused) {
    const auto replace = [](size_t bytes) {
        return R"({"type": "Replace", "content": "x", "pattern": {"String": ")" +
               std::string(bytes, 'a') + R"("}})";
    };
    const auto split = [](size_t bytes) {
        return R"({"type": "Split", "behavior": "Isolated", "pattern": {"String": ")" +
               std::string(bytes, 'a') + R"("}})";
    };
    for (const size_t bytes : {size_t{0}, limits::kPatternBytes + 1}) {
        const std::string replaced = replace(bytes);
        const std::string cut = split(bytes);
        expect_each(ErrorCode::Unsupported, {{"normalizer", replaced.c_str(), "String"},
                                             {"decoder", replaced.c_str(), "String"},
                                             {"pre_tokenizer", cut.c_str(), "String"}});
    }
    io::Json json = test::metaspace_model({"a"});
    json.set("normalizer", test::parse(replace(limits::kPatternBytes)));
    json.set("pre_tokenizer", test::parse(split(limits::kPatternBytes)));
    test::load(json);
}

TEST(TokenizerFile, AnUnknownBosNameIsDamage) {
    expect_error(ErrorCode::Corrupt, {"tokenizer_config.json", "bos_token", "nobody"},
                 [] { test::load(test::metaspace_model({"a"}), R"({"bos_token": "nobody"})"); });
}

TEST(TokenizerFile, MissingAndForeignFilesAreNamed) {
    const quarot::test::TempDir folder;
    expect_error(ErrorCode::NotFound, {"tokenizer.json"}, [&] { Tokenizer::load(folder.path()); });
    test::write(folder / "tokenizer.model", "");
    expect_error(ErrorCode::Unsupported, {"tokenizer.model"},
                 [&] { Tokenizer::load(folder.path()); });
    test::write(folder / "tokenizer.json", "{\"model\": ");
    expect_error(ErrorCode::Corrupt, {"tokenizer.json"}, [&] { Tokenizer::load(folder.path()); });
}

}  // namespace
}  // namespace quarot::tokenizer

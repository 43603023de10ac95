// Broken tokenizer.json files, read by generate and tokenize.
#include <filesystem>

#include "e2e/broken_model.h"
#include "e2e/model_surgery.h"

namespace quarot::test {
namespace {

Damage tokenizer(std::function<void(io::Json&)> change) {
    return [=](const std::string& folder) { edit_json(folder + "/tokenizer.json", change); };
}

Damage tokenizer_model(std::function<void(io::Json&)> change) {
    return tokenizer([=](io::Json& json) {
        io::Json model = json.at("model");
        change(model);
        json.set("model", model);
    });
}

const std::vector<BrokenModel> kBrokenTokenizers = {
    {"Missing",
     [](const std::string& f) { remove_file(f + "/tokenizer.json"); },
     kNotFound,
     {"tokenizer.json"}},
    {"LinkToNowhere", link_to_nowhere("tokenizer.json"), kNotFound, {"link to ../../blobs/12ab"}},
    {"ConfigLinkToNowhere",
     link_to_nowhere("tokenizer_config.json"),
     kNotFound,
     {"tokenizer_config.json", "link to ../../blobs/12ab"}},
    {"NotJson", text_file("tokenizer.json", "<xml/>"), kCorrupt, {"tokenizer.json"}},
    {"WithoutModel", text_file("tokenizer.json", "{}"), kCorrupt, {"tokenizer.json", "model"}},
    {"ModelOfAnotherKind",
     tokenizer_model([](io::Json& m) { m.set("type", "WordPiece"); }),
     kUnsupported,
     {"WordPiece"}},
    {"MergeOfUnknownTokens",
     tokenizer_model([](io::Json& m) { m.set("merges", io::Json::Array{"zz yy"}); }),
     kCorrupt,
     {"tokenizer.json"}},
    {"TokenWithANegativeId",
     tokenizer_model([](io::Json& m) {
         m.set("vocab", io::Json::Object{{"a", -1}});
     }),
     kCorrupt,
     {"tokenizer.json"}},
    {"TwoTokensOfOneId",
     tokenizer_model([](io::Json& m) {
         m.set("vocab", io::Json::Object{{"a", 1}, {"b", 1}});
     }),
     kCorrupt,
     {"tokenizer.json"}},
    {"NormalizerUnknown",
     tokenizer([](io::Json& json) {
         json.set("normalizer", io::Json::Object{{"type", "Rot13"}});
     }),
     kUnsupported,
     {"Rot13"}},
};

Damage section(const std::string& name, const std::string& json) {
    return tokenizer([=](io::Json& whole) { whole.set(name, io::Json::parse(json, "section")); });
}

Damage in_model(const std::string& name, const std::string& json) {
    return tokenizer_model(
        [=](io::Json& model) { model.set(name, io::Json::parse(json, "section")); });
}

const std::vector<BrokenModel> kBrokenSections = {
    {"VersionUnknown", section("version", R"("2.0")"), kUnsupported, {"version", "2.0"}},
    {"VersionIsANumber", section("version", "1"), kCorrupt, {"version"}},
    {"ModelIsAList", section("model", "[]"), kCorrupt, {"model"}},
    {"ModelUnigram", in_model("type", R"("Unigram")"), kUnsupported, {"Unigram"}},
    {"ModelWordLevel", in_model("type", R"("WordLevel")"), kUnsupported, {"WordLevel"}},
    {"VocabularyIsAList", in_model("vocab", "[]"), kCorrupt, {"vocab"}},
    {"VocabularyNull", in_model("vocab", "null"), kCorrupt, {"vocab"}},
    {"IdFraction", in_model("vocab", R"({"a": 0.5})"), kCorrupt, {"vocab"}},
    {"IdText", in_model("vocab", R"({"a": "0"})"), kCorrupt, {"vocab"}},
    {"IdAboveTheLimit", in_model("vocab", R"({"a": 4194304})"), kCorrupt, {"4194304"}},
    {"IdBeyond64Bits", in_model("vocab", R"({"a": 99999999999999999999})"), kCorrupt, {"vocab"}},
    {"MergesAreAnObject", in_model("merges", "{}"), kCorrupt, {"merges"}},
    {"MergeOfOnePart", in_model("merges", R"(["a"])"), kCorrupt, {"merge"}},
    {"MergeOfThreeParts", in_model("merges", R"(["a b c"])"), kCorrupt, {"merge"}},
    {"MergePairOfThree", in_model("merges", R"([["a", "b", "c"]])"), kCorrupt, {"merge"}},
    {"MergePairOfNumbers", in_model("merges", "[[1, 2]]"), kCorrupt, {"merge"}},
    {"MergeWithoutItsResult", in_model("merges", R"(["a b"])"), kCorrupt, {"ab"}},
    {"Dropout", in_model("dropout", "0.1"), kUnsupported, {"dropout"}},
    {"AddedTokensAreAnObject", section("added_tokens", "{}"), kCorrupt, {"added_tokens"}},
    {"AddedTokenWithoutContent",
     section("added_tokens", R"([{"id": 256}])"),
     kCorrupt,
     {"content"}},
    {"AddedTokenWithoutId", section("added_tokens", R"([{"content": "<s>"}])"), kCorrupt, {"id"}},
    {"AddedTokenWithANegativeId",
     section("added_tokens", R"([{"id": -1, "content": "<s>"}])"),
     kCorrupt,
     {"added_tokens"}},
    {"NormalizerWithoutType", section("normalizer", "{}"), kCorrupt, {"normalizer", "type"}},
    {"NormalizerIsAText", section("normalizer", R"("NFC")"), kCorrupt, {"normalizer"}},
    {"ReplaceWithoutPattern",
     section("normalizer", R"({"type": "Replace", "content": ""})"),
     kCorrupt,
     {"pattern"}},
    {"SequenceNestedTooDeep",
     tokenizer([](io::Json& whole) {
         io::Json inner = io::Json::Object{{"type", "NFC"}};
         for (int i = 0; i < 30; ++i) {
             inner =
                 io::Json::Object{{"type", "Sequence"}, {"normalizers", io::Json::Array{inner}}};
         }
         whole.set("normalizer", inner);
     }),
     kCorrupt,
     {"deeper"}},
    {"PreTokenizerUnknown",
     section("pre_tokenizer", R"({"type": "Astrology"})"),
     kUnsupported,
     {"Astrology"}},
    {"PatternThatDoesNotCompile",
     section("pre_tokenizer",
             R"({"type": "Split", "pattern": {"Regex": "(("}, "behavior": "Isolated"})"),
     kUnsupported,
     {"pre_tokenizer"}},
    {"PatternAboveTheLimit",
     section("pre_tokenizer", R"({"type": "Split", "pattern": {"Regex": ")" +
                                  std::string(4097, 'a') + R"("}, "behavior": "Isolated"})"),
     kUnsupported,
     {"4096"}},
    {"BehaviorUnknown",
     section("pre_tokenizer",
             R"({"type": "Split", "pattern": {"String": "a"}, "behavior": "Shredded"})"),
     kUnsupported,
     {"Shredded"}},
    {"DecoderUnknown", section("decoder", R"({"type": "Morse"})"), kUnsupported, {"Morse"}},
    {"DecoderWithoutType", section("decoder", "{}"), kCorrupt, {"decoder", "type"}},
    {"PostProcessorUnknown",
     section("post_processor", R"({"type": "Mail"})"),
     kUnsupported,
     {"Mail"}},
    {"TemplateOfUnknownTokens",
     section("post_processor",
             R"({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<x>",)"
             R"( "type_id": 0}}], "pair": [], "special_tokens": {}})"),
     kCorrupt,
     {"<x>"}},
};

const std::vector<BrokenModel> kTokenizerFiles = {
    {"Empty", text_file("tokenizer.json", ""), kCorrupt, {"tokenizer.json"}},
    {"IsAList", text_file("tokenizer.json", "[]"), kCorrupt, {"tokenizer.json"}},
    {"NotUtf8", text_file("tokenizer.json", "{\"a\": \"\xff\"}"), kCorrupt, {"UTF-8"}},
    {"KeyTwice", text_file("tokenizer.json", R"({"model": 1, "model": 2})"), kCorrupt, {"twice"}},
    {"CutOff",
     [](const std::string& folder) { truncate_by(folder + "/tokenizer.json", 40); },
     kCorrupt,
     {"tokenizer.json"}},
    {"AboveTheLimit",
     [](const std::string& folder) {
         std::filesystem::resize_file(folder + "/tokenizer.json", (64 << 20) + 1);
     },
     kCorrupt,
     {"tokenizer.json", "67108864"}},
    {"IsAFolder",
     [](const std::string& folder) {
         remove_file(folder + "/tokenizer.json");
         std::filesystem::create_directory(folder + "/tokenizer.json");
     },
     kNotFound,
     {"tokenizer.json"}},
    {"OnlySentencePiece",
     [](const std::string& folder) {
         remove_file(folder + "/tokenizer.json");
         write_bytes(folder + "/tokenizer.model", "pieces");
     },
     kUnsupported,
     {"tokenizer.model"}},
    {"SettingsNotJson",
     text_file("tokenizer_config.json", "add_bos = true"),
     kCorrupt,
     {"tokenizer_config.json"}},
    {"SettingsNameAnUnknownToken",
     text_file("tokenizer_config.json", R"({"bos_token": "<x>"})"),
     kCorrupt,
     {"<x>"}},
    {"SettingsNameANumber",
     text_file("tokenizer_config.json", R"({"bos_token": 1})"),
     kCorrupt,
     {"bos_token"}},
    {"SettingsAreAFolder",
     [](const std::string& folder) {
         std::filesystem::create_directory(folder + "/tokenizer_config.json");
     },
     kNotFound,
     {"tokenizer_config.json"}},
};

class BrokenTokenizerTest : public BrokenModelTest {};

TEST_P(BrokenTokenizerTest, IsRefused) {
    expect_refusal({"generate", "-m", model_, "-p", "abc", "-n", "2", "--json"});
    expect_refusal({"tokenize", "-m", model_, "-p", "abc", "--json"});
}

class BrokenTokenizerFileTest : public BrokenModelTest {};

TEST_P(BrokenTokenizerFileTest, IsRefusedByTokenize) {
    expect_refusal({"tokenize", "-m", model_, "-p", "abc", "--json"});
}

INSTANTIATE_TEST_SUITE_P(Tokenizer, BrokenTokenizerTest, testing::ValuesIn(kBrokenTokenizers),
                         case_name);

INSTANTIATE_TEST_SUITE_P(Sections, BrokenTokenizerFileTest, testing::ValuesIn(kBrokenSections),
                         case_name);
INSTANTIATE_TEST_SUITE_P(Files, BrokenTokenizerFileTest, testing::ValuesIn(kTokenizerFiles),
                         case_name);

}  // namespace
}  // namespace quarot::test

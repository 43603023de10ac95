// From text to ids and back: what does a whole tokenizer do with small files?
#include "tokenizer/tokenizer.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/expect_error.h"
#include "support/temp_dir.h"
#include "tokenizer/test_model.h"

namespace quarot::tokenizer {
namespace {

using Ids = std::vector<int32_t>;

const char* const kBosInFront = R"({"type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
               {"Sequence": {"id": "A", "type_id": 0}},
               {"SpecialToken": {"id": "</s>", "type_id": 0}}],
    "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]},
                       "</s>": {"id": "</s>", "ids": [2], "tokens": ["</s>"]}}})";

Tokenizer byte_level() {
    return test::load(test::byte_level_model({{"h", "e"}, {"he", "l"}, {"\u0120", "w"}}));
}

// Ids 3 to 258 are bytes; then ▁ 259, a 260, b 261, ▁a 262.
io::Json metaspace() {
    return test::metaspace_model({"\u2581", "a", "b"}, {{"\u2581", "a"}});
}

TEST(Tokenizer, ByteLevelEncodesPiecesOfTheSplitPattern) {
    const Tokenizer tokenizer = byte_level();
    EXPECT_EQ(tokenizer.encode("hel we"),
              (Ids{*tokenizer.id_of("hel"), *tokenizer.id_of("\u0120w"), 'e'}));
}

TEST(Tokenizer, ByteLevelGivesEveryValidTextBack) {
    const Tokenizer tokenizer = byte_level();
    for (const std::string text :
         {"", " ", "hello  w\xC3\xB6rld\n\n", "\xE4\xBD\xA0 \xF0\x9F\x99\x82", "a\tb  c 123 don't",
          "\x01\x7F"}) {
        EXPECT_EQ(tokenizer.decode(tokenizer.encode(text)), text);
    }
}

TEST(Tokenizer, InvalidBytesAreEncodedAsReplacementCharacters) {
    const Tokenizer tokenizer = byte_level();
    EXPECT_EQ(tokenizer.encode("a\xFF\xE4\xBD"), tokenizer.encode("a\uFFFD\uFFFD"));
}

TEST(Tokenizer, SpecialTokensAreFoundInTextAndLeftOutOfDecodedText) {
    const Tokenizer tokenizer = byte_level();
    const int32_t special = *tokenizer.id_of("<s>");
    const Ids ids = tokenizer.encode("a<s>");
    ASSERT_EQ(ids.back(), special);
    EXPECT_TRUE(tokenizer.is_special(special));
    EXPECT_EQ(tokenizer.decode(ids), "a");
    EXPECT_EQ(tokenizer.decode(ids, false), "a<s>");
}

TEST(Tokenizer, MetaspaceMarksTheBeginningOfEveryStretch) {
    const Tokenizer tokenizer = test::load(metaspace());
    EXPECT_EQ(tokenizer.encode("a a b"), (Ids{262, 262, 259, 261}));
    EXPECT_EQ(tokenizer.encode("<s>a"), (Ids{1, 262}));
    EXPECT_EQ(tokenizer.encode("a<s>a"), (Ids{262, 1, 262}));
    EXPECT_EQ(tokenizer.encode(""), Ids{});
}

TEST(Tokenizer, MetaspaceSpellsUnknownCharactersAsBytes) {
    const Tokenizer tokenizer = test::load(metaspace());
    EXPECT_EQ(tokenizer.encode("\u00E9"), (Ids{259, 3 + 0xC3, 3 + 0xA9}));
    EXPECT_EQ(tokenizer.decode(Ids{259, 3 + 0xC3, 3 + 0xA9}), "\u00E9");
    EXPECT_EQ(tokenizer.decode(Ids{259, 3 + 0xC3, 261}), "\uFFFDb");
}

TEST(Tokenizer, DigitsAreCutOffBeforeTheSplitPattern) {
    io::Json json = test::byte_level_model({{"1", "2"}, {"\u0120", "1"}});
    json.set("pre_tokenizer", test::parse(R"({"type": "Sequence", "pretokenizers": [
        {"type": "Digits", "individual_digits": true},
        {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true}]})"));
    const Tokenizer tokenizer = test::load(json);
    EXPECT_EQ(tokenizer.encode("12 12").size(), 5U);
    json.set("pre_tokenizer", test::parse(R"({"type": "Sequence", "pretokenizers": [
        {"type": "Digits", "individual_digits": false},
        {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}]})"));
    EXPECT_EQ(test::load(json).encode("12 12").size(), 3U);
}

TEST(Tokenizer, BosIsAddedAsTheFileSaysOrAsAsked) {
    io::Json json = metaspace();
    json.set("post_processor", test::parse(kBosInFront));
    const Tokenizer with = test::load(json, R"({"bos_token": "<s>"})");
    EXPECT_EQ(with.encode("a"), (Ids{1, 262, 2}));
    EXPECT_EQ(with.encode("a", AddBos::On), (Ids{1, 262, 2}));
    EXPECT_EQ(with.encode("a", AddBos::Off), (Ids{262, 2}));
    const Tokenizer without = test::load(metaspace(), R"({"bos_token": {"content": "<s>"}})");
    EXPECT_EQ(without.encode("a"), (Ids{262}));
    EXPECT_EQ(without.encode("a", AddBos::On), (Ids{1, 262}));
    EXPECT_EQ(without.bos(), 1);
}

TEST(Tokenizer, NothingIsAddedIfNoneIsAskedFor) {
    const std::string special = R"("special_tokens": {
        "<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]},
        "</s>": {"id": "</s>", "ids": [2], "tokens": ["</s>"]}})";
    const std::string start = R"({"SpecialToken": {"id": "<s>", "type_id": 0}})";
    const std::string text = R"({"Sequence": {"id": "A", "type_id": 0}})";
    const std::string end = R"({"SpecialToken": {"id": "</s>", "type_id": 0}})";
    io::Json json = metaspace();
    for (const std::string& items :
         {text + "," + end, start + "," + text + "," + end, end + "," + start + "," + text}) {
        json.set("post_processor", test::parse(R"({"type": "TemplateProcessing", "single": [)" +
                                               items + R"(], "pair": [], )" + special + "}"));
        EXPECT_GT(test::load(json).encode("a").size(), 1U);
        EXPECT_EQ(test::load(json).encode("a", AddBos::None), (Ids{262}));
    }
    const Tokenizer rebuilding =
        test::load(metaspace(), R"({"bos_token": "<s>", "eos_token": "</s>",
            "tokenizer_class": "LlamaTokenizer", "add_bos_token": true, "add_eos_token": true})");
    EXPECT_EQ(rebuilding.encode("a"), (Ids{1, 262, 2}));
    EXPECT_EQ(rebuilding.encode("a", AddBos::None), (Ids{262}));
}

TEST(Tokenizer, TheConfigDecidesOnBosAndEosForThoseClassesThatRebuildTheTemplate) {
    io::Json json = metaspace();
    json.set("post_processor", test::parse(kBosInFront));
    const std::string names = R"("bos_token": "<s>", "eos_token": "</s>", )";
    const auto ids = [&](const io::Json& file, const std::string& rest) {
        return test::load(file, "{" + names + rest + "}").encode("a");
    };
    const std::string neither = R"("add_bos_token": false, "add_eos_token": false)";
    const std::string both = R"("add_bos_token": true, "add_eos_token": true)";
    EXPECT_EQ(ids(json, R"("tokenizer_class": "LlamaTokenizerFast", )" + neither), (Ids{262}));
    EXPECT_EQ(ids(json, R"("tokenizer_class": "GemmaTokenizer", )" + neither), (Ids{262}));
    EXPECT_EQ(ids(json, R"("tokenizer_class": "Qwen2Tokenizer", )" + neither), (Ids{1, 262, 2}));
    EXPECT_EQ(ids(json, neither), (Ids{1, 262, 2}));
    EXPECT_EQ(ids(json, R"("tokenizer_class": "LlamaTokenizer")"), (Ids{1, 262, 2}));
    EXPECT_EQ(ids(metaspace(), R"("tokenizer_class": "LlamaTokenizer", )" + both),
              (Ids{1, 262, 2}));
    EXPECT_EQ(ids(metaspace(), both), (Ids{262}));
}

TEST(Tokenizer, BosComesFromTheTemplateIfNothingNamesIt) {
    io::Json json = metaspace();
    json.set("post_processor", test::parse(kBosInFront));
    EXPECT_EQ(test::load(json, R"({"bos_token": null})").bos(), 1);
    const Tokenizer none = test::load(metaspace());
    EXPECT_EQ(none.bos(), std::nullopt);
    expect_error(ErrorCode::Usage, {"bos"}, [&] { none.encode("a", AddBos::On); });
}

TEST(Tokenizer, ConfigNamesTokensAsTextOrAsObjects) {
    const Tokenizer named =
        test::load(metaspace(), R"({"eos_token": {"content": "</s>"}, "bos_token": "",
                         "pad_token": "none such", "unk_token": null})");
    EXPECT_EQ(named.eos(), 2);
    EXPECT_EQ(named.bos(), std::nullopt);
    EXPECT_EQ(test::load(metaspace(), R"({"bos_token": "<s>", "eos_token": null})").bos(), 1);
}

TEST(Tokenizer, ConfigMayBeMissing) {
    const quarot::test::TempDir folder;
    test::write(folder / "tokenizer.json", metaspace().dump());
    EXPECT_EQ(Tokenizer::load(folder.path()).encode("a"), (Ids{262}));
}

TEST(Tokenizer, KnowsItsVocabulary) {
    const Tokenizer tokenizer = test::load(metaspace());
    EXPECT_EQ(tokenizer.vocabulary_size(), 263);
    EXPECT_EQ(tokenizer.token(262), "\u2581a");
    EXPECT_EQ(tokenizer.id_of("nothing"), std::nullopt);
    for (int32_t id : {-1, 263, 1 << 30}) {
        expect_error(ErrorCode::Usage, {std::to_string(id)}, [&] { tokenizer.token(id); });
    }
}

TEST(Tokenizer, IdsWithoutATokenDecodeToNothing) {
    const Tokenizer tokenizer = test::load(metaspace());
    EXPECT_EQ(tokenizer.decode(Ids{-5, 262, 263, 1 << 30, 261}), "ab");
}

TEST(StreamDecoder, PartsMakeUpTheWholeText) {
    io::Json json = metaspace();
    const Tokenizer tokenizer = test::load(json);
    const Ids ids{1, 259, 262, 3 + 0xF0, 3 + 0x9F, 3 + 0x99, 3 + 0x82, 261, 2, 3 + 0xC3};
    StreamDecoder stream(tokenizer);
    std::string text;
    for (int32_t id : ids) text += stream.put(id);
    text += stream.finish();
    EXPECT_EQ(text, tokenizer.decode(ids));
    EXPECT_EQ(text, " a\U0001F642b\uFFFD");
}

std::string added_text(const Tokenizer& tokenizer, const Ids& before, const Ids& added) {
    StreamDecoder stream(tokenizer, before);
    std::string text;
    for (int32_t id : added) text += stream.put(id);
    return text + stream.finish();
}

TEST(StreamDecoder, BehindAPromptGivesWhatIsAddedToItsText) {
    io::Json with_ends = metaspace();
    with_ends.set("decoder", test::parse(R"({"type": "BPEDecoder", "suffix": "\u2581"})"));
    for (const io::Json& json : {metaspace(), with_ends, test::byte_level_model({{"h", "e"}})}) {
        const Tokenizer tokenizer = test::load(json);
        for (const Ids& before : {Ids{}, Ids{1}, Ids{1, 259}, Ids{262, 261}, Ids{260, 256}}) {
            for (const Ids& added : {Ids{262, 262}, Ids{260, 2, 261}, Ids{259}, Ids{}}) {
                Ids all = before;
                all.insert(all.end(), added.begin(), added.end());
                EXPECT_EQ(tokenizer.decode(before) + added_text(tokenizer, before, added),
                          tokenizer.decode(all));
            }
        }
    }
}

TEST(StreamDecoder, BehindAPromptTheFirstWordKeepsItsSpace) {
    const Tokenizer tokenizer = test::load(metaspace());
    EXPECT_EQ(added_text(tokenizer, {1, 262}, {262, 261}), " ab");
    EXPECT_EQ(added_text(tokenizer, {1}, {262, 261}), "ab") << "at the start of a text";
}

TEST(StreamDecoder, BehindHalfACharacterGivesAllOfIt) {
    const Tokenizer tokenizer = test::load(metaspace());
    EXPECT_EQ(added_text(tokenizer, {260, 3 + 0xC3}, {3 + 0xA9, 261}), "\u00E9b");
    EXPECT_EQ(added_text(tokenizer, {260, 3 + 0xC3}, {261}), "b") << "U+FFFD is of the prompt";
    EXPECT_EQ(added_text(tokenizer, {260, 3 + 0xC3}, {}), "");
}

TEST(Tokenizer, CostsLittleForOneEndlessWord) {
    const Tokenizer tokenizer = byte_level();
    for (const char* word : {"a", " ", "'", "1", "h", "\n", "<"}) {
        std::string text;
        while (text.size() < (size_t{1} << 18)) text += word;
        EXPECT_EQ(tokenizer.decode(tokenizer.encode(text)), text);
    }
}

}  // namespace
}  // namespace quarot::tokenizer

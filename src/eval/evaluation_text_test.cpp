#include "eval/evaluation_text.h"

#include <gtest/gtest.h>

#include <fstream>

#include "core/expect_error.h"
#include "io/hash.h"
#include "support/temp_dir.h"

namespace quarot::eval {

namespace {

// " = A boat = " and so on, as WikiText spells them.
const std::string kBoat =
    " = A boat = \n \n The boat 's hull , of 1 @,@ 250 @.@ 5 tons ( so they say ) was well @-@ "
    "kept . \n";
const std::string kVoices =
    " = Voices = \n He said : \" Go on ! \" ; \" why ? \" asked N others [ not he ] { \u00a0 } . "
    "\n \n = = Later = = \n = = = End = = = \n";

std::string write(const test::TempDir& dir, const std::string& text) {
    const std::string path = dir.path() + "/text";
    std::ofstream(path, std::ios::binary) << text;
    return path;
}

}  // namespace

TEST(EvaluationText, WikitextRowsAreJoinedByAnExtraNewline) {
    const test::TempDir dir;
    const std::string path = write(dir, " = A = \n\nlast");
    EXPECT_EQ(read_evaluation_text(path, "raw"), " = A = \n\nlast");
    EXPECT_EQ(read_evaluation_text(path, "wikitext-rows"), " = A = \n\n\n\nlast");
    expect_error(ErrorCode::Usage, {"html"}, [&] { read_evaluation_text(path, "html"); });
    expect_error(ErrorCode::Usage, {"wikitext-pages"},
                 [&] { read_evaluation_text(path, "wikitext-pages"); });
}

// Expected values are the harness's own, version 2.0 of its task.
TEST(EvaluationText, DetokenizesAsTheHarness) {
    EXPECT_EQ(detokenized(kBoat),
              " = A boat =\n\nThe boat's hull, of 1,250.5 tons (so they say) was well-kept.\n");
    EXPECT_EQ(detokenized(kVoices),
              " = Voices =\nHe said: \"Go on!\"; \"why?\" asked 1 others [not he] {}.\n\n"
              "== Later ==\n=== End ===\n");
    EXPECT_EQ(detokenized("the sails ' edge , 5 \u00b0 to port ' now ' /' 9/ ( open ( twice )"),
              "the sails'edge, 5\u00b0to port' now '/'[0-9]/ (open ( twice)");
    EXPECT_EQ(detokenized("' single \" \" quotes ' ( never closed , \"odd"),
              "'single \"\" quotes' ( never closed, \"odd");
}

TEST(EvaluationText, CountsWordsOfTheOriginalAsPythonSplitsThem) {
    EXPECT_EQ(count_words(kBoat), 28);
    EXPECT_EQ(count_words("one"), 1);
    EXPECT_EQ(count_words(" one\n\n two "), 4) << "with one at each end";
    EXPECT_EQ(count_words("a\u00a0b\u2003c\x1f"
                          "d"),
              4);
    EXPECT_EQ(count_words(""), 1);
}

TEST(EvaluationText, PagesBeginAtTitlesAloneAndBlankOnesAreLeftOut) {
    const test::TempDir dir;
    const std::string text = " \n" + kBoat + kVoices;
    const EvaluationText read = read_documents(write(dir, text), "wikitext-pages");
    ASSERT_EQ(read.documents.size(), 2u);
    // The newline before the next title belongs to neither.
    const std::string boat = kBoat.substr(0, kBoat.size() - 1);
    EXPECT_EQ(read.documents[0].text, detokenized(boat));
    EXPECT_EQ(read.documents[0].n_bytes, std::ssize(boat)) << "of the original";
    EXPECT_EQ(read.documents[0].n_words, count_words(boat));
    EXPECT_EQ(read.documents[1].text, detokenized(kVoices));
    EXPECT_EQ(read.sha256, io::sha256_of_text(text));
}

TEST(EvaluationText, PagesOfJsonLines) {
    const test::TempDir dir;
    const std::string line = R"({"page": " = A = \n a , b \n"})";
    const EvaluationText read =
        read_documents(write(dir, line + "\n\n" + line + "\n"), "wikitext-jsonl");
    ASSERT_EQ(read.documents.size(), 2u);
    EXPECT_EQ(read.documents[1].text, " = A =\na, b\n");
    EXPECT_EQ(read.documents[1].n_words, 8);
    expect_error(ErrorCode::Corrupt, {"text:2", "page"}, [&] {
        read_documents(write(dir, line + "\n" + R"({"text": "no"})"), "wikitext-jsonl");
    });
    expect_error(ErrorCode::Corrupt, {"text:1"},
                 [&] { read_documents(write(dir, "{\"page\": "), "wikitext-jsonl"); });
    expect_error(ErrorCode::Corrupt, {"no page"},
                 [&] { read_documents(write(dir, " \n \n"), "wikitext-pages"); });
    expect_error(ErrorCode::Corrupt, {"UTF-8", "byte 2"},
                 [&] { read_documents(write(dir, "ab\xff"), "wikitext-pages"); });
}

TEST(EvaluationText, RefusesAnotherFormatWithThoseItReads) {
    const test::TempDir dir;
    const std::string path = write(dir, "a");
    expect_error(ErrorCode::Usage, {"`text_format` is csv", "raw or wikitext-rows"},
                 [&] { read_evaluation_text(path, "csv"); });
    expect_error(ErrorCode::Usage,
                 {"`text_format` is csv", "raw, wikitext-rows, wikitext-pages or wikitext-jsonl"},
                 [&] { read_documents(path, "csv"); });
}

TEST(EvaluationText, WholeTextsAreOneDocument) {
    const test::TempDir dir;
    const EvaluationText rows = read_documents(write(dir, "a b\nc"), "wikitext-rows");
    ASSERT_EQ(rows.documents.size(), 1u);
    EXPECT_EQ(rows.documents[0].text, "a b\n\nc");
    EXPECT_EQ(rows.documents[0].n_words, 3);
    EXPECT_EQ(rows.sha256, io::sha256_of_text("a b\nc")) << "of what was read";
    EXPECT_EQ(read_documents(write(dir, "\xff \xfe"), "raw").documents[0].n_words, 0)
        << "no words to count";
}

}  // namespace quarot::eval

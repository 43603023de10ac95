// What does a folder without tokenizer.json say about the files that it has instead?
#include "tokenizer/missing_file.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "core/error.h"
#include "core/expect_error.h"
#include "io/limits.h"
#include "support/temp_dir.h"
#include "tokenizer/test_model.h"

namespace quarot::tokenizer {
namespace {

TEST(MissingFile, OtherTokenizerFilesAreRefusedWithTheCommandThatConvertsThem) {
    for (const std::string name :
         {"tokenizer.model", "vocab.json", "tokenizer.tiktoken", "model-q4.gguf", "tok512.bin"}) {
        const quarot::test::TempDir folder;
        test::write(folder / name, "");
        expect_error(ErrorCode::Unsupported,
                     {name, "no tokenizer.json", "AutoTokenizer.from_pretrained", folder.path()},
                     [&] { Tokenizer::load(folder.path()); });
    }
}

TEST(MissingFile, AGgufFileIsNamedInItsCommand) {
    const quarot::test::TempDir folder;
    test::write(folder / "a.gguf", "");
    expect_error(ErrorCode::Unsupported, {"gguf_file='a.gguf'"},
                 [&] { refuse_other_tokenizer_files(folder.path()); });
}

TEST(MissingFile, NoNameThatAShellCouldMistakeGetsIntoACommand) {
    for (const std::string name : {"$(touch x).gguf", "-c.gguf", "a b.gguf", "a'.gguf", "a`.gguf",
                                   "a\".gguf", "a;b.gguf", "\u00E9.gguf", "a\n.gguf"}) {
        const quarot::test::TempDir folder;
        const std::string inside = folder / "$(touch x)'\"";
        std::filesystem::create_directory(inside);
        test::write(inside + "/" + name, "");
        const auto refused = [&] {
            try {
                refuse_other_tokenizer_files(inside);
            } catch (const Error& error) {
                return std::string(error.what());
            }
            return std::string();
        };
        EXPECT_NE(refused().find("gguf_file"), std::string::npos) << name;
        EXPECT_EQ(refused().find("python"), std::string::npos) << name;
        test::write(inside + "/tokenizer.model", "");
        std::filesystem::remove(inside + "/" + name);
        const std::string message = refused();
        const size_t command = message.find("python");
        ASSERT_NE(command, std::string::npos);
        EXPECT_EQ(message.find("touch", command), std::string::npos);
    }
}

TEST(MissingFile, AVocabularyWithoutMergesComesLast) {
    const quarot::test::TempDir folder;
    test::write(folder / "tok.bin", "");
    expect_error(ErrorCode::Unsupported, {"tok.bin", "tokenizer.model it was made from"},
                 [&] { refuse_other_tokenizer_files(folder.path()); });
    test::write(folder / "tokenizer.model", "");
    expect_error(ErrorCode::Unsupported, {"there is tokenizer.model"},
                 [&] { refuse_other_tokenizer_files(folder.path()); });
}

TEST(MissingFile, FoldersWithATokenizerOrWithoutAnyPass) {
    const quarot::test::TempDir folder;
    test::write(folder / "pytorch_model.bin", "");
    test::write(folder / "training_args.bin", "");
    refuse_other_tokenizer_files(folder.path());
    expect_error(ErrorCode::NotFound, {"tokenizer.json"}, [&] { Tokenizer::load(folder.path()); });
    test::write(folder / "tokenizer.model", "");
    test::write(folder / "tokenizer.json", "");
    refuse_other_tokenizer_files(folder.path());
}

// Which entries of a folder come first is up to the system: often the oldest or the newest.
TEST(MissingFile, ATokenizerIsFoundAmongAnyNumberOfFiles) {
    const quarot::test::TempDir folder;
    const std::string tokenizer = folder / "tokenizer.json";
    test::write(tokenizer, "");
    const std::string other = folder / "other.gguf";
    test::write(other, "");
    for (size_t i = 0; i < 2 * limits::kFolderEntries; ++i) {
        std::filesystem::create_hard_link(other, folder / std::to_string(i) + ".gguf");
    }
    refuse_other_tokenizer_files(folder.path());
    std::filesystem::remove(tokenizer);
    test::write(tokenizer, "");
    refuse_other_tokenizer_files(folder.path());
}

}  // namespace
}  // namespace quarot::tokenizer

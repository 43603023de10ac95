#include "tokenizer/missing_file.h"

#include <gtest/gtest.h>

#include <string>

#include "io/expect_error.h"
#include "support/temp_dir.h"
#include "tokenizer/test_model.h"

namespace quarot::tokenizer {
namespace {

TEST(MissingFile, OtherTokenizerFilesAreRefusedWithTheCommandThatConvertsThem) {
    for (const std::string name :
         {"tokenizer.model", "vocab.json", "tokenizer.tiktoken", "model-q4.gguf", "tok512.bin"}) {
        const quarot::test::TempDir folder;
        test::write(folder / name, "");
        io::expect_error(
            ErrorCode::Unsupported,
            {name, "no tokenizer.json", "AutoTokenizer.from_pretrained", folder.path()},
            [&] { Tokenizer::load(folder.path()); });
    }
}

TEST(MissingFile, AGgufFileIsNamedInItsCommand) {
    const quarot::test::TempDir folder;
    test::write(folder / "a.gguf", "");
    io::expect_error(ErrorCode::Unsupported, {"gguf_file='a.gguf'"},
                     [&] { refuse_other_tokenizer_files(folder.path()); });
}

TEST(MissingFile, AVocabularyWithoutMergesComesLast) {
    const quarot::test::TempDir folder;
    test::write(folder / "tok.bin", "");
    io::expect_error(ErrorCode::Unsupported, {"tok.bin", "tokenizer.model it was made from"},
                     [&] { refuse_other_tokenizer_files(folder.path()); });
    test::write(folder / "tokenizer.model", "");
    io::expect_error(ErrorCode::Unsupported, {"there is tokenizer.model"},
                     [&] { refuse_other_tokenizer_files(folder.path()); });
}

TEST(MissingFile, FoldersWithATokenizerOrWithoutAnyPass) {
    const quarot::test::TempDir folder;
    test::write(folder / "pytorch_model.bin", "");
    test::write(folder / "training_args.bin", "");
    refuse_other_tokenizer_files(folder.path());
    io::expect_error(ErrorCode::NotFound, {"tokenizer.json"},
                     [&] { Tokenizer::load(folder.path()); });
    test::write(folder / "tokenizer.model", "");
    test::write(folder / "tokenizer.json", "");
    refuse_other_tokenizer_files(folder.path());
}

}  // namespace
}  // namespace quarot::tokenizer

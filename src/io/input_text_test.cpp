// Texts from files, pipes and devices; standard input is tested with the whole program.
#include "io/input_text.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <thread>

#include "core/error.h"
#include "core/expect_error.h"
#include "support/temp_dir.h"

namespace quarot::io {
namespace {

class InputText : public testing::Test {
  protected:
    // A pipe whose writer comes after the reader and writes in two parts.
    std::string read_from_pipe(const std::string& first, const std::string& second,
                               int64_t max_bytes) {
        const std::string path = dir_ / "pipe";
        EXPECT_EQ(::mkfifo(path.c_str(), 0600), 0);
        std::jthread writer([&] {
            std::ofstream pipe(path);
            pipe << first << std::flush;
            pipe << second;
        });
        return read_input_text(path, max_bytes);
    }

    const test::TempDir dir_;
};

TEST_F(InputText, ComesFromAFile) {
    const std::string path = dir_ / "text";
    std::ofstream(path) << "a line\nand more";
    EXPECT_EQ(read_input_text(path, 100), "a line\nand more");
    EXPECT_EQ(read_input_text(path, 15), "a line\nand more");
    expect_error(ErrorCode::Corrupt, {path, "15"}, [&] { read_input_text(path, 14); });
}

TEST_F(InputText, ComesFromAPipeUntilItsEnd) {
    const std::string first(100'000, 'a');
    EXPECT_EQ(read_from_pipe(first, "the end", 200'000), first + "the end");
}

TEST_F(InputText, AnEmptyPipeIsAnEmptyText) {
    EXPECT_EQ(read_from_pipe("", "", 10), "");
}

TEST_F(InputText, APipeWithoutAnEndIsRefusedAtTheLimit) {
    expect_error(ErrorCode::Corrupt, {"/dev/zero", "1000000"},
                 [] { read_input_text("/dev/zero", 1'000'000); });
}

TEST_F(InputText, WhatIsNoTextIsNamed) {
    expect_error(ErrorCode::NotFound, {dir_ / "missing"},
                 [&] { read_input_text(dir_ / "missing", 10); });
    expect_error(ErrorCode::NotFound, {dir_.path()}, [&] { read_input_text(dir_.path(), 10); });
}

}  // namespace
}  // namespace quarot::io

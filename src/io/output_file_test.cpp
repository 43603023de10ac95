#include "io/output_file.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "core/error.h"
#include "io/file.h"
#include "support/temp_dir.h"

namespace quarot::io {

namespace {

std::string finished_file(const std::string& path, const std::string& text) {
    OutputFile file(path);
    file.write(0, std::as_bytes(std::span(text)));
    file.finish();
    return path;
}

}  // namespace

TEST(MoveIntoPlace, TheNewFileTakesTheNameOfTheOld) {
    const test::TempDir dir;
    const std::string place = finished_file(dir / "place", "old");
    move_into_place(finished_file(dir / "part", "new"), place);
    EXPECT_EQ(read_text(place, 100), "new");
    EXPECT_FALSE(std::filesystem::exists(dir / "part"));
}

TEST(MoveIntoPlace, NothingIsLeftWhereItFails) {
    const test::TempDir dir;
    const std::string folder = dir / "place", part = finished_file(dir / "part", "new");
    std::filesystem::create_directories(folder + "/full");
    try {
        move_into_place(part, folder);
        FAIL() << "a file replaced a folder";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::Io);
        EXPECT_NE(std::string(error.what()).find(folder), std::string::npos) << error.what();
    }
    EXPECT_FALSE(std::filesystem::exists(part));
    EXPECT_TRUE(std::filesystem::exists(folder + "/full"));
}

TEST(TemporarySibling, IsKnownByItsName) {
    EXPECT_TRUE(is_temporary_sibling(temporary_sibling("/a/run.json", "part"), "part"));
    EXPECT_TRUE(is_temporary_sibling(temporary_sibling(std::string(300, 'x'), "part"), "part"));
    EXPECT_TRUE(is_temporary_sibling("a/.x.part-1-1.part-20-3", "part"));
    EXPECT_FALSE(is_temporary_sibling(temporary_sibling("x", "old"), "part"));
    for (const char* other : {"x.part-1-1", ".x.part-1", ".x.part-1-", ".x.part-1-1a", ".x.part--1",
                              ".part-1-1", ".x.part-1-1/y", ".x.apart-1-1", ""}) {
        EXPECT_FALSE(is_temporary_sibling(other, "part")) << other;
    }
}

}  // namespace quarot::io

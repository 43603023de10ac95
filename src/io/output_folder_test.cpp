#include "io/output_folder.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>

#include "core/expect_error.h"
#include "io/file.h"
#include "support/temp_dir.h"

namespace quarot::io {

namespace {

namespace fs = std::filesystem;

void write(const std::string& path, const std::string& text) {
    std::ofstream(path) << text;
}
std::string read(const std::string& path) {
    return read_text(path, 1 << 20);
}

// Names in a folder, hidden ones too.
std::vector<std::string> names_in(const std::string& folder) {
    std::vector<std::string> names;
    for (const auto& item : fs::directory_iterator(folder)) {
        names.push_back(item.path().filename().string());
    }
    std::sort(names.begin(), names.end());
    return names;
}

void make_model(const std::string& folder, const std::string& config) {
    fs::create_directory(folder);
    write(folder + "/config.json", config);
    write(folder + "/quarot.json", "{}");
}

using Names = std::vector<std::string>;

}  // namespace

TEST(OutputFolder, AppearsWholeAtCommit) {
    const test::TempDir dir;
    write(dir / "tokenizer.json", std::string(3'000'000, 't'));
    OutputFolder out(dir / "out", false, {});
    out.write_text("config.json", "{}");
    out.copy_file(dir / "tokenizer.json", "tokenizer.json");
    write(out.temporary_path() + "/extra.bin", "x");
    EXPECT_FALSE(fs::exists(dir / "out"));
    out.commit();
    EXPECT_EQ(names_in(dir / "out"), (Names{"config.json", "extra.bin", "tokenizer.json"}));
    EXPECT_EQ(fs::file_size(dir / "out/tokenizer.json"), 3'000'000u);
    EXPECT_EQ(names_in(dir.path()), (Names{"out", "tokenizer.json"}));
}

TEST(OutputFolder, TheTemporaryFolderIsAHiddenSibling) {
    const test::TempDir dir;
    const OutputFolder out(dir / "out/", false, {});
    const fs::path temporary(out.temporary_path());
    EXPECT_EQ(temporary.parent_path(), dir.path());
    EXPECT_EQ(temporary.filename().string().substr(0, 5), ".out.");
}

TEST(OutputFolder, NothingStaysWithoutCommit) {
    const test::TempDir dir;
    {
        OutputFolder out(dir / "out", false, {});
        out.write_text("config.json", "{}");
    }
    EXPECT_TRUE(names_in(dir.path()).empty());
}

TEST(OutputFolder, WhatAKilledRunLeftIsRemovedByTheNext) {
    const test::TempDir dir;
    const Names others = {".out.old-7-0", ".out.partial-7", ".out.partial-7-x",
                          ".out2.partial-7-0"};
    for (const std::string& name : others) fs::create_directory(dir / name);
    fs::create_directory(dir / ".out.partial-4194305-0");
    write(dir / ".out.partial-4194305-0/model.safetensors", "half");
    const OutputFolder living(dir / "out", false, {});
    const OutputFolder out(dir / "out", false, {});
    Names expected = others;
    for (const OutputFolder* folder : {&living, &out}) {
        expected.push_back(fs::path(folder->temporary_path()).filename().string());
    }
    std::sort(expected.begin(), expected.end());
    EXPECT_EQ(names_in(dir.path()), expected);
}

TEST(OutputFolder, HonoursTheUmask) {
    const test::TempDir dir;
    const mode_t old = umask(022);
    OutputFolder out(dir / "out", false, {});
    out.write_text("config.json", "{}");
    out.commit();
    umask(old);
    EXPECT_EQ(static_cast<int>(fs::status(dir / "out").permissions()), 0755);
    EXPECT_EQ(static_cast<int>(fs::status(dir / "out/config.json").permissions()), 0644);
}

TEST(OutputFolder, AnExistingFolderNeedsOverwrite) {
    const test::TempDir dir;
    make_model(dir / "out", "old");
    expect_error(ErrorCode::Usage, {dir / "out", "`overwrite`"},
                 [&] { OutputFolder out(dir / "out", false, {}); });
    EXPECT_EQ(read(dir / "out/config.json"), "old");
    EXPECT_EQ(names_in(dir.path()), Names{"out"});
}

TEST(OutputFolder, OverwriteReplacesTheWholeFolder) {
    const test::TempDir dir;
    make_model(dir / "out", "old");
    OutputFolder out(dir / "out", true, {});
    out.write_text("config.json", "new");
    EXPECT_EQ(read(dir / "out/config.json"), "old");
    out.commit();
    EXPECT_EQ(read(dir / "out/config.json"), "new");
    EXPECT_EQ(names_in(dir / "out"), Names{"config.json"});
    EXPECT_EQ(names_in(dir.path()), Names{"out"});
}

TEST(OutputFolder, OverwriteWithoutCommitKeepsTheOldFolder) {
    const test::TempDir dir;
    make_model(dir / "out", "old");
    {
        OutputFolder out(dir / "out", true, {});
        out.write_text("config.json", "new");
    }
    EXPECT_EQ(names_in(dir / "out"), (Names{"config.json", "quarot.json"}));
    EXPECT_EQ(names_in(dir.path()), Names{"out"});
}

TEST(OutputFolder, OverwriteReplacesOnlyOurOwnFolders) {
    const test::TempDir dir;
    fs::create_directory(dir / "home");
    write(dir / "home/letters.txt", "dear");
    write(dir / "file", "x");
    make_model(dir / "model", "old");
    fs::create_symlink("model", dir / "link");
    make_model(dir / "foreign", "theirs");
    fs::remove(dir / "foreign/quarot.json");
    for (const char* name : {"home", "file", "link", "foreign"}) {
        SCOPED_TRACE(name);
        expect_error(ErrorCode::Usage, {dir / name, "is not a folder made by quarot quantize"},
                     [&] { OutputFolder out(dir / name, true, {}); });
    }
    EXPECT_EQ(read(dir / "home/letters.txt"), "dear");
    EXPECT_EQ(read(dir / "foreign/config.json"), "theirs");
    EXPECT_EQ(names_in(dir.path()), (Names{"file", "foreign", "home", "link", "model"}));
}

TEST(OutputFolder, OverwriteFillsAnEmptyFolder) {
    const test::TempDir dir;
    fs::create_directory(dir / "out");
    OutputFolder out(dir / "out", true, {});
    out.write_text("config.json", "{}");
    out.commit();
    EXPECT_EQ(names_in(dir / "out"), Names{"config.json"});
}

TEST(OutputFolder, AFolderThatAppearsMeanwhileIsKept) {
    const test::TempDir dir;
    {
        OutputFolder out(dir / "out", false, {});
        make_model(dir / "out", "theirs");
        expect_error(ErrorCode::Usage, {dir / "out"}, [&] { out.commit(); });
    }
    EXPECT_EQ(read(dir / "out/config.json"), "theirs");
    EXPECT_EQ(names_in(dir.path()), Names{"out"});
}

TEST(OutputFolder, OutputAndInputsStayApart) {
    const test::TempDir dir;
    make_model(dir / "in", "in");
    fs::create_directory(dir / "in/sub");
    fs::create_symlink("in", dir / "link");
    write(dir / "in/calib.txt", "text");
    const auto expect_usage = [&](const std::string& path, const std::string& input) {
        SCOPED_TRACE(path + " from " + input);
        expect_error(ErrorCode::Usage, {path}, [&] {
            OutputFolder out(path, true, {dir / "elsewhere", input});
        });
    };
    expect_usage(dir / "in", dir / "in");
    expect_usage(dir / "in", dir / "in/");
    expect_usage(dir / "in/out", dir / "in");
    expect_usage(dir / "in/sub/out", dir / "in/.");
    expect_usage(dir / "link/out", dir / "in");
    expect_usage(dir / "in/out", dir / "link");
    expect_usage(dir / "in", dir / "in/calib.txt");
    expect_usage(dir / "in", dir / "in/sub");
    EXPECT_NO_THROW(OutputFolder(dir / "in-quantized", false, {dir / "in"}));
    EXPECT_EQ(read(dir / "in/config.json"), "in");
}

TEST(OutputFolder, NeedsANameOfItsOwn) {
    for (const char* path : {"", ".", "..", "/", "../.."}) {
        SCOPED_TRACE(path);
        expect_error(ErrorCode::Usage, {}, [&] { OutputFolder out(path, true, {}); });
    }
}

TEST(OutputFolder, AParentThatCannotHoldItIsAnIoError) {
    const test::TempDir dir;
    write(dir / "file", "x");
    expect_error(ErrorCode::Io, {dir / "file"},
                 [&] { OutputFolder out(dir / "file/out", false, {}); });
    expect_error(ErrorCode::Io, {dir / "missing"},
                 [&] { OutputFolder out(dir / "missing/out", false, {}); });
}

TEST(OutputFolder, AFullDiskLeavesTheOldState) {
    const test::TempDir dir;
    make_model(dir / "out", "old");
    write(dir / "big", std::string(200'000, 'b'));
    const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
    rlimit old_limit{};
    getrlimit(RLIMIT_FSIZE, &old_limit);
    const rlimit limit{.rlim_cur = 100'000, .rlim_max = old_limit.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
    {
        OutputFolder out(dir / "out", true, {});
        expect_error(ErrorCode::Io, {"tokenizer.json"},
                     [&] { out.copy_file(dir / "big", "tokenizer.json"); });
        expect_error(ErrorCode::Io, {"config.json"},
                     [&] { out.write_text("config.json", std::string(200'000, 'c')); });
        EXPECT_TRUE(names_in(out.temporary_path()).empty());
    }
    setrlimit(RLIMIT_FSIZE, &old_limit);
    std::signal(SIGXFSZ, old_handler);
    EXPECT_EQ(read(dir / "out/config.json"), "old");
    EXPECT_EQ(names_in(dir.path()), (Names{"big", "out"}));
}

TEST(OutputFolder, MissingSourcesAreNotFound) {
    const test::TempDir dir;
    OutputFolder out(dir / "out", false, {});
    expect_error(ErrorCode::NotFound, {dir / "nothing"},
                 [&] { out.copy_file(dir / "nothing", "tokenizer.json"); });
}

}  // namespace quarot::io

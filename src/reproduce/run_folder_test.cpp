#include "reproduce/run_folder.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "core/error.h"
#include "io/file.h"
#include "io/output_file.h"
#include "reproduce/measurement.h"
#include "support/temp_dir.h"

namespace quarot::reproduce {
namespace {

namespace fs = std::filesystem;

io::Json identity(const std::string& text = "t") {
    return io::Json::Object{{"model", "m"}, {"text", text}};
}

class RunFolderTest : public testing::Test {
  protected:
    void expect_usage_error(const io::Json& run, const std::string& word, bool overwrite = false) {
        expect_error(ErrorCode::Usage, run, word, overwrite);
    }
    void expect_error(ErrorCode code, const io::Json& run, const std::string& word,
                      bool overwrite) {
        try {
            const RunFolder folder(path, run, overwrite);
            FAIL() << "nothing was thrown";
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), code);
            EXPECT_NE(std::string(error.what()).find(word), std::string::npos) << error.what();
        }
    }

    const test::TempDir dir;
    const std::string path = dir / "out";
};

TEST_F(RunFolderTest, GivesBackWhatWasSavedInAnotherRun) {
    Measurement saved;
    saved.perplexity = 12.3456789012345678;
    saved.window_nll = {2.5, 2.4999999999999996, 1e-3};
    saved.bits_per_weight = 4.125;
    saved.quantize_seconds = 1.5;
    saved.peak_rss_bytes = 1 << 20;
    RunFolder(path, identity(), false).save("key", to_json(saved));

    const RunFolder folder(path, identity(), false);
    EXPECT_FALSE(folder.load("other"));
    const auto stored = folder.load("key");
    ASSERT_TRUE(stored);
    const std::optional<Measurement> loaded = measurement_from_json(*stored);
    EXPECT_EQ(to_json(*loaded).dump(), to_json(saved).dump());
    EXPECT_EQ(loaded->perplexity, saved.perplexity);
    EXPECT_EQ(loaded->window_nll, saved.window_nll);
}

TEST_F(RunFolderTest, KeepsAReasonInPlaceOfANumber) {
    Measurement saved;
    saved.reason = "layer 3 cannot be factored";
    const RunFolder folder(path, identity(), false);
    folder.save("key", to_json(saved));
    const Measurement loaded = measurement_from_json(*folder.load("key"));
    EXPECT_FALSE(loaded.perplexity);
    EXPECT_FALSE(loaded.peak_rss_bytes);
    EXPECT_EQ(loaded.reason, saved.reason);
}

TEST_F(RunFolderTest, RefusesTheFolderOfAnotherRunAndNamesWhatDiffers) {
    RunFolder(path, identity(), false).save("key", to_json(Measurement{}));
    expect_usage_error(identity("other"), "text differs");
    EXPECT_TRUE(RunFolder(path, identity(), false).load("key")) << "nothing may be lost";
}

TEST_F(RunFolderTest, OverwriteBeginsAnew) {
    RunFolder(path, identity(), false).save("key", to_json(Measurement{}));
    EXPECT_FALSE(RunFolder(path, identity(), true).load("key"));
    EXPECT_FALSE(RunFolder(path, identity("other"), true).load("key"));
}

TEST_F(RunFolderTest, LeavesForeignFoldersAlone) {
    fs::create_directories(path);
    std::ofstream(path + "/thesis.tex") << "years of work";
    expect_usage_error(identity(), "no report");
    expect_usage_error(identity(), "no report", true);
    EXPECT_EQ(io::read_text(path + "/thesis.tex", 100), "years of work");
}

TEST_F(RunFolderTest, LeavesAFolderAloneWhoseRunJsonIsSomebodyElses) {
    fs::create_directories(path + "/models");
    std::ofstream(path + "/models/thesis.bin") << "years of work";
    for (const char* run : {"", "{", "[]", "{\"run\": {}}", "{\"schema\": \"x\", \"run\": {}}"}) {
        std::ofstream(path + "/run.json") << run;
        expect_usage_error(identity(), "no report");
        expect_usage_error(identity(), "no report", true);
        EXPECT_EQ(io::read_text(path + "/run.json", 100), run);
        EXPECT_EQ(io::read_text(path + "/models/thesis.bin", 100), "years of work");
    }
}

TEST_F(RunFolderTest, TidiesUpAfterAKill) {
    fs::create_directories(path);
    const auto leave = [&](const std::string& name) {
        const std::string left = io::temporary_sibling(path + name, io::kUnfinishedFile);
        std::ofstream(left) << "{";
        return left;
    };
    const std::string identity_left = leave("/run.json");
    {
        const RunFolder folder(path, identity(), false);
        leave("/rows/key.json");
    }
    const RunFolder folder(path, identity(), false);
    EXPECT_FALSE(fs::exists(identity_left));
    EXPECT_TRUE(fs::is_empty(path + "/rows"));
}

TEST_F(RunFolderTest, ServesOneRunAtATime) {
    const RunFolder folder(path, identity(), false);
    expect_error(ErrorCode::Io, identity(), "in use", false);
    expect_error(ErrorCode::Io, identity(), "in use", true);
}

TEST_F(RunFolderTest, KeepsOnlyTheWeightsThatAreStillNeeded) {
    const RunFolder folder(path, identity(), false);
    for (const char* name : {"/models/aa", "/models/aa.work", "/models/bb", "/models/bb.work",
                             "/models/.aa.partial-1-1"}) {
        fs::create_directories(path + name);
    }
    folder.keep_models({"aa"});
    EXPECT_TRUE(fs::exists(path + "/models/aa"));
    EXPECT_TRUE(fs::exists(path + "/models/aa.work"));
    EXPECT_FALSE(fs::exists(path + "/models/bb"));
    EXPECT_FALSE(fs::exists(path + "/models/bb.work"));
    EXPECT_FALSE(fs::exists(path + "/models/.aa.partial-1-1"));
}

}  // namespace
}  // namespace quarot::reproduce

// In which order does a commit touch the disk? This program's own fsync, rename and renameat2 stand
// between the library and the system's: they note what is asked, and fail or die as a test wants.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "core/expect_error.h"
#include "io/file.h"
#include "io/output_folder.h"
#include "support/temp_dir.h"

namespace {

struct SystemCalls {
    std::vector<std::string> seen;  // "sync PATH", "rename TO"
    bool can_exchange = true;
    int die_at_rename = 0;  // 1: at the first, before it happens; 0: never
};

SystemCalls& calls() {
    static SystemCalls instance;
    return instance;
}

void note_rename(const char* to) {
    calls().seen.push_back(std::string("rename ") + to);
    if (calls().die_at_rename > 0 && --calls().die_at_rename == 0) _exit(9);
}

}  // namespace

extern "C" int fsync(int fd) {
    const std::string link = "/proc/self/fd/" + std::to_string(fd);
    calls().seen.push_back("sync " + std::filesystem::read_symlink(link).string());
    return static_cast<int>(syscall(SYS_fsync, fd));
}

extern "C" int rename(const char* from, const char* to) noexcept {
    note_rename(to);
    return static_cast<int>(syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
}

extern "C" int renameat2(int from_folder, const char* from, int to_folder, const char* to,
                         unsigned flags) noexcept {
    if (!calls().can_exchange) {
        errno = EINVAL;
        return -1;
    }
    note_rename(to);
    return static_cast<int>(syscall(SYS_renameat2, from_folder, from, to_folder, to, flags));
}

namespace quarot::io {
namespace {

namespace fs = std::filesystem;

class CommitOrder : public testing::Test {
  protected:
    CommitOrder() { calls() = {}; }

    void make_model(const std::string& config) const {
        fs::create_directory(out_);
        std::ofstream(out_ + "/config.json") << config;
        std::ofstream(out_ + "/quarot.json") << "{}";
    }

    // A new folder in place of the old one, by a process that is killed at rename number `at`.
    void replace_and_die(int at) const {
        const pid_t child = fork();
        if (child == 0) {
            OutputFolder out(out_, true, {});
            out.write_text("config.json", "new");
            out.write_text("quarot.json", "{}");
            calls().can_exchange = false;
            calls().die_at_rename = at;
            out.commit();
            _exit(0);
        }
        int status = 0;
        ASSERT_EQ(waitpid(child, &status, 0), child);
        ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 9) << status;
    }

    std::string config() const { return read_text(out_ + "/config.json", 100); }
    std::vector<std::string> names() const {
        std::vector<std::string> names;
        for (const auto& item : fs::directory_iterator(dir_.path())) {
            names.push_back(item.path().filename().string());
        }
        return names;
    }

    const test::TempDir dir_;
    const std::string out_ = dir_ / "out";
};

TEST_F(CommitOrder, AllIsSyncedBeforeTheRenameAndTheParentAfter) {
    for (const bool replaces : {false, true}) {
        SCOPED_TRACE(replaces);
        OutputFolder out(out_, replaces, {});
        const std::string inside = out.temporary_path();
        out.write_text("quarot.json", "{}");
        std::ofstream(inside + "/model.safetensors") << "written by others";
        calls().seen.clear();
        out.commit();
        const std::vector<std::string>& seen = calls().seen;
        const auto place = [&](const std::string& call) {
            return std::find(seen.begin(), seen.end(), call) - seen.begin();
        };
        const auto renamed = place("rename " + out_);
        ASSERT_LT(renamed, std::ssize(seen));
        EXPECT_LT(place("sync " + inside + "/model.safetensors"), renamed);
        EXPECT_LT(place("sync " + inside + "/quarot.json"), renamed);
        EXPECT_LT(place("sync " + inside), renamed);
        EXPECT_GT(place("sync " + dir_.path()), renamed);
        EXPECT_LT(place("sync " + dir_.path()), std::ssize(seen));
    }
}

TEST_F(CommitOrder, AKillBetweenTheTwoRenamesLosesNothing) {
    make_model("old");
    replace_and_die(2);
    EXPECT_FALSE(fs::exists(out_));
    expect_error(ErrorCode::Usage, {out_, "exists"}, [&] { OutputFolder next(out_, false, {}); });
    EXPECT_EQ(config(), "new");
    { OutputFolder next(out_, true, {}); }
    EXPECT_EQ(config(), "new");
    EXPECT_EQ(names(), std::vector<std::string>{"out"}) << "the replaced folder goes";
}

TEST_F(CommitOrder, AKillBeforeTheFirstRenameLeavesTheOldFolder) {
    make_model("old");
    replace_and_die(1);
    { OutputFolder next(out_, true, {}); }
    EXPECT_EQ(config(), "old");
    EXPECT_EQ(names(), std::vector<std::string>{"out"});
}

TEST_F(CommitOrder, WithoutAWholeNewFolderTheOldOneComesBack) {
    make_model("old");
    replace_and_die(2);
    for (const std::string& name : names()) {
        if (name.find("partial") != std::string::npos) {
            fs::remove(dir_.path() + "/" + name + "/quarot.json");
        }
    }
    { OutputFolder next(out_, true, {}); }
    EXPECT_EQ(config(), "old");
    EXPECT_EQ(names(), std::vector<std::string>{"out"});
}

}  // namespace
}  // namespace quarot::io

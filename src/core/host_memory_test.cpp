#include "core/host_memory.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <limits>
#include <string>

#include "core/error.h"
#include "support/temp_dir.h"

namespace quarot {

TEST(HostMemory, IsReadFromMeminfo) {
    constexpr const char* kText =
        "MemTotal:  32000000 kB\nMemAvailable:   12345 kB\nBuffers: 1 kB\n";
    EXPECT_EQ(parse_available_bytes(kText), 12345 * 1024);
    EXPECT_FALSE(parse_available_bytes("MemTotal: 5 kB\n"));
    EXPECT_FALSE(parse_available_bytes("MemAvailable: lots\n"));
    EXPECT_FALSE(parse_available_bytes("MemAvailable:"));
    EXPECT_FALSE(parse_available_bytes("MemAvailable: 9223372036854775807 kB"));
}

TEST(HostMemory, TheSmallerOfMachineAndControlGroupCounts) {
    const test::TempDir root;
    const auto put = [&](const std::string& path, const std::string& text) {
        const std::filesystem::path file = root.path() + path;
        std::filesystem::create_directories(file.parent_path());
        std::ofstream(file) << text;
    };
    EXPECT_FALSE(available_host_bytes(root.path()));
    put("/proc/self/cgroup", "0::/\n");
    put("/sys/fs/cgroup/memory.max", "5000\n");
    EXPECT_EQ(available_host_bytes(root.path()), 5000);
    put("/proc/meminfo", "MemAvailable: 4 kB\n");
    EXPECT_EQ(available_host_bytes(root.path()), 4096);
    put("/sys/fs/cgroup/memory.max", "4000\n");
    EXPECT_EQ(available_host_bytes(root.path()), 4000);
}

TEST(HostMemory, TooLittleIsAnErrorThatNamesBothNumbers) {
    EXPECT_NO_THROW(require_host_bytes({60, 40}, 100, "m"));
    EXPECT_NO_THROW(require_host_bytes({60, 41}, std::nullopt, "m"));
    EXPECT_THROW(require_host_bytes({60, 41}, 100, "m"), Error);
    constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
    EXPECT_THROW(require_host_bytes({kMost, kMost}, 100, "m"), Error);
    try {
        require_host_bytes({13'000'000'000, 500'000'000}, 8'000'000'000, "models/big");
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::OutOfMemory);
        EXPECT_STREQ(error.what(),
                     "models/big needs 13.50 GB of memory, and 8.00 GB are available");
    }
}

TEST(HostMemory, ACacheThatIsTheLargerPartNamesItsFlag) {
    try {
        require_host_bytes({500'000'000, 13'000'000'000}, 8'000'000'000, "models/big");
        FAIL();
    } catch (const Error& error) {
        const std::string message = error.what();
        EXPECT_NE(message.find("13.00 GB of it are the KV cache"), std::string::npos) << message;
        EXPECT_NE(message.find("`context`"), std::string::npos) << message;
        EXPECT_EQ(error.setting(), "context");
    }
}

}  // namespace quarot

#include "core/control_groups.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "core/thread_pool.h"
#include "support/temp_dir.h"

namespace quarot {
namespace {

class ControlGroups : public testing::Test {
  protected:
    // `path` below the root that stands for "/".
    void put(const std::string& path, const std::string& text) const {
        const std::filesystem::path file = dir_.path() + path;
        std::filesystem::create_directories(file.parent_path());
        std::ofstream(file) << text;
    }
    ControlGroupLimits limits() const { return control_group_limits(dir_.path()); }

    test::TempDir dir_;
};

TEST_F(ControlGroups, NoFilesLimitNothing) {
    EXPECT_FALSE(limits().cpus);
    EXPECT_FALSE(limits().free_memory_bytes);
    put("/proc/self/cgroup", "0::/\n");
    put("/sys/fs/cgroup/cpu.max", "max 100000\n");
    put("/sys/fs/cgroup/memory.max", "max\n");
    EXPECT_FALSE(limits().cpus);
    EXPECT_FALSE(limits().free_memory_bytes);
}

TEST_F(ControlGroups, Version2GivesQuotaAndFreeMemory) {
    put("/proc/self/cgroup", "0::/\n");
    put("/sys/fs/cgroup/cpu.max", "150000 100000\n");
    put("/sys/fs/cgroup/memory.max", "1000000\n");
    put("/sys/fs/cgroup/memory.current", "700000\n");
    put("/sys/fs/cgroup/memory.stat", "anon 400000\nfile 300000\ninactive_file 250000\n");
    EXPECT_EQ(limits().cpus, 1.5);
    EXPECT_EQ(limits().free_memory_bytes, 1000000 - (700000 - 250000));
}

TEST_F(ControlGroups, TheTightestOfAllLevelsCounts) {
    put("/proc/self/cgroup", "0::/pod/box\n");
    put("/sys/fs/cgroup/pod/cpu.max", "200000 100000\n");
    put("/sys/fs/cgroup/pod/box/cpu.max", "400000 100000\n");
    put("/sys/fs/cgroup/pod/memory.max", "9000\n");
    put("/sys/fs/cgroup/pod/box/memory.max", "5000\n");
    EXPECT_EQ(limits().cpus, 2.0);
    EXPECT_EQ(limits().free_memory_bytes, 5000);
}

// As in a container that knows its group by the host's path, which is not there inside.
TEST_F(ControlGroups, Version1OfAContainerIsReadAtTheMount) {
    put("/proc/self/cgroup", "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n2:cpuset:/\n");
    put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "300000\n");
    put("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "8000\n");
    put("/sys/fs/cgroup/memory/memory.usage_in_bytes", "6000\n");
    put("/sys/fs/cgroup/memory/memory.stat", "inactive_file 1\ntotal_inactive_file 1000\n");
    EXPECT_EQ(limits().cpus, 3.0);
    EXPECT_EQ(limits().free_memory_bytes, 3000);
}

TEST_F(ControlGroups, Version1WithoutALimitLimitsNothing) {
    put("/proc/self/cgroup", "3:cpu,cpuacct:/\n");
    put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
    put("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    EXPECT_FALSE(limits().cpus);
}

TEST_F(ControlGroups, WhatCannotBeUnderstoodLimitsNothing) {
    put("/proc/self/cgroup", "garbage\n0::/../..\n:\n");
    put("/sys/fs/cgroup/cpu.max", "99999999999999999999 100000\n");
    put("/sys/fs/cgroup/memory.max", "-5\n");
    EXPECT_FALSE(limits().cpus);
    EXPECT_FALSE(limits().free_memory_bytes);
}

TEST_F(ControlGroups, MemoryUsedBeyondTheLimitLeavesNone) {
    put("/proc/self/cgroup", "0::/\n");
    put("/sys/fs/cgroup/memory.max", "1000\n");
    put("/sys/fs/cgroup/memory.current", "5000\n");
    EXPECT_EQ(limits().free_memory_bytes, 0);
}

TEST_F(ControlGroups, CoresAreTheSmallerOfAffinityAndQuota) {
    const int without = physical_cores(dir_.path());
    put("/proc/self/cgroup", "0::/\n");
    const auto cores_with = [&](const std::string& quota) {
        put("/sys/fs/cgroup/cpu.max", quota);
        return physical_cores(dir_.path());
    };
    EXPECT_EQ(cores_with("50000 100000\n"), 1) << "half a core runs one thread";
    EXPECT_EQ(cores_with("100000 100000\n"), 1);
    EXPECT_EQ(cores_with("199999 100000\n"), 1) << "a second thread would wait for its time";
    EXPECT_EQ(cores_with("6400000 100000\n"), std::min(without, 64));
    EXPECT_EQ(cores_with("max 100000\n"), without);
}

}  // namespace
}  // namespace quarot

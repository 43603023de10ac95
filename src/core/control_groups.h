// What the control groups of this process allow it: a container's share of a machine.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace quarot {

// Empty where nothing limits. The tightest of the process's own group and all groups around it.
struct ControlGroupLimits {
    std::optional<double> cpus;                // time of processors: quota / period
    std::optional<int64_t> free_memory_bytes;  // limit less use; cached files do not count as used
};

// Of versions 1 and 2, from proc/self/cgroup and sys/fs/cgroup below `root`. A file that is missing
// or cannot be understood limits nothing.
ControlGroupLimits control_group_limits(const std::string& root = "");

}  // namespace quarot

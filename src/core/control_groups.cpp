// A container may see its group as the root of the mounted tree, or by the path that the host knows
// and that does not exist inside. So every level is asked, from the named group up to the mount.
#include "core/control_groups.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <sstream>
#include <string_view>
#include <system_error>
#include <vector>

namespace quarot {

namespace {

constexpr const char* kMount = "/sys/fs/cgroup";

std::string text_of(const std::string& path) {
    std::ifstream file(path);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

// Empty for "max" and anything else that is no number.
std::optional<int64_t> number(std::string_view text) {
    const size_t end = text.find_first_of(" \n");
    text = text.substr(0, end);
    int64_t value = 0;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
    if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) return std::nullopt;
    return value;
}

std::optional<int64_t> number_in(const std::string& path) {
    return number(text_of(path));
}

// The value on the line "key value" of a table of such lines.
std::optional<int64_t> number_of(std::string_view table, std::string_view key) {
    std::istringstream lines{std::string(table)};
    for (std::string line; std::getline(lines, line);) {
        const size_t space = line.find(' ');
        if (space != std::string::npos && std::string_view(line).substr(0, space) == key) {
            return number(std::string_view(line).substr(space + 1));
        }
    }
    return std::nullopt;
}

template <typename Value>
void tighten(std::optional<Value>& limit, std::optional<Value> other) {
    if (other && (!limit || *other < *limit)) limit = other;
}

std::optional<double> share(std::optional<int64_t> quota, std::optional<int64_t> period) {
    if (!quota || !period || *quota <= 0 || *period <= 0) return std::nullopt;
    return static_cast<double>(*quota) / static_cast<double>(*period);
}

std::optional<int64_t> room(std::optional<int64_t> limit, std::optional<int64_t> used,
                            std::optional<int64_t> cached) {
    if (!limit || *limit < 0) return std::nullopt;
    const int64_t held = std::max<int64_t>(0, used.value_or(0) - cached.value_or(0));
    return std::max<int64_t>(0, *limit - held);
}

void read_version_2(const std::string& group, ControlGroupLimits& limits) {
    const std::string cpu = text_of(group + "/cpu.max");  // "quota period"
    const size_t space = cpu.find(' ');
    if (space != std::string::npos) {
        tighten(limits.cpus, share(number(cpu), number(std::string_view(cpu).substr(space + 1))));
    }
    tighten(limits.free_memory_bytes,
            room(number_in(group + "/memory.max"), number_in(group + "/memory.current"),
                 number_of(text_of(group + "/memory.stat"), "inactive_file")));
}

void read_version_1_cpu(const std::string& group, ControlGroupLimits& limits) {
    tighten(limits.cpus,
            share(number_in(group + "/cpu.cfs_quota_us"), number_in(group + "/cpu.cfs_period_us")));
}

void read_version_1_memory(const std::string& group, ControlGroupLimits& limits) {
    tighten(limits.free_memory_bytes,
            room(number_in(group + "/memory.limit_in_bytes"),
                 number_in(group + "/memory.usage_in_bytes"),
                 number_of(text_of(group + "/memory.stat"), "total_inactive_file")));
}

using Read = void (*)(const std::string& group, ControlGroupLimits& limits);

// The group at `path` below `mount`, and all around it.
void read_upwards(const std::string& mount, std::string path, Read read,
                  ControlGroupLimits& limits) {
    while (true) {
        while (!path.empty() && path.back() == '/') path.pop_back();
        read(mount + path, limits);
        if (path.empty()) return;
        path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
    }
}

// In "cpu,cpuacct" stand cpu and cpuacct.
bool lists(const std::string& controllers, const std::string& name) {
    std::istringstream names(controllers);
    for (std::string each; std::getline(names, each, ',');) {
        if (each == name) return true;
    }
    return false;
}

}  // namespace

ControlGroupLimits control_group_limits(const std::string& root) {
    ControlGroupLimits limits;
    const std::string mount = root + kMount;
    std::istringstream groups(text_of(root + "/proc/self/cgroup"));
    for (std::string line; std::getline(groups, line);) {  // "number:controllers:path"
        const size_t first = line.find(':');
        const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
        if (second == std::string::npos) continue;
        const std::string controllers = line.substr(first + 1, second - first - 1);
        const std::string path = line.substr(second + 1);
        if (controllers.empty()) read_upwards(mount, path, read_version_2, limits);
        if (lists(controllers, "cpu")) {
            read_upwards(mount + "/cpu", path, read_version_1_cpu, limits);
        }
        if (lists(controllers, "memory")) {
            read_upwards(mount + "/memory", path, read_version_1_memory, limits);
        }
    }
    return limits;
}

}  // namespace quarot

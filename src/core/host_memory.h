// Does the machine have the memory that a model needs?
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace quarot {

// "MemAvailable" of a /proc/meminfo text, in bytes; empty if it has none.
std::optional<int64_t> parse_available_bytes(std::string_view meminfo);
// The smaller of what the machine and the process's control groups have left; empty where the
// system does not say. Files are read below `root`.
std::optional<int64_t> available_host_bytes(const std::string& root = "");

// What a run will hold, in bytes.
struct MemoryNeed {
    int64_t weights = 0;
    int64_t kv_cache = 0;
};

// Error{OutOfMemory} naming both numbers if `need` is more than `available`, and the setting that
// lowers it where the cache is the larger part.
void require_host_bytes(const MemoryNeed& need, std::optional<int64_t> available,
                        const std::string& what);

}  // namespace quarot

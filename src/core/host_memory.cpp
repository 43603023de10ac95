#include "core/host_memory.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <limits>
#include <sstream>

#include "core/checked_math.h"
#include "core/control_groups.h"
#include "core/error.h"
#include "core/setting.h"

namespace quarot {

std::optional<int64_t> parse_available_bytes(std::string_view meminfo) {
    constexpr std::string_view kKey = "MemAvailable:";
    const size_t at = meminfo.find(kKey);
    if (at == std::string_view::npos) return std::nullopt;
    std::string_view rest = meminfo.substr(at + kKey.size());
    rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
    int64_t kibibytes = 0;
    const auto parsed = std::from_chars(rest.data(), rest.data() + rest.size(), kibibytes);
    if (parsed.ec != std::errc() || kibibytes < 0) return std::nullopt;
    return checked_mul(kibibytes, 1024);
}

std::optional<int64_t> available_host_bytes(const std::string& root) {
    std::ifstream file(root + "/proc/meminfo");
    std::ostringstream text;
    text << file.rdbuf();
    const std::optional<int64_t> machine = parse_available_bytes(text.str());
    const std::optional<int64_t> group = control_group_limits(root).free_memory_bytes;
    if (!machine || !group) return machine ? machine : group;
    return std::min(*machine, *group);
}

void require_host_bytes(const MemoryNeed& need, std::optional<int64_t> available,
                        const std::string& what) {
    const int64_t needed =
        checked_add(need.weights, need.kv_cache).value_or(std::numeric_limits<int64_t>::max());
    if (!available || needed <= *available) return;
    const std::string found =
        fmt::format("{} needs {:.2f} GB of memory, and {:.2f} GB are available", what,
                    static_cast<double>(needed) * 1e-9, static_cast<double>(*available) * 1e-9);
    if (need.kv_cache <= need.weights) fail(ErrorCode::OutOfMemory, "{}", found);
    fail(ErrorCode::OutOfMemory, "{}; {:.2f} GB of it are the KV cache, use a smaller {} or {}",
         found, static_cast<double>(need.kv_cache) * 1e-9, Setting{"context"},
         Setting{"window_tokens"});
}

}  // namespace quarot

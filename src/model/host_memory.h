// Does the machine have the memory that a model needs?
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace quarot::model {

// "MemAvailable" of a /proc/meminfo text, in bytes; empty if it has none.
std::optional<int64_t> parse_available_bytes(std::string_view meminfo);
// Of this machine; empty where the system does not say.
std::optional<int64_t> available_host_bytes();

// Error{OutOfMemory} naming both numbers if `needed` is more than `available`.
void require_host_bytes(int64_t needed, std::optional<int64_t> available, const std::string& what);

}  // namespace quarot::model

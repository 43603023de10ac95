#include "io/file_listing.h"

#include <filesystem>
#include <system_error>

namespace quarot::io {

bool is_listed(const std::string& path) {
    std::error_code ignored;
    return std::filesystem::exists(std::filesystem::symlink_status(path, ignored));
}

}  // namespace quarot::io

#include "search/scratch_folder.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "core/error.h"

namespace quarot::search {

ScratchFolder::ScratchFolder(const std::string& path) : path_(path + ".measured-XXXXXX") {
    if (::mkdtemp(path_.data()) != nullptr) return;
    fail(ErrorCode::Io, "cannot create {}: {}", path_, std::strerror(errno));
}

ScratchFolder::~ScratchFolder() {
    std::error_code gone;
    std::filesystem::remove_all(path_, gone);
}

}  // namespace quarot::search

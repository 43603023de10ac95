#include "layering/sources.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

namespace quarot::test {

namespace {

namespace fs = std::filesystem;

const std::set<std::string> kExtensions = {".h", ".cpp", ".inc", ".cu", ".cuh"};

std::string read_file(const fs::path& path) {
    std::ostringstream text;
    text << std::ifstream(path, std::ios::binary).rdbuf();
    return text.str();
}

}  // namespace

std::vector<Source> sources_under(const std::string& root, const std::string& folder) {
    std::vector<fs::path> paths;
    for (const auto& entry : fs::recursive_directory_iterator(fs::path(root) / folder)) {
        if (kExtensions.contains(entry.path().extension().string())) paths.push_back(entry.path());
    }
    std::sort(paths.begin(), paths.end());
    std::vector<Source> sources;
    for (const fs::path& path : paths) {
        sources.push_back({fs::relative(path, root).generic_string(), read_file(path)});
    }
    return sources;
}

}  // namespace quarot::test

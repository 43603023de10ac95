// The source files of a folder of the checkout.
#pragma once

#include <string>
#include <vector>

namespace quarot::test {

struct Source {
    std::string file;  // below the root, as "src/core/log.cpp"
    std::string text;
};

// All below root/folder by name, tests among them; names are relative to the root.
std::vector<Source> sources_under(const std::string& root, const std::string& folder);

}  // namespace quarot::test

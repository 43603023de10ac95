// The #include lines of a source tree: who names what.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace quarot::test {

struct Include {
    std::string file;  // "model/forward.cpp", relative to the root of its tree
    int line = 0;
    std::string target;  // "kernels/ops.h" or "fmt/format.h"
    bool angled = false;

    // The first component of file, and of target; target's is empty if it has none.
    std::string from_folder() const;
    std::string to_folder() const;
    std::string place() const;  // "model/forward.cpp:7"
};

// Of one file's text.
std::vector<Include> includes_of(std::string_view text, const std::string& file);

// Of all .h, .cpp, .inc, .cu and .cuh files under root/<folder>, in order of name. `folder` begins
// each file.
std::vector<Include> includes_under(const std::string& root, const std::string& folder);

}  // namespace quarot::test

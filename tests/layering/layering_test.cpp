// Who may include whom: cmake/layers.txt, the seam of the backends, and where third-party headers
// stay.
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "layering/includes.h"
#include "support/checkout.h"

namespace quarot::test {
namespace {

const std::string kSource = checkout();

// folder -> folders it may include, itself among them.
using Layers = std::map<std::string, std::set<std::string>>;

Layers read_layers(std::istream& file) {
    Layers layers;
    std::string line;
    while (std::getline(file, line)) {
        const size_t colon = line.find(':');
        if (line.empty() || line[0] == '#' || colon == std::string::npos) continue;
        const std::string folder = line.substr(0, colon);
        std::istringstream allowed(line.substr(colon + 1));
        std::string name;
        layers[folder].insert(folder);
        while (allowed >> name) layers[folder].insert(name);
    }
    return layers;
}

Layers read_layers() {
    std::ifstream file(kSource + "/cmake/layers.txt");
    return read_layers(file);
}

// The rows "| `folder` | question | `what it may include` |" of docs/architecture.md, "-" for none.
Layers read_table(std::istream& page) {
    const std::string cell = "` | ";
    Layers layers;
    std::string line;
    bool in_table = false;
    while (std::getline(page, line)) {
        if (line.starts_with("| folder |")) in_table = true;
        if (line.empty()) in_table = false;
        const size_t end = line.find(cell);
        if (!in_table || !line.starts_with("| `") || end == std::string::npos) continue;
        const std::string folder = line.substr(3, end - 3);
        std::string last = line.substr(line.find(" | ", end + cell.size()) + 3);
        std::erase_if(last, [](char c) { return c == '`' || c == '|' || c == '-'; });
        std::istringstream allowed(last);
        std::string name;
        layers[folder].insert(folder);
        while (allowed >> name) layers[folder].insert(name);
    }
    return layers;
}

// Folders of the library and the program; a file's folder is its first component below src/.
std::vector<Include> all_includes() {
    std::vector<Include> found;
    for (const auto& [folder, allowed] : read_layers()) {
        const bool program = folder == "apps";
        for (Include& include : includes_under(program ? kSource : kSource + "/src", folder)) {
            found.push_back(std::move(include));
        }
    }
    return found;
}

// Every header that each header of the library names.
using Headers = std::map<std::string, std::vector<std::string>>;

Headers headers_of(const std::vector<Include>& includes) {
    Headers headers;
    for (const Include& include : includes) {
        if (!include.angled) headers[include.file].push_back(include.target);
    }
    return headers;
}

// The headers that an include brings with it, at any depth, which its folder may not include.
std::string upward_reach(const Include& include, const Headers& headers, const Layers& layers) {
    if (include.angled) return "";
    const std::set<std::string>& allowed = layers.at(include.from_folder());
    std::set<std::string> seen = {include.target};
    std::vector<std::string> open = {include.target};
    while (!open.empty()) {
        const std::string header = open.back();
        open.pop_back();
        const std::string folder = header.substr(0, header.find('/'));
        if (layers.contains(folder) && !allowed.contains(folder)) {
            return include.place() + " reaches " + header + " through " + include.target;
        }
        const auto found = headers.find(header);
        if (found == headers.end()) continue;
        for (const std::string& next : found->second) {
            if (seen.insert(next).second) open.push_back(next);
        }
    }
    return "";
}

std::string passed_seam(const Include& include) {
    static const std::set<std::string> below = {"core", "tensor", "io", "linalg", "tokenizer"};
    const std::string from = include.from_folder();
    if (include.to_folder() != "kernels" || from == "kernels" || below.contains(from)) return "";
    static const std::set<std::string> contract = {"kernels/backend.h", "kernels/formats.h",
                                                   "kernels/functions.h", "kernels/group.h",
                                                   "kernels/ops.h"};
    if (contract.contains(include.target)) return "";
    // GPTQ's steps in a backend's memory: a contract with one user.
    if (include.target == "kernels/column_solver.h" && from == "quantize") return "";
    // Products of a vendor's library to measure beside ours: likewise.
    if (include.target == "kernels/fp8_product.h" && from == "bench") return "";
    return include.place() + " includes " + include.target;
}

// Where a third-party header may be named: prefixes of the header -> prefixes of the file.
struct Home {
    std::string header;
    std::vector<std::string> files;
};

const std::vector<Home> kHomes = {
    {"nlohmann/", {"io/"}},
    {"CLI/", {"apps/"}},
    {"spdlog/", {"core/"}},
    {"cblas", {"linalg/", "kernels/cpu/"}},
    {"lapacke", {"linalg/", "kernels/cpu/"}},
    {"openssl/", {"io/", "serve/tls_openssl.cpp", "serve/tls_test.cpp"}},
    {"xxhash", {"io/"}},
    {"immintrin", {"kernels/cpu/"}},
    {"cuda", {"kernels/cuda/"}},
    {"cublas", {"kernels/cuda/"}},
    {"boost/",
     {"serve/http_reader.cpp", "serve/http_server.cpp", "serve/connection.", "serve/client_stream.",
      "serve/hub.h", "serve/net.h", "serve/tls_layer.h", "serve/tls_openssl.cpp"}},
    {"arpa/", {"serve/server_for_tests.h"}},
    {"netinet/", {"serve/server_for_tests.h"}},
    {"fmt/", {""}},
    {"gtest/", {""}}};

bool begins_with_any(const std::string& text, const std::vector<std::string>& prefixes) {
    for (const std::string& prefix : prefixes) {
        if (text.starts_with(prefix)) return true;
    }
    return false;
}

bool is_system_header(const std::string& target) {
    return target.find('/') == std::string::npos || target.starts_with("sys/");
}

std::string escaped_header(const Include& include) {
    for (const Home& home : kHomes) {
        if (!include.target.starts_with(home.header)) continue;
        return begins_with_any(include.file, home.files)
                   ? ""
                   : include.place() + " includes " + include.target;
    }
    if (!include.angled || is_system_header(include.target)) return "";
    return include.place() + " includes " + include.target + ", which has no home in this test";
}

TEST(Layering, LayersListEveryFolderOfTheSource) {
    const Layers layers = read_layers();
    EXPECT_GE(layers.size(), 12u);
    for (const Include& include : includes_under(kSource, "src")) {
        const std::string file = include.file.substr(std::string("src/").size());
        EXPECT_TRUE(layers.contains(file.substr(0, file.find('/')))) << include.place();
    }
}

TEST(Layering, TheArchitecturePageHasTheSameRows) {
    std::ifstream page(kSource + "/docs/architecture.md");
    EXPECT_EQ(read_table(page), read_layers());
}

TEST(Layering, NoFolderMayIncludeOneThatMayIncludeIt) {
    const Layers layers = read_layers();
    for (const auto& [folder, allowed] : layers) {
        for (const std::string& lower : allowed) {
            if (lower == folder) continue;
            ASSERT_TRUE(layers.contains(lower)) << folder << " names " << lower;
            EXPECT_FALSE(layers.at(lower).contains(folder)) << folder << " and " << lower;
        }
    }
}

TEST(Layering, FoldersIncludeLowerFoldersOnly) {
    const Layers layers = read_layers();
    const std::vector<Include> includes = all_includes();
    const Headers headers = headers_of(includes);
    for (const Include& include : includes) {
        EXPECT_EQ(upward_reach(include, headers, layers), "");
    }
}

TEST(Layering, AboveKernelsOnlyTheContractAndTheChooserAreNamed) {
    for (const Include& include : all_includes()) {
        EXPECT_EQ(passed_seam(include), "");
    }
}

TEST(Layering, ThirdPartyHeadersStayAtHome) {
    for (const Include& include : all_includes()) {
        EXPECT_EQ(escaped_header(include), "");
    }
}

TEST(Layering, TheRulesFindWhatBreaksThem) {
    std::istringstream lines("# comment\ncore:\nio: core\nkernels: core\nmodel: kernels io core\n");
    const Layers layers = read_layers(lines);
    const auto one = [](const std::string& file, const std::string& line) {
        return includes_of(line, file).at(0);
    };
    EXPECT_NE(upward_reach(one("io/a.cpp", "#include \"model/b.h\""), {}, layers), "");
    EXPECT_EQ(upward_reach(one("model/a.cpp", "  # include \"io/b.h\"  // why"), {}, layers), "");
    const Headers headers = headers_of(
        {one("model/b.h", "#include \"model/c.h\""), one("model/c.h", "#include \"io/d.h\"")});
    std::istringstream blind("core:\nio: core\nmodel: io core\nruntime: model core\n");
    const Layers without_io = read_layers(blind);
    EXPECT_NE(upward_reach(one("runtime/a.cpp", "#include \"model/b.h\""), headers, without_io),
              "");
    EXPECT_EQ(upward_reach(one("model/a.cpp", "#include \"model/b.h\""), headers, without_io), "");
    EXPECT_NE(passed_seam(one("model/a.cpp", "#include \"kernels/cpu/x.h\"")), "");
    EXPECT_EQ(passed_seam(one("model/a.cpp", "#include \"kernels/ops.h\"")), "");
    EXPECT_NE(passed_seam(one("model/a.cpp", "#include \"kernels/column_solver.h\"")), "");
    EXPECT_EQ(passed_seam(one("quantize/a.cpp", "#include \"kernels/column_solver.h\"")), "");
    EXPECT_NE(passed_seam(one("quantize/a.cpp", "#include \"kernels/fp8_product.h\"")), "");
    EXPECT_NE(escaped_header(one("model/a.cpp", "#include <nlohmann/json.hpp>")), "");
    EXPECT_NE(escaped_header(one("model/a.cpp", "#include <boost/any.hpp>")), "");
    EXPECT_EQ(escaped_header(one("io/a.cpp", "#include <nlohmann/json.hpp>")), "");
}

}  // namespace
}  // namespace quarot::test

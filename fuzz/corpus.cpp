// Writes what the fuzzer begins with: FOLDER/<target>/NNN for every seed, FOLDER/<target>.dict for
// the words, and on stdout one line a target: its name and its longest input.
#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

#include "fuzz/target.h"

namespace quarot::fuzz {
namespace {

namespace fs = std::filesystem;

std::string quoted(const std::string& word) {
    std::string text = "\"";
    for (const char c : word) {
        const auto byte = static_cast<unsigned char>(c);
        const bool plain = byte >= 0x20 && byte < 0x7f && c != '"' && c != '\\';
        text += plain ? std::string(1, c) : fmt::format("\\x{:02x}", byte);
    }
    return text + "\"";
}

void write_corpus(const Target& target, const fs::path& folder) {
    fs::create_directories(folder / target.name);
    int n = 0;
    for (const std::string& seed : target.seeds()) {
        std::ofstream file(folder / target.name / fmt::format("{:03}", n++), std::ios::binary);
        file << seed;
    }
    std::ofstream dictionary(folder / (std::string(target.name) + ".dict"));
    for (const std::string& word : target.words()) dictionary << quoted(word) << "\n";
    fmt::print("{} {}\n", target.name, target.max_bytes);
}

}  // namespace
}  // namespace quarot::fuzz

int main(int argc, char** argv) {
    if (argc != 2) {
        fmt::print(stderr, "usage: fuzz_corpus FOLDER\n");
        return 2;
    }
    for (const quarot::fuzz::Target* target : quarot::fuzz::targets()) {
        quarot::fuzz::write_corpus(*target, argv[1]);
    }
    return 0;
}

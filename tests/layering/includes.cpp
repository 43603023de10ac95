#include "layering/includes.h"

#include <sstream>
#include <utility>

#include "layering/sources.h"

namespace quarot::test {

namespace {

std::string first_component(const std::string& path) {
    const size_t slash = path.find('/');
    return slash == std::string::npos ? "" : path.substr(0, slash);
}

}  // namespace

std::string Include::from_folder() const {
    return first_component(file);
}

std::string Include::to_folder() const {
    return first_component(target);
}

std::string Include::place() const {
    return file + ":" + std::to_string(line);
}

std::vector<Include> includes_of(std::string_view text, const std::string& file) {
    std::vector<Include> found;
    std::istringstream lines{std::string(text)};
    std::string line;
    for (int number = 1; std::getline(lines, line); ++number) {
        const size_t hash = line.find_first_not_of(" \t");
        if (hash == std::string::npos || line[hash] != '#') continue;
        const size_t word = line.find_first_not_of(" \t", hash + 1);
        if (word == std::string::npos || line.compare(word, 7, "include") != 0) continue;
        const size_t open = line.find_first_of("\"<", word);
        if (open == std::string::npos) continue;
        const bool angled = line[open] == '<';
        const size_t close = line.find(angled ? '>' : '"', open + 1);
        if (close == std::string::npos) continue;
        found.push_back({file, number, line.substr(open + 1, close - open - 1), angled});
    }
    return found;
}

std::vector<Include> includes_under(const std::string& root, const std::string& folder) {
    std::vector<Include> found;
    for (const Source& source : sources_under(root, folder)) {
        for (Include& include : includes_of(source.text, source.file)) {
            found.push_back(std::move(include));
        }
    }
    return found;
}

}  // namespace quarot::test

#include "e2e/expectations.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <sstream>

namespace quarot::test {

namespace {

std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) lines.push_back(line);
    return lines;
}

}  // namespace

void expect_success(const Outcome& outcome) {
    EXPECT_EQ(outcome.exit_code, 0) << outcome.command << "\n" << outcome.err;
}

void expect_failure(const Outcome& outcome, int exit_code, const std::vector<std::string>& words) {
    SCOPED_TRACE(outcome.command + "\n" + outcome.err);
    EXPECT_EQ(outcome.exit_code, exit_code);
    EXPECT_EQ(outcome.out, "");
    const std::vector<std::string> lines = lines_of(outcome.err);
    ASSERT_FALSE(lines.empty());
    for (size_t i = 0; i + 1 < lines.size(); ++i) {
        EXPECT_TRUE(lines[i].starts_with("quarot: backend ") ||
                    lines[i].starts_with("quarot: warning: "))
            << lines[i];
    }
    const std::string prefix = "quarot: error: ";
    EXPECT_TRUE(lines.back().starts_with(prefix)) << lines.back();
    EXPECT_GT(lines.back().size(), prefix.size() + 10) << "too short to help";
    EXPECT_LT(lines.back().size(), 1000u) << "too long to read";
    for (const std::string& word : words) {
        EXPECT_NE(lines.back().find(word), std::string::npos) << "'" << word << "' is not named";
    }
}

void expect_document(const io::Json& json, const std::string& command,
                     const std::vector<std::string>& keys) {
    EXPECT_EQ(json.at("schema").as_string(), "quarot." + command + "/1");
    EXPECT_FALSE(json.at("version").as_string().empty());
    for (const std::string& key : keys) EXPECT_TRUE(json.contains(key)) << key;
}

std::vector<std::string> listing(const std::string& folder) {
    std::vector<std::string> paths;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
        paths.push_back(entry.path().string());
    }
    std::sort(paths.begin(), paths.end());
    return paths;
}

}  // namespace quarot::test

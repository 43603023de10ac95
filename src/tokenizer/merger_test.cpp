// Do windows change nothing about merges?
#include "tokenizer/merger.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "io/json.h"

namespace quarot::tokenizer {
namespace {

using Ids = std::vector<int32_t>;

struct Merging {
    // Ids 0 and on for the letters, then for what the merges make; merges as pairs of tokens.
    Merging(const std::string& letters, const io::Json& merges)
        : vocabulary(make_vocabulary(letters, merges)),
          merger(MergeTable::parse(merges, vocabulary), vocabulary, {}) {}

    static Vocabulary make_vocabulary(const std::string& letters, const io::Json& merges) {
        Vocabulary vocabulary;
        const auto add = [&](const std::string& token) {
            if (vocabulary.find(token)) return;
            vocabulary.add(token, static_cast<int32_t>(vocabulary.size()), "test");
        };
        for (char letter : letters) add(std::string(1, letter));
        for (const io::Json& merge : merges.as_array()) {
            add(merge.as_array()[0].as_string() + merge.as_array()[1].as_string());
        }
        return vocabulary;
    }

    // Windows that each begin where the one before it is settled, longer if they yield nothing.
    Ids merge(std::span<const int32_t> symbols, size_t window) {
        Ids ids;
        while (!symbols.empty()) {
            const auto part = symbols.first(std::min(window, symbols.size()));
            const size_t known = merger.merge(part, part.size() < symbols.size(), work, ids);
            symbols = symbols.subspan(known);
            if (known == 0) window *= 2;
        }
        return ids;
    }

    Vocabulary vocabulary;
    Merger merger;
    Merger::Workspace work;
};

io::Json pair(const std::string& left, const std::string& right) {
    return io::Json::Array{left, right};
}

// Merges in any order, with all ways to make a token in the list if `all_ways`: then some of them
// come before what makes their parts.
io::Json random_merges(std::mt19937& random, const std::string& letters, bool all_ways) {
    std::vector<std::string> tokens;
    for (char letter : letters) tokens.emplace_back(1, letter);
    io::Json merges{io::Json::Array{}};
    for (int i = 0; i < 14; ++i) {
        const std::string made =
            tokens[random() % tokens.size()] + tokens[random() % tokens.size()];
        if (made.size() > 12 || std::find(tokens.begin(), tokens.end(), made) != tokens.end()) {
            continue;
        }
        tokens.push_back(made);
    }
    if (all_ways) std::shuffle(tokens.begin(), tokens.end(), random);
    for (const std::string& made : tokens) {
        for (size_t at = 1; at < made.size(); ++at) {
            const std::string left = made.substr(0, at);
            const std::string right = made.substr(at);
            const auto known = [&](const std::string& part) {
                return std::find(tokens.begin(), tokens.end(), part) != tokens.end();
            };
            if (!known(left) || !known(right)) continue;
            merges.push_back(pair(left, right));
            if (!all_ways) break;
        }
    }
    return merges;
}

void expect_windows_change_nothing(bool all_ways, uint32_t seed) {
    std::mt19937 random(seed);
    for (int round = 0; round < 400; ++round) {
        const std::string letters = round % 2 == 0 ? "ab" : "abc";
        const io::Json merges = random_merges(random, letters, all_ways);
        Merging model(letters, merges);
        for (int text = 0; text < 40; ++text) {
            Ids symbols(random() % 60);
            for (int32_t& symbol : symbols) {
                symbol = static_cast<int32_t>(random() % letters.size());
            }
            const Ids whole = model.merge(symbols, symbols.size() + 1);
            for (size_t window : {2, 3, 4, 7, 12, 20}) {
                ASSERT_EQ(model.merge(symbols, window), whole)
                    << merges.dump(-1) << " seed " << seed << " round " << round;
            }
        }
    }
}

TEST(Merger, WindowsChangeNothingWhereMergesComeAfterThoseOfTheirParts) {
    expect_windows_change_nothing(false, 30);
}

TEST(Merger, WindowsChangeNothingWhereMergesComeBeforeThoseOfTheirParts) {
    expect_windows_change_nothing(true, 31);
}

TEST(Merger, KnowsWhenMergesComeLate) {
    // "a" "bc" comes before "b" "c", which makes its right part.
    const Merging model("abc", io::Json::Array{pair("a", "bc"), pair("b", "c"), pair("bc", "a")});
    const auto id = [&](const char* token) { return *model.vocabulary.find(token); };
    const MergeOrder order(model.merger.merges(), model.vocabulary, {});
    EXPECT_EQ(order.late_from(id("a")), 1);
    EXPECT_EQ(order.late_from(id("b")), MergeOrder::kNever);
    EXPECT_EQ(order.late_from(id("bc")), MergeOrder::kNever);
    EXPECT_EQ(order.next_rank(id("bc"), 0), 2);
    EXPECT_EQ(order.next_rank(id("bc"), 3), MergeOrder::kNever);
    EXPECT_EQ(order.next_rank(id("c"), 0), MergeOrder::kNever);
    const MergeOrder there(model.merger.merges(), model.vocabulary, std::vector{id("bc")});
    EXPECT_EQ(there.late_from(id("a")), 0);
}

TEST(Merger, MergesWithAPartWithoutTextEnd) {
    const Merging model("ab", io::Json::Array{pair("a", "b")});
    Vocabulary vocabulary = model.vocabulary;
    vocabulary.add("", 3, "test");
    const auto merges = io::Json(io::Json::Array{pair("a", "b"), pair("", "ab"), pair("ab", "")});
    const Merger merger(MergeTable::parse(merges, vocabulary), vocabulary, {});
    Merger::Workspace work;
    Ids ids;
    EXPECT_EQ(merger.merge(Ids{0, 1, 0, 1}, true, work, ids), 0U);
    merger.merge(Ids{0, 1, 0, 1, 0, 1, 3, 0, 1}, false, work, ids);
    EXPECT_EQ(ids, (Ids{2, 2, 2, 2}));
}

}  // namespace
}  // namespace quarot::tokenizer

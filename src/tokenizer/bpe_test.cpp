// Do merges give the ids that their definition gives, in work that grows linearly with a piece?
#include "tokenizer/bpe.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string>

#include "tokenizer/test_model.h"

namespace quarot::tokenizer {
namespace {

struct Model {
    explicit Model(std::string_view text, bool byte_level = false)
        : json(test::parse(text)),
          vocabulary(read_vocabulary(json)),
          bpe(json, vocabulary, byte_level) {}

    static Vocabulary read_vocabulary(const io::Json& json) {
        Vocabulary vocabulary;
        for (const auto& [token, id] : json.at("vocab").as_object()) {
            vocabulary.add(token, parse_id(id), "vocab");
        }
        return vocabulary;
    }

    std::vector<int32_t> encode(std::string_view piece) {
        std::vector<int32_t> ids;
        bpe.encode(piece, work, ids);
        return ids;
    }

    io::Json json;
    Vocabulary vocabulary;
    Bpe bpe;
    Bpe::Workspace work;
};

using Ids = std::vector<int32_t>;

TEST(Bpe, EarlierMergesGoFirstWhereverTheyStand) {
    Model model(R"({"vocab": {"a": 0, "b": 1, "c": 2, "bc": 3, "ab": 4},
                    "merges": ["b c", "a b"]})");
    EXPECT_EQ(model.encode("abc"), (Ids{0, 3}));
    EXPECT_EQ(model.encode("aba"), (Ids{4, 0}));
}

TEST(Bpe, EqualMergesGoFromTheLeft) {
    Model model(R"({"vocab": {"a": 0, "aa": 1}, "merges": [["a", "a"]]})");
    EXPECT_EQ(model.encode("aaa"), (Ids{1, 0}));
}

TEST(Bpe, MergesOfMergesAreFound) {
    Model model(R"({"vocab": {"a": 0, "aa": 1, "aaaa": 2}, "merges": ["a a", "aa aa"]})");
    EXPECT_EQ(model.encode("aaaaaaa"), (Ids{2, 1, 0}));
}

TEST(Bpe, TheLastOfTwoMergesOfOnePairCounts) {
    Model model(R"({"vocab": {"a": 0, "b": 1, "c": 2, "ab": 3, "bc": 4},
                    "merges": ["a b", "b c", "a b"]})");
    EXPECT_EQ(model.encode("abc"), (Ids{0, 4}));
}

TEST(Bpe, AWholeTokenNeedsNoMergesIfTheyAreIgnored) {
    const std::string rest = R"("vocab": {"a": 0, "b": 1, "ab": 2}, "merges": []})";
    Model merging("{" + rest);
    Model ignoring(R"({"ignore_merges": true, )" + rest);
    EXPECT_EQ(merging.encode("ab"), (Ids{0, 1}));
    EXPECT_EQ(ignoring.encode("ab"), (Ids{2}));
    EXPECT_EQ(ignoring.encode("aba"), (Ids{0, 1, 0}));
}

TEST(Bpe, IgnoredMergesLookBytesUpInTheirSpelling) {
    Model model(R"({"ignore_merges": true, "vocab": {"Ġ": 0, "a": 1, "Ġa": 2}, "merges": []})",
                true);
    EXPECT_EQ(model.encode(" a"), (Ids{2}));
}

TEST(Bpe, UnknownCharactersFuseOnlyIfTheFileSaysSo) {
    const std::string rest = R"("unk_token": "?", "vocab": {"?": 0, "a": 1}, "merges": []})";
    Model apart("{" + rest);
    Model fused(R"({"fuse_unk": true, )" + rest);
    EXPECT_EQ(apart.encode("xya你x"), (Ids{0, 0, 1, 0, 0}));
    EXPECT_EQ(fused.encode("xya你x"), (Ids{0, 1, 0}));
}

TEST(Bpe, UnknownCharactersVanishWithoutAnUnknownToken) {
    Model model(R"({"vocab": {"a": 0}, "merges": []})");
    EXPECT_EQ(model.encode("xaxa"), (Ids{0, 0}));
}

TEST(Bpe, ByteFallbackNeedsAllBytesOfACharacter) {
    Model model(R"({"byte_fallback": true, "unk_token": "?",
                    "vocab": {"?": 0, "<0xC3>": 1, "<0xA9>": 2}, "merges": []})");
    EXPECT_EQ(model.encode("\u00E9"), (Ids{1, 2}));
    EXPECT_EQ(model.encode("\u00EA"), (Ids{0}));
}

// Merges as the definition says: again and again the best pair, the leftmost among equals.
Ids merge_naively(const MergeTable& merges, Ids ids) {
    while (true) {
        const Merge* best = nullptr;
        size_t best_at = 0;
        for (size_t at = 0; at + 1 < ids.size(); ++at) {
            const Merge* merge = merges.find(ids[at], ids[at + 1]);
            if (merge != nullptr && (best == nullptr || merge->rank < best->rank)) {
                best = merge;
                best_at = at;
            }
        }
        if (best == nullptr) return ids;
        ids[best_at] = best->id;
        ids.erase(ids.begin() + static_cast<int64_t>(best_at) + 1);
    }
}

TEST(Bpe, AgreesWithTheDefinitionOnRandomMergesAndTexts) {
    constexpr uint32_t kSeed = 20;
    std::mt19937 random(kSeed);
    for (int round = 0; round < 50; ++round) {
        io::Json vocab = test::parse(R"({"a": 0, "b": 1, "c": 2})");
        std::vector<std::string> tokens{"a", "b", "c"};
        io::Json merges{io::Json::Array{}};
        for (int i = 0; i < 12; ++i) {
            const std::string left = tokens[random() % tokens.size()];
            const std::string right = tokens[random() % tokens.size()];
            if (vocab.contains(left + right)) continue;
            vocab.set(left + right, static_cast<int64_t>(tokens.size()));
            tokens.push_back(left + right);
            merges.push_back(io::Json::Array{left, right});
        }
        io::Json json;
        json.set("vocab", vocab);
        json.set("merges", merges);
        Model model(json.dump());
        for (int text = 0; text < 20; ++text) {
            Ids letters(random() % 40);
            for (int32_t& letter : letters) letter = static_cast<int32_t>(random() % 3);
            std::string piece;
            for (int32_t letter : letters) piece.push_back(static_cast<char>('a' + letter));
            ASSERT_EQ(model.encode(piece), merge_naively(model.bpe.merges(), letters))
                << piece << " seed " << kSeed << " round " << round;
        }
    }
}

// The parts of a piece, separated by bars.
std::string parts(const Model& model, const std::string& piece) {
    std::string result;
    for (size_t at = 0; at < piece.size();) {
        const size_t end = model.bpe.part_end(piece, at);
        result += piece.substr(at, end - at);
        result.push_back('|');
        at = end;
    }
    return result;
}

TEST(Bpe, PartsEndWhereNoMergeReachesAcross) {
    const std::string rest = R"("vocab": {"_": 0, "a": 1, "b": 2, "_a": 3, "_ab": 4, "__": 5},
                                "merges": ["_ a", "_a b", "_ _"]})";
    const Model model("{" + rest);
    EXPECT_EQ(parts(model, "_ab_a__b"), "_ab|_a|__|b|");
    EXPECT_EQ(parts(model, "ba"), "b|a|");
    const Model ignoring(R"({"ignore_merges": true, )" + rest);
    EXPECT_EQ(parts(ignoring, "_ab_a"), "_ab_a|");
}

TEST(Bpe, UnknownCharactersStayWithTheirNeighbours) {
    const Model model(R"({"vocab": {"a": 0, "b": 1}, "merges": []})");
    EXPECT_EQ(parts(model, "ab?ba"), "a|b?b|a|");
}

TEST(Bpe, PartsGiveTheIdsOfTheWhole) {
    constexpr uint32_t kSeed = 21;
    std::mt19937 random(kSeed);
    Model model(R"({"unk_token": "?", "fuse_unk": true, "byte_fallback": true,
        "vocab": {"?": 0, "a": 1, "b": 2, "_": 3, "_a": 4, "ab": 5, "ba": 6, "_ab": 7, "?b": 8,
                  "<0x78>": 9},
        "merges": ["a b", "_ a", "_ ab", "b a", "? b"]})");
    const std::string letters = "ab_?xy";
    for (int round = 0; round < 5000; ++round) {
        std::string piece(random() % 24, ' ');
        for (char& letter : piece) letter = letters[random() % letters.size()];
        Ids by_parts;
        for (size_t at = 0; at < piece.size();) {
            const size_t end = model.bpe.part_end(piece, at);
            const Ids part = model.encode(std::string_view(piece).substr(at, end - at));
            by_parts.insert(by_parts.end(), part.begin(), part.end());
            at = end;
        }
        ASSERT_EQ(by_parts, model.encode(piece)) << piece << " seed " << kSeed;
    }
}

TEST(Bpe, WindowsChangeNothing) {
    constexpr uint32_t kSeed = 23;
    std::mt19937 random(kSeed);
    Model model(R"({"unk_token": "?", "fuse_unk": true, "byte_fallback": true,
        "vocab": {"?": 0, "a": 1, "b": 2, "_": 3, "_a": 4, "ab": 5, "ba": 6, "_ab": 7, "?b": 8,
                  "<0x78>": 9, "aba": 10},
        "merges": ["a ba", "a b", "_ a", "_ ab", "b a", "? b", "ab a"]})");
    const std::string letters = "ab_?xyy";
    for (int round = 0; round < 3000; ++round) {
        std::string piece(random() % 40, ' ');
        for (char& letter : piece) letter = letters[random() % letters.size()];
        model.work.window = Bpe::kWindow;
        const Ids whole = model.encode(piece);
        for (size_t window : {2, 3, 5, 9}) {
            model.work.window = window;
            ASSERT_EQ(model.encode(piece), whole) << piece << " seed " << kSeed;
        }
    }
}

// A word so long that its candidates go into buckets, with merges that keep it from being settled.
TEST(Bpe, OnePieceOfManySymbolsGivesWhatTheDefinitionGives) {
    constexpr uint32_t kSeed = 24;
    std::mt19937 random(kSeed);
    Model model(R"({"vocab": {"a": 0, "b": 1, "ab": 2, "aab": 3, "ba": 4, "abab": 5},
                    "merges": ["a ab", "a b", "b a", "ab ab"]})");
    model.work.window = size_t{1} << 20;
    std::string piece(size_t{1} << 15, 'a');
    for (char& letter : piece) letter = random() % 3 == 0 ? 'b' : 'a';
    const Ids whole = model.encode(piece);
    model.work.window = 64;
    EXPECT_EQ(model.encode(piece), whole);
    Ids letters;
    for (char letter : piece.substr(0, 3000)) letters.push_back(letter - 'a');
    const Ids naive = merge_naively(model.bpe.merges(), letters);
    const auto settled = static_cast<int64_t>(naive.size()) - 10;
    EXPECT_TRUE(std::equal(naive.begin(), naive.begin() + settled, whole.begin()));
}

// Of each window at least half is settled, or the windows become four times as long: each symbol is
// looked at no more than four times on average, and each look adds three candidates at most.
TEST(Bpe, WorkGrowsLinearlyWithAPieceWhateverTheMerges) {
    constexpr size_t kLetters = size_t{1} << 18;
    for (const char* merges :
         {R"(["a a", "aa aa", "aaaa aaaa"])", R"(["a ba", "a b", "b a", "ab ab"])",
          R"(["aa b", "a aab", "a a", "a b"])", R"([])"}) {
        Model model(std::string(R"({"vocab": {"a": 0, "b": 1, "aa": 2, "aaaa": 3, "aaaaaaaa": 4,
            "ab": 5, "ba": 6, "aba": 7, "abab": 8, "aab": 9, "aaab": 10}, "merges": )") +
                    merges + "}");
        for (const std::string unit : {"a", "ab", "aab", "aaaaaaab"}) {
            std::string piece;
            while (piece.size() < kLetters) piece += unit;
            model.work.merger.candidates = 0;
            model.encode(piece);
            EXPECT_LE(model.work.merger.candidates, static_cast<int64_t>(12 * piece.size()))
                << merges << " " << unit;
        }
    }
}

}  // namespace
}  // namespace quarot::tokenizer

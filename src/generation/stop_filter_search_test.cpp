// The filter against its definition, spelled out by brute force: random stop strings over small
// alphabets, random texts, and every way to cut a text in pieces.
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <random>

#include "core/error.h"
#include "generation/limits.h"
#include "generation/stop_filter.h"
#include "io/utf8.h"

namespace quarot::generation {
namespace {

using Texts = std::vector<std::string>;

// Where the text is cut: before the longest of the stop strings that are complete first.
std::optional<size_t> cut_of(const std::string& text, const Texts& stops) {
    for (size_t end = 1; end <= text.size(); ++end) {
        const std::string so_far = text.substr(0, end);
        size_t longest = 0;
        for (const std::string& stop : stops) {
            if (so_far.ends_with(stop)) longest = std::max(longest, stop.size());
        }
        if (longest > 0) return end - longest;
    }
    return std::nullopt;
}

// How much of the text is certain whatever follows: tries all texts of that length over "ab".
size_t certain_length(const std::string& text, const Texts& stops, size_t longest) {
    size_t certain = text.size();
    for (size_t bits = 0; bits < (size_t{1} << longest); ++bits) {
        std::string whole = text;
        for (size_t i = 0; i < longest; ++i) whole += (bits >> i & 1) != 0 ? 'b' : 'a';
        certain = std::min(certain, cut_of(whole, stops).value_or(text.size()));
    }
    return certain;
}

struct Source {
    std::mt19937 random{11};
    size_t below(size_t n) { return random() % n; }
    std::string text(const Texts& alphabet, size_t n_characters) {
        std::string out;
        for (size_t i = 0; i < n_characters; ++i) out += alphabet[below(alphabet.size())];
        return out;
    }
    Texts stops(const Texts& alphabet, size_t longest) {
        Texts out;
        for (size_t n = 1 + below(4); n > 0; --n) out.push_back(text(alphabet, 1 + below(longest)));
        return out;
    }
};

std::string described(const std::string& text, const Texts& stops) {
    std::string out = "text '" + text + "', stops";
    for (const std::string& stop : stops) out += " '" + stop + "'";
    return out;
}

TEST(StopFilterSearch, EveryWayToCutATextIntoPiecesGivesTheSame) {
    Source source;
    for (int round = 0; round < 150; ++round) {
        const Texts stops = source.stops({"a", "b"}, 4);
        const std::string text = source.text({"a", "b"}, 9);
        SCOPED_TRACE(described(text, stops));
        const std::optional<size_t> cut = cut_of(text, stops);
        for (size_t borders = 0; borders < (size_t{1} << (text.size() - 1)); ++borders) {
            StopFilter filter(stops);
            std::string shown, piece;
            for (size_t i = 0; i < text.size(); ++i) {
                piece += text[i];
                if ((borders >> i & 1) != 0) shown += filter.put(std::exchange(piece, ""));
            }
            shown += filter.put(piece);
            ASSERT_EQ(filter.stopped(), cut.has_value()) << borders;
            ASSERT_EQ(shown + filter.finish(), text.substr(0, cut.value_or(text.size())))
                << borders;
        }
    }
}

TEST(StopFilterSearch, ShowsTextAsSoonAsItIsCertainAndNoSooner) {
    Source source;
    for (int round = 0; round < 1500; ++round) {
        const Texts stops = source.stops({"a", "b"}, 4);
        const std::string text = source.text({"a", "b"}, 8);
        SCOPED_TRACE(described(text, stops));
        StopFilter filter(stops);
        std::string shown;
        for (size_t i = 0; i < text.size() && !filter.stopped(); ++i) {
            shown += filter.put(text.substr(i, 1));
            const std::string so_far = text.substr(0, i + 1);
            ASSERT_EQ(shown.size(), certain_length(so_far, stops, 4)) << so_far;
            ASSERT_TRUE(so_far.starts_with(shown));
        }
    }
}

TEST(StopFilterSearch, NeverShowsHalfACharacter) {
    const Texts alphabet = {
        "e",      "\u00E9",     "\u00E8",    "\u20AC",
        "\u20AD", "\U0001F600", "\U0001F601"};  // several begin with the same bytes
    Source source;
    for (int round = 0; round < 2000; ++round) {
        const Texts stops = source.stops(alphabet, 3);
        StopFilter filter(stops);
        std::string text, shown;
        for (int i = 0; i < 12; ++i) {
            const std::string piece = source.text(alphabet, source.below(3));
            text += piece;
            const std::string part = filter.put(piece);
            ASSERT_EQ(io::first_non_utf8(part), part.size()) << described(text, stops);
            shown += part;
        }
        shown += filter.finish();
        ASSERT_EQ(shown, text.substr(0, cut_of(text, stops).value_or(text.size())))
            << described(text, stops);
    }
}

// All stop strings begin alike and are never complete: a filter that looks at each of them again
// for every byte would look at 16 billion.
TEST(StopFilterSearch, LongTextsOfHostileStopStringsCostOneStepAByte) {
    Texts stops;
    for (size_t i = 0; i < limits::kStops; ++i) {
        stops.push_back(std::string(limits::kStopBytes - 1, 'a') + static_cast<char>('b' + i));
    }
    const std::string text(size_t{4} << 20, 'a');
    StopFilter whole(stops);
    std::string shown = whole.put(text);
    EXPECT_EQ(shown.size(), text.size() - (limits::kStopBytes - 1));
    shown += whole.finish();
    EXPECT_TRUE(shown == text);
}

TEST(StopFilterSearch, RefusesWhatIsBeyondTheLimits) {
    const auto refusal = [](const Texts& stops) -> std::string {
        try {
            StopFilter filter(stops);
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::Usage);
            return error.what();
        }
        return "";
    };
    EXPECT_EQ(refusal(Texts(limits::kStops, "x")), "");
    EXPECT_EQ(refusal({std::string(limits::kStopBytes, 'x')}), "");
    EXPECT_NE(refusal(Texts(limits::kStops + 1, "x")).find("17 stop strings"), std::string::npos);
    EXPECT_NE(refusal({std::string(limits::kStopBytes + 1, 'x')}).find("257 bytes"),
              std::string::npos);
    EXPECT_NE(refusal({"fine", "\xC3"}).find("\\xc3 is not UTF-8"), std::string::npos);
}

}  // namespace
}  // namespace quarot::generation

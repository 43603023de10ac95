// Stop strings and a text in pieces: what is shown is the text before the first stop string,
// however the text is cut. Segments: a byte of cuts, up to three stop strings, then the text.
#include <algorithm>

#include "core/error.h"
#include "fuzz/target.h"
#include "generation/stop_filter.h"

namespace quarot::fuzz {
namespace {

// The obvious way: the stop string that is complete first, of those the longest.
std::string before_first_stop(const std::string& text, const std::vector<std::string>& stops) {
    for (size_t end = 1; end <= text.size(); ++end) {
        size_t longest = 0;
        for (const std::string& stop : stops) {
            const bool ends_here =
                stop.size() <= end && text.compare(end - stop.size(), stop.size(), stop) == 0;
            if (ends_here) longest = std::max(longest, stop.size());
        }
        if (longest > 0) return text.substr(0, end - longest);
    }
    return text;
}

std::string filtered(const std::string& text, const std::vector<std::string>& stops, size_t step) {
    generation::StopFilter filter(stops);
    std::string shown;
    for (size_t at = 0; at < text.size(); at += step) {
        shown += filter.put(std::string_view(text).substr(at, step));
    }
    return shown += filter.finish();
}

void run(std::string_view input) {
    if (input.empty()) return;
    const size_t step = 1 + static_cast<unsigned char>(input.front()) % 16;
    input.remove_prefix(1);
    std::vector<std::string> stops;
    for (int i = 0; i < 3; ++i) stops.emplace_back(take_segment(input));
    const std::string text(input);
    const std::string shown = filtered(text, stops, step);
    expect(shown == before_first_stop(text, stops), "the wrong stop string ends the text");
    expect(shown == filtered(text, stops, text.size() + 1), "cuts change what is shown");
}

std::vector<std::string> seeds() {
    const auto input = [](char step, const std::vector<std::string>& segments) {
        return step + join_segments(segments);
    };
    return {input(0, {"ab", "abc", "bc", "xxabcxx"}),
            input(1, {"aab", "", "", "aaaaab"}),
            input(3, {"User:", "\n\n", "", "Hello\nUser: hi"}),
            input(2, {"abab", "ba", "aba", "abaabab"}),
            input(7, {"\xc3\xa9", "", "", "caf\xc3\xa9"}),
            input(0, {"\xff", "", "", "x"}),
            input(0, {"", "", "", "text"})};
}

std::vector<std::string> words() {
    return {"ab", "aab", "abab", "\n", "\xc3\xa9", std::string(1, '\0')};
}

}  // namespace

constinit const Target kStopTarget = {
    .name = "stop", .run = run, .seeds = seeds, .words = words, .max_bytes = 128};

}  // namespace quarot::fuzz

// A parser that hostile bytes are thrown at, and the inputs to begin with. A target passes when it
// returns or throws quarot::Error with one printable line; whatever else happens is a finding.
#pragma once

#include <cstddef>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace quarot::fuzz {

struct Target {
    const char* name;
    void (*run)(std::string_view input);
    // Whole inputs, good ones and one for each reason to refuse.
    std::vector<std::string> (*seeds)();
    // Words that mutations may insert.
    std::vector<std::string> (*words)();
    size_t max_bytes = 512;  // of an input: short ones run fast
};

std::span<const Target* const> targets();

// Something that must hold does not. No quarot::Error, so that it is never taken for a refusal.
struct Finding : std::logic_error {
    using std::logic_error::logic_error;
};
inline void expect(bool holds, const char* what) {
    if (!holds) throw Finding(what);
}

// Runs the target; refusals are swallowed once their message is seen to be in order.
void run_guarded(const Target& target, std::string_view input);

// The input up to the first NUL; `rest` becomes what follows it.
std::string_view take_segment(std::string_view& rest);
// Segments joined by NUL.
std::string join_segments(const std::vector<std::string>& segments);

extern const Target kSafetensorsTarget;
extern const Target kGgufTarget;
extern const Target kGgufModelTarget;
extern const Target kJsonTarget;
extern const Target kIndexTarget;
extern const Target kConfigTarget;
extern const Target kRecipeTarget;
extern const Target kJournalTarget;
extern const Target kTokenizerTarget;
extern const Target kTextTarget;
extern const Target kStopTarget;
extern const Target kCommandTarget;
extern const Target kTemplateTarget;
extern const Target kHttpTarget;

}  // namespace quarot::fuzz

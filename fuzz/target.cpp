#include "fuzz/target.h"

#include <array>

#include "core/error.h"
#include "io/text.h"

namespace quarot::fuzz {

std::span<const Target* const> targets() {
    static constexpr std::array kTargets = {
        &kSafetensorsTarget, &kGgufTarget,    &kGgufModelTarget, &kJsonTarget,      &kIndexTarget,
        &kConfigTarget,      &kRecipeTarget,  &kJournalTarget,   &kTokenizerTarget, &kTextTarget,
        &kStopTarget,        &kCommandTarget, &kTemplateTarget,  &kHttpTarget};
    return kTargets;
}

void run_guarded(const Target& target, std::string_view input) {
    try {
        target.run(input);
    } catch (const Error& error) {
        const std::string_view message = error.what();
        expect(error.code() != ErrorCode::Internal, "an input is reported as our own fault");
        expect(!message.empty() && message.size() < 1000, "a message is empty or too long to read");
        if (io::has_control_characters(message)) {
            throw Finding("a message is not printable: " + io::printable(message, 1000));
        }
    }
}

std::string_view take_segment(std::string_view& rest) {
    const size_t nul = rest.find('\0');
    const std::string_view segment = rest.substr(0, nul);
    rest.remove_prefix(nul == std::string_view::npos ? rest.size() : nul + 1);
    return segment;
}

std::string join_segments(const std::vector<std::string>& segments) {
    std::string joined;
    for (size_t i = 0; i < segments.size(); ++i) {
        if (i > 0) joined += '\0';
        joined += segments[i];
    }
    return joined;
}

}  // namespace quarot::fuzz

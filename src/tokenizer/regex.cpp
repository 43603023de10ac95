// PCRE2 bounds the backtracking from one place of a text, but neither how far it looks there nor
// the sum over all places. So each place is first tried by itself in a small window of the text and
// with little backtracking, which nearly always is enough. Where it is not, a variant of the
// expression that reports each of its steps searches in a growing window, and pays for them from a
// budget.
#include "tokenizer/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <array>

#include "core/check.h"
#include "core/error.h"
#include "io/text.h"
#include "tokenizer/limits.h"
#include "tokenizer/regex_syntax.h"
#include "tokenizer/unicode.h"

namespace quarot::tokenizer {
namespace {

constexpr size_t kWindow = 64;  // bytes, at first
constexpr size_t kWindowGrowth = 4;

template <typename T, void (*free_it)(T*)>
struct Free {
    void operator()(T* pointer) const { free_it(pointer); }
};
using CodePointer = std::unique_ptr<pcre2_code, Free<pcre2_code, pcre2_code_free>>;
using CompileContext =
    std::unique_ptr<pcre2_compile_context, Free<pcre2_compile_context, pcre2_compile_context_free>>;
using MatchContext =
    std::unique_ptr<pcre2_match_context, Free<pcre2_match_context, pcre2_match_context_free>>;
using MatchData = std::unique_ptr<pcre2_match_data, Free<pcre2_match_data, pcre2_match_data_free>>;

PCRE2_SPTR units(std::string_view text) {
    return reinterpret_cast<PCRE2_SPTR>(text.data());
}

std::string message_of(int error) {
    std::array<PCRE2_UCHAR, 256> text{};
    pcre2_get_error_message(error, text.data(), text.size());
    return reinterpret_cast<const char*>(text.data());
}

template <typename T>
T* not_null(T* pointer) {
    if (pointer == nullptr) throw std::bad_alloc();
    return pointer;
}

CodePointer compile(const std::string& pattern, const std::string& translated,
                    const std::string& place, uint32_t more_options) {
    const CompileContext context(not_null(pcre2_compile_context_create(nullptr)));
    pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
    pcre2_set_parens_nest_limit(context.get(), 4 * limits::kPatternDepth);
    int error = 0;
    size_t offset = 0;
    // Making repetitions possessive by itself, 10.42 loses matches, as of a{0,2}(?:b)?+. on "a".
    // What groups capture nobody asks for, and each step would copy it.
    const uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_NO_AUTO_POSSESS | PCRE2_NO_AUTO_CAPTURE |
                             PCRE2_NEVER_BACKSLASH_C | more_options;
    CodePointer code(pcre2_compile(units(translated), translated.size(), options, &error, &offset,
                                   context.get()));
    if (code == nullptr) {
        fail(ErrorCode::Unsupported, "{}: the expression {} is not supported: {}", place,
             io::printable(pattern), message_of(error));
    }
    return code;
}

size_t next_character(std::string_view text, size_t at) {
    return at < text.size() ? character_at(text, at).end : at + 1;
}

}  // namespace

struct Regex::Code {
    // For texts with and without characters that PCRE2 does not know.
    struct Variant {
        CodePointer code;
        CodePointer counting;                  // calls count_step() before each of its items
        const uint8_t* first_bytes = nullptr;  // bits of those that a match begins with, if known
    };
    std::string pattern;
    std::string place;
    Variant with_newer;
    Variant without_newer;
    bool may_be_empty = false;
};

Regex::Regex(const std::string& pattern, const std::string& place) {
    const auto code = std::make_shared<Code>();
    code->pattern = pattern;
    code->place = place;
    for (auto* variant : {&code->with_newer, &code->without_newer}) {
        const std::string translated =
            to_pcre2(pattern, place, RegexClasses(variant == &code->with_newer));
        variant->code = compile(pattern, translated, place, 0);
        variant->counting = compile(pattern, translated, place, PCRE2_AUTO_CALLOUT);
        pcre2_pattern_info(variant->code.get(), PCRE2_INFO_FIRSTBITMAP, &variant->first_bytes);
    }
    uint32_t empty = 0;
    pcre2_pattern_info(code->with_newer.code.get(), PCRE2_INFO_MATCHEMPTY, &empty);
    code->may_be_empty = empty != 0;
    code_ = code;
}

bool Regex::may_be_empty() const {
    return code_->may_be_empty;
}

struct RegexMatcher::State {
    MatchContext context;
    MatchContext counting;
    MatchData data;
    std::string_view text;
    const Regex::Code::Variant* variant = nullptr;  // for this text
    size_t from = 0;                                // where the next search begins
    std::optional<size_t> last_end;                 // of the last match
    size_t budget = limits::kPatternLeastWork;      // steps that may still be counted
    size_t place = 0;                               // where the last of them was

    // A callout: PCRE2 is about to try an item, and has come to it over what lies between.
    static int count_step(pcre2_callout_block* block, void* state);
};

int RegexMatcher::State::count_step(pcre2_callout_block* block, void* state) {
    auto& self = *static_cast<State*>(state);
    const size_t at = block->current_position;
    const size_t step = 1 + (at > self.place ? at - self.place : self.place - at);
    self.place = at;
    if (step > self.budget) return PCRE2_ERROR_MATCHLIMIT;
    self.budget -= step;
    return 0;
}

RegexMatcher::RegexMatcher(const Regex& regex)
    : code_(regex.code_.get()), state_(std::make_unique<State>()) {
    for (auto* context : {&state_->context, &state_->counting}) {
        context->reset(not_null(pcre2_match_context_create(nullptr)));
        pcre2_set_heap_limit(context->get(), limits::kPatternHeapKiB);
    }
    pcre2_set_match_limit(state_->context.get(), limits::kPatternFirstCalls);
    pcre2_set_match_limit(state_->counting.get(), UINT32_MAX);
    pcre2_set_depth_limit(state_->counting.get(), UINT32_MAX);
    pcre2_set_callout(state_->counting.get(), &State::count_step, state_.get());
    state_->data.reset(not_null(pcre2_match_data_create(1, nullptr)));
}

RegexMatcher::~RegexMatcher() = default;

void RegexMatcher::begin(std::string_view text) {
    state_->text = text;
    state_->variant = has_newer_characters(text) ? &code_->with_newer : &code_->without_newer;
    state_->from = 0;
    state_->last_end.reset();
    state_->budget +=
        limits::kPatternWork * text.size();  // texts are in memory, so this is no overflow
}

std::optional<RegexMatcher::Match> RegexMatcher::next() {
    State& state = *state_;
    if (state.text.empty()) return std::nullopt;
    for (;;) {
        const std::optional<Match> match = search(state.from);
        if (!match) return std::nullopt;
        state.from = match->end;
        if (match->begin < match->end || state.last_end != match->end) {
            state.last_end = match->end;
            return match;
        }
        state.from = next_character(state.text, state.from);
    }
}

std::optional<RegexMatcher::Match> RegexMatcher::search(size_t from) {
    const std::string_view text = state_->text;
    const uint8_t* const first_bytes = state_->variant->first_bytes;
    for (size_t at = from; at <= text.size(); at = next_character(text, at)) {
        if (first_bytes != nullptr) {
            while (at < text.size()) {
                const auto byte = static_cast<uint8_t>(text[at]);
                if ((first_bytes[byte / 8] >> (byte % 8) & 1) != 0) break;
                at = next_character(text, at);
            }
        }
        if (at == text.size() && !code_->may_be_empty) break;
        if (const auto match = match_at(at)) return match;
    }
    return std::nullopt;
}

std::optional<RegexMatcher::Match> RegexMatcher::match_at(size_t at) {
    int found = run(at, kWindow, false);
    for (size_t window = kWindow; found == PCRE2_ERROR_PARTIAL || found == PCRE2_ERROR_MATCHLIMIT;
         window *= kWindowGrowth) {
        found = run(at, window, true);
        if (found == PCRE2_ERROR_MATCHLIMIT) give_up(message_of(found));
    }
    if (found == PCRE2_ERROR_NOMATCH) return std::nullopt;
    if (found < 0) give_up(message_of(found));
    const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(state_->data.get());
    return Match{bounds[0], bounds[1]};
}

// What PCRE2 says of the place in so many bytes of text, or rather of whole characters.
int RegexMatcher::run(size_t at, size_t window, bool counting) {
    const std::string_view text = state_->text;
    size_t end = text.size() - at <= window ? text.size() : at + window;
    while (end < text.size() && (static_cast<uint8_t>(text[end]) & 0xC0) == 0x80) ++end;
    const uint32_t options =
        PCRE2_ANCHORED | PCRE2_NO_UTF_CHECK | (end < text.size() ? PCRE2_PARTIAL_HARD : 0);
    const auto& code = counting ? state_->variant->counting : state_->variant->code;
    const auto& context = counting ? state_->counting : state_->context;
    state_->place = at;
    return pcre2_match(code.get(), units(text), end, at, options, state_->data.get(),
                       context.get());
}

void RegexMatcher::give_up(std::string_view what) const {
    fail(ErrorCode::OutOfMemory,
         "{}: the expression {} takes too much work on a text of {} bytes: {}", code_->place,
         io::printable(code_->pattern), state_->text.size(), what);
}

}  // namespace quarot::tokenizer

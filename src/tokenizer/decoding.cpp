// Tokens run through the steps one at a time; what later tokens can still change is held back.
#include "tokenizer/decoding.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "io/text.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/byte_token.h"
#include "tokenizer/unicode.h"

namespace quarot::tokenizer {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

std::string_view strip_start(std::string_view text, char32_t content, size_t& most) {
    while (most > 0 && !text.empty()) {
        const Character first = character_at(text, 0);
        if (first.code != content) break;
        text.remove_prefix(first.end);
        --most;
    }
    return text;
}

std::string_view strip_stop(std::string_view text, char32_t content, size_t most) {
    for (; most > 0 && !text.empty(); --most) {
        const size_t last = character_before(text, text.size());
        if (character_at(text, last).code != content) break;
        text = text.substr(0, last);
    }
    return text;
}

std::string replaced(const Replace& literal, std::string_view text) {
    return Replace::Worker(literal).apply(text);
}

// How much of a text's end may be the beginning of `wanted`.
size_t begun_at_end(std::string_view text, std::string_view wanted) {
    size_t length = std::min(text.size(), wanted.size() - 1);
    while (!text.ends_with(wanted.substr(0, length))) --length;
    return length;
}

}  // namespace

Decoding::Decoding(const Decoder& decoder) : decoder_(&decoder), states_(decoder.steps().size()) {
    for (size_t step = 0; step < states_.size(); ++step) {
        const Decoder::Step& kind = decoder.steps()[step];
        if (const auto* strip = std::get_if<Decoder::StripText>(&kind)) {
            states_[step].may_strip = strip->start;
        } else if (const auto* replace = std::get_if<Replace>(&kind)) {
            states_[step].replace.emplace(*replace);
        }
    }
}

std::string Decoding::put(std::string_view token) {
    std::string out;
    feed(0, token, out);
    return out;
}

std::string Decoding::finish() {
    std::string out;
    for (size_t step = 0; step < states_.size(); ++step) {
        std::visit([&](const auto& kind) { end(kind, step, out); }, decoder_->steps()[step]);
    }
    return out;
}

void Decoding::feed(size_t step, std::string_view token, std::string& out) {
    if (step == states_.size()) {
        out += token;
        return;
    }
    std::visit([&](const auto& kind) { take(kind, step, token, out); }, decoder_->steps()[step]);
}

void Decoding::end(const auto&, size_t, std::string&) {}  // most kinds hold nothing, or drop it

// One invalid byte spoils its whole run, so a run is held until it ends.
void Decoding::take(const Decoder::ByteFallback& kind, size_t step, std::string_view token,
                    std::string& out) {
    if (const auto byte = byte_of_token(token)) {
        states_[step].held.push_back(static_cast<char>(*byte));
        return;
    }
    end(kind, step, out);
    feed(step + 1, token, out);
}

void Decoding::end(const Decoder::ByteFallback&, size_t step, std::string& out) {
    const std::string run = std::exchange(states_[step].held, {});
    if (run.empty()) return;
    if (io::first_non_utf8(run) == run.size()) {
        feed(step + 1, run, out);
        return;
    }
    for (size_t i = 0; i < run.size(); ++i) feed(step + 1, kReplacement, out);
}

void Decoding::take(const Replace&, size_t step, std::string_view token, std::string& out) {
    feed(step + 1, states_[step].replace->apply(token), out);
}

void Decoding::take(const Decoder::StripToken& kind, size_t step, std::string_view token,
                    std::string& out) {
    size_t most = kind.start;
    token = strip_start(token, kind.content, most);
    feed(step + 1, strip_stop(token, kind.content, kind.stop), out);
}

void Decoding::take(const Decoder::MarksToSpaces& kind, size_t step, std::string_view token,
                    std::string& out) {
    const bool first = !std::exchange(states_[step].begun, true);
    feed(step + 1, replaced(first ? kind.first : kind.others, token), out);
}

// Whether a token is the last one is known when the next one comes.
void Decoding::take(const Decoder::EndsOfWords& kind, size_t step, std::string_view token,
                    std::string& out) {
    State& state = states_[step];
    const std::string before = std::exchange(state.held, std::string(token));
    if (std::exchange(state.begun, true)) feed(step + 1, replaced(kind.others, before), out);
}

void Decoding::end(const Decoder::EndsOfWords& kind, size_t step, std::string& out) {
    State& state = states_[step];
    const std::string last = std::exchange(state.held, {});
    if (std::exchange(state.begun, false)) feed(step + 1, replaced(kind.last, last), out);
}

void Decoding::take(const Decoder::Join&, size_t step, std::string_view token, std::string& out) {
    if (std::exchange(states_[step].begun, true)) feed(step + 1, " ", out);
    feed(step + 1, token, out);
}

// A token with a character outside the alphabet stands for its own bytes.
void Decoding::take(const Decoder::ByteLevel&, size_t step, std::string_view token,
                    std::string& out) {
    std::string& held = states_[step].held;
    held += bytes_of_spelling(token).value_or(std::string(token));
    const size_t complete = complete_length(held);
    if (complete == 0) return;
    feed(step + 1, replace_invalid(std::string_view(held).substr(0, complete)), out);
    held.erase(0, complete);
}

void Decoding::end(const Decoder::ByteLevel&, size_t step, std::string& out) {
    const std::string rest = std::exchange(states_[step].held, {});
    if (!rest.empty()) feed(step + 1, replace_invalid(rest), out);
}

// What may be the text's end is held; if it is, it is dropped. It is one character many times, so
// that none but the new token need be looked at.
void Decoding::take(const Decoder::StripText& kind, size_t step, std::string_view token,
                    std::string& out) {
    State& state = states_[step];
    token = strip_start(token, kind.content, state.may_strip);
    if (token.empty()) return;
    state.may_strip = 0;
    const std::string_view before = strip_stop(token, kind.content, kind.stop);
    const std::string_view end = token.substr(before.size());
    if (!before.empty()) {
        feed(step + 1, std::exchange(state.held, {}), out);
        feed(step + 1, before, out);
    }
    state.held += end;
    if (state.held.empty()) return;
    const size_t most = kind.stop * character_at(state.held, 0).end;
    if (state.held.size() <= most) return;
    feed(step + 1, std::string_view(state.held).substr(most), out);
    state.held.resize(most);
}

void Decoding::take(const Decoder::ReplaceText& kind, size_t step, std::string_view token,
                    std::string& out) {
    std::string& held = states_[step].held;
    held += token;
    const std::string& wanted = *kind.replace.literal_pattern();
    size_t done = 0;
    for (size_t at = held.find(wanted); at != std::string::npos; at = held.find(wanted, done)) {
        done = at + wanted.size();
    }
    const size_t certain = held.size() - begun_at_end(std::string_view(held).substr(done), wanted);
    if (certain > 0) {
        feed(step + 1, replaced(kind.replace, std::string_view(held).substr(0, certain)), out);
    }
    held.erase(0, certain);
}

void Decoding::end(const Decoder::ReplaceText&, size_t step, std::string& out) {
    const std::string rest = std::exchange(states_[step].held, {});
    if (!rest.empty()) feed(step + 1, rest, out);
}

}  // namespace quarot::tokenizer

// Tokens run through the steps one at a time; what later tokens can still change is held back.
#include <string>
#include <string_view>
#include <variant>

#include "io/text.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/byte_token.h"
#include "tokenizer/decoder.h"
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
        const size_t last = last_character(text);
        if (character_at(text, last).code != content) break;
        text = text.substr(0, last);
    }
    return text;
}

}  // namespace

Decoding::Decoding(const Decoder& decoder) : decoder_(&decoder), states_(decoder.steps().size()) {
    for (size_t step = 0; step < states_.size(); ++step) {
        const auto* strip = std::get_if<Decoder::StripText>(&decoder.steps()[step]);
        if (strip != nullptr) states_[step].may_strip = strip->start;
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
        const Decoder::Step& kind = decoder_->steps()[step];
        if (std::holds_alternative<Decoder::ByteFallback>(kind)) flush_bytes(step, out);
        if (std::holds_alternative<Decoder::ByteLevel>(kind) && !states_[step].held.empty()) {
            feed(step + 1, replace_invalid(states_[step].held), out);
            states_[step].held.clear();
        }
    }
    return out;
}

void Decoding::feed(size_t step, std::string_view token, std::string& out) {
    if (step == states_.size()) {
        out += token;
        return;
    }
    std::visit([&](const auto& kind) { feed_kind(kind, step, token, out); },
               decoder_->steps()[step]);
}

// A token with a character outside the alphabet stands for its own bytes.
void Decoding::feed_kind(const Decoder::ByteLevel&, size_t step, std::string_view token,
                         std::string& out) {
    std::string& held = states_[step].held;
    held += bytes_of_spelling(token).value_or(std::string(token));
    const size_t complete = complete_length(held);
    if (complete == 0) return;
    feed(step + 1, replace_invalid(std::string_view(held).substr(0, complete)), out);
    held.erase(0, complete);
}

// One invalid byte spoils its whole run, so a run is held until it ends.
void Decoding::feed_kind(const Decoder::ByteFallback&, size_t step, std::string_view token,
                         std::string& out) {
    if (const auto byte = byte_of_token(token)) {
        states_[step].held.push_back(static_cast<char>(*byte));
        return;
    }
    flush_bytes(step, out);
    feed(step + 1, token, out);
}

void Decoding::flush_bytes(size_t step, std::string& out) {
    const std::string run = std::move(states_[step].held);
    states_[step].held.clear();
    if (run.empty()) return;
    if (io::first_non_utf8(run) == run.size()) {
        feed(step + 1, run, out);
        return;
    }
    for (size_t i = 0; i < run.size(); ++i) feed(step + 1, kReplacement, out);
}

void Decoding::feed_kind(const Replace& kind, size_t step, std::string_view token,
                         std::string& out) {
    feed(step + 1, kind.apply(token), out);
}

void Decoding::feed_kind(const Decoder::StripToken& kind, size_t step, std::string_view token,
                         std::string& out) {
    size_t most = kind.start;
    token = strip_start(token, kind.content, most);
    feed(step + 1, strip_stop(token, kind.content, kind.stop), out);
}

void Decoding::feed_kind(const Decoder::StripText& kind, size_t step, std::string_view token,
                         std::string& out) {
    size_t& may_strip = states_[step].may_strip;
    token = strip_start(token, kind.content, may_strip);
    if (token.empty()) return;
    may_strip = 0;
    feed(step + 1, token, out);
}

}  // namespace quarot::tokenizer

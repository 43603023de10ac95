// Decoding in parts, which is all the decoding there is: decode() of a whole text uses it too.
#include <algorithm>

#include "tokenizer/decoding.h"
#include "tokenizer/tokenizer_impl.h"

namespace quarot::tokenizer {

namespace {

// Bytes that both begin with, whole characters of either.
size_t common_start(std::string_view a, std::string_view b) {
    const auto at = std::mismatch(a.begin(), a.begin() + std::min(a.size(), b.size()), b.begin());
    auto length = static_cast<size_t>(at.first - a.begin());
    const auto splits = [&](std::string_view text) {
        return length < text.size() && (static_cast<unsigned char>(text[length]) & 0xC0) == 0x80;
    };
    while (splits(a) || splits(b)) --length;
    return length;
}

}  // namespace

struct StreamDecoder::State {
    const Tokenizer::Impl* tokenizer;
    bool skip_special;
    Decoding decoding;
    // What the text before ends with and is yet to come out of `decoding`.
    std::string said = {};

    std::string put(int32_t id) {
        const std::string* token = tokenizer->token_to_decode(id, skip_special);
        return token == nullptr ? std::string() : decoding.put(*token);
    }

    // Without what was said; once the text goes on otherwise, nothing of it is.
    std::string news(std::string piece) {
        if (said.empty() || piece.empty()) return piece;
        const size_t known = common_start(said, piece);
        piece.erase(0, known);
        said.erase(0, piece.empty() ? known : said.size());
        return piece;
    }
};

StreamDecoder::StreamDecoder(const Tokenizer& tokenizer, bool skip_special)
    : state_(new State{.tokenizer = tokenizer.impl_.get(),
                       .skip_special = skip_special,
                       .decoding = Decoding(tokenizer.impl_->decoder)}) {}

StreamDecoder::StreamDecoder(const Tokenizer& tokenizer, std::span<const int32_t> before,
                             bool skip_special)
    : StreamDecoder(tokenizer, skip_special) {
    StreamDecoder twin(tokenizer, skip_special);
    for (const int32_t id : before) {
        state_->put(id);
        twin.state_->put(id);
    }
    state_->said = twin.state_->decoding.finish();
}

StreamDecoder::~StreamDecoder() = default;

std::string StreamDecoder::put(int32_t id) {
    return state_->news(state_->put(id));
}

std::string StreamDecoder::finish() {
    return state_->news(state_->decoding.finish());
}

}  // namespace quarot::tokenizer

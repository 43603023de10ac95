// Decoding in parts, which is all the decoding there is: decode() of a whole text uses it too.
#include "tokenizer/decoding.h"
#include "tokenizer/tokenizer_impl.h"

namespace quarot::tokenizer {

struct StreamDecoder::State {
    const Tokenizer::Impl* tokenizer;
    bool skip_special;
    Decoding decoding;
};

StreamDecoder::StreamDecoder(const Tokenizer& tokenizer, bool skip_special)
    : state_(new State{.tokenizer = tokenizer.impl_.get(),
                       .skip_special = skip_special,
                       .decoding = Decoding(tokenizer.impl_->decoder)}) {}

StreamDecoder::~StreamDecoder() = default;

std::string StreamDecoder::put(int32_t id) {
    const std::string* token = state_->tokenizer->token_to_decode(id, state_->skip_special);
    return token == nullptr ? std::string() : state_->decoding.put(*token);
}

std::string StreamDecoder::finish() {
    return state_->decoding.finish();
}

}  // namespace quarot::tokenizer

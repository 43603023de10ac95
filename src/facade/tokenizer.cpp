#include "quarot/tokenizer.h"

#include <utility>

#include "facade/arguments.h"
#include "facade/tokenizer_impl.h"

namespace quarot {

Tokenizer Tokenizer::load(const std::string& folder) {
    return Tokenizer(std::make_shared<const Impl>(Impl{tokenizer::Tokenizer::load(folder)}));
}

Tokenizer::Tokenizer(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::Tokenizer(const Tokenizer&) = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(const Tokenizer&) = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

std::vector<int32_t> Tokenizer::encode(std::string_view text, SpecialTokens special) const {
    return impl_->tokenizer.encode(text, facade::add_bos(special));
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special) const {
    return impl_->tokenizer.decode(ids, skip_special);
}

int64_t Tokenizer::vocabulary_size() const {
    return impl_->tokenizer.vocabulary_size();
}

struct StreamDecoder::Impl {
    std::shared_ptr<const Tokenizer::Impl> owner;
    tokenizer::StreamDecoder decoder;
};

StreamDecoder::StreamDecoder(const Tokenizer& tokenizer, bool skip_special)
    : impl_(new Impl{tokenizer.impl_,
                     quarot::tokenizer::StreamDecoder(tokenizer.impl_->tokenizer, skip_special)}) {}
StreamDecoder::StreamDecoder(StreamDecoder&&) noexcept = default;
StreamDecoder& StreamDecoder::operator=(StreamDecoder&&) noexcept = default;
StreamDecoder::~StreamDecoder() = default;

std::string StreamDecoder::put(int32_t id) {
    return impl_->decoder.put(id);
}

std::string StreamDecoder::finish() {
    return impl_->decoder.finish();
}

}  // namespace quarot

#include "tokenizer/added_beyond.h"

#include <fmt/format.h>

#include "core/error.h"
#include "io/text.h"

namespace quarot::tokenizer {

std::string note_of_added_beyond(const Tokenizer& tokenizer, int64_t n_embeddings) {
    const int64_t own = tokenizer.model_vocabulary_size();
    if (own > n_embeddings) {
        fail(ErrorCode::Corrupt,
             "{} has ids up to {}, and vocab_size in config.json allows {} at most; do both belong "
             "to one model?",
             tokenizer.source(), own - 1, n_embeddings - 1);
    }
    const int64_t size = tokenizer.vocabulary_size();
    if (size <= n_embeddings) return {};
    const auto last = static_cast<int32_t>(size - 1);
    return fmt::format(
        "the added token \"{}\" has id {}, and vocab_size in config.json allows {} at most; a text "
        "that holds it is refused",
        io::printable(tokenizer.token(last)), last, n_embeddings - 1);
}

}  // namespace quarot::tokenizer

// A text as a protocol runs it: windows of tokens, and what their losses are counted against.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "eval/evaluation_text.h"
#include "eval/window.h"
#include "tokenizer/tokenizer.h"

namespace quarot::eval {

// How a text is cut (eval/window.h), what is averaged, and whose spread is the standard error:
//   Quarot: windows, each the mean of its tokens
//   LlamaCpp: tokens
//   LmEval: sums over documents, against tokens, words or bytes of documents
enum class Protocol { Quarot, LlamaCpp, LmEval };
inline constexpr Protocol kProtocols[] = {Protocol::Quarot, Protocol::LlamaCpp, Protocol::LmEval};
std::string_view name_of(Protocol protocol);  // "quarot", "llamacpp", "lmeval"

struct DocumentSize {
    int64_t n_words = 0, n_bytes = 0;  // of the original text
};

struct ScoredText {
    Protocol protocol = Protocol::Quarot;
    std::vector<Window> windows;          // at least one
    std::vector<DocumentSize> documents;  // LmEval only: of Window::document
    int64_t n_tokens = 0;                 // of the whole text
};

struct Cut {
    Protocol protocol = Protocol::Quarot;
    int64_t seqlen = 2048;
    int64_t max_windows = 0;  // of LmEval: documents; 0: all
    tokenizer::AddBos bos = tokenizer::AddBos::Auto;
};

// LlamaCpp puts the token that begins texts at the start of every window where the tokenizer puts
// it before a text. LmEval puts it, or else the one that ends texts, before every document.
// Error{Usage} if there is nothing to score, or for documents where the protocol takes one text;
// Error{Unsupported} where LmEval finds no such token.
ScoredText cut_text(const EvaluationText& text, const tokenizer::Tokenizer& tokenizer,
                    const Cut& cut);

}  // namespace quarot::eval

#include "eval/scored_text.h"

#include <algorithm>
#include <iterator>
#include <optional>

#include "core/error.h"
#include "core/process.h"
#include "core/setting.h"
#include "eval/token_pair.h"

namespace quarot::eval {

namespace {

using tokenizer::Tokenizer;

std::optional<int32_t> begins_with(const Tokenizer& tokenizer, tokenizer::AddBos bos) {
    const std::vector<int32_t> added = tokenizer.encode("", bos);
    const bool has_bos = !added.empty() && added.front() == tokenizer.bos();
    return has_bos ? tokenizer.bos() : std::nullopt;
}

void add_document(const Document& document, const Tokenizer& tokenizer, const Cut& cut,
                  ScoredText& to) {
    if (document.n_words == 0) {
        fail(ErrorCode::Usage,
             "the text is no UTF-8, so that its words cannot be counted; {} {} and {} take it",
             Setting{"protocol"}, name_of(Protocol::Quarot), name_of(Protocol::LlamaCpp));
    }
    const std::vector<int32_t> ids = tokenizer.encode(document.text, cut.bos);
    const auto windows =
        rolling_windows(ids, cut.seqlen, prefix_token(tokenizer), std::ssize(to.documents));
    std::move(windows.begin(), windows.end(), std::back_inserter(to.windows));
    to.documents.push_back({.n_words = document.n_words, .n_bytes = document.n_bytes});
    to.n_tokens += std::ssize(ids);
}

ScoredText cut_documents(const EvaluationText& text, const Tokenizer& tokenizer, const Cut& cut) {
    ScoredText result = {.protocol = cut.protocol, .windows = {}, .documents = {}};
    for (const Document& document : text.documents) {
        throw_if_interrupted();
        add_document(document, tokenizer, cut, result);
        if (std::ssize(result.documents) == cut.max_windows) break;
    }
    if (result.windows.empty()) fail(ErrorCode::Usage, "the text is empty; nothing is to predict");
    return result;
}

}  // namespace

std::string_view name_of(Protocol protocol) {
    switch (protocol) {
        case Protocol::Quarot:
            return "quarot";
        case Protocol::LlamaCpp:
            return "llamacpp";
        case Protocol::LmEval:
            break;
    }
    return "lmeval";
}

ScoredText cut_text(const EvaluationText& text, const Tokenizer& tokenizer, const Cut& cut) {
    if (cut.protocol == Protocol::LmEval) return cut_documents(text, tokenizer, cut);
    if (text.documents.size() != 1) {
        fail(ErrorCode::Usage, "the text has {} documents, but {} {} takes one; {} takes many",
             text.documents.size(), Setting{"protocol"}, name_of(cut.protocol),
             name_of(Protocol::LmEval));
    }
    const std::vector<int32_t> ids = tokenizer.encode(text.documents.front().text, cut.bos);
    ScoredText result = {.protocol = cut.protocol, .windows = {}, .documents = {}};
    result.n_tokens = std::ssize(ids);
    result.windows =
        cut.protocol == Protocol::Quarot
            ? paper_windows(ids, cut.seqlen, cut.max_windows)
            : llama_cpp_windows(ids, cut.seqlen, cut.max_windows, begins_with(tokenizer, cut.bos));
    return result;
}

}  // namespace quarot::eval

#include "tokenizer/gguf_scored_merges.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "core/error.h"
#include "io/utf8.h"
#include "tokenizer/limits.h"

namespace quarot::tokenizer {
namespace {

constexpr std::string_view kScores = "tokenizer.ggml.scores";

const std::vector<double>& scores_of(const io::GgufMetadata& metadata, size_t n_tokens) {
    const std::vector<double>* scores = metadata.find_reals(kScores);
    const bool fits = scores != nullptr && scores->size() == n_tokens;
    if (!fits) {
        fail(ErrorCode::Corrupt, "{} has {} entries, expected one for each of {} tokens",
             metadata.place(kScores), scores == nullptr ? 0 : scores->size(), n_tokens);
    }
    for (size_t id = 0; id < n_tokens; ++id) {
        if (!std::isnan((*scores)[id])) continue;
        fail(ErrorCode::Corrupt, "{} has {} at {}, expected a number", metadata.place(kScores),
             (*scores)[id], id);
    }
    return *scores;
}

struct ScoredMerge {
    double score;
    size_t id, left, right;

    // The first of a list is the first to be done.
    bool operator<(const ScoredMerge& other) const {
        if (score != other.score) return score > other.score;
        return std::tie(id, left, right) < std::tie(other.id, other.left, other.right);
    }
};

// The merges of one vocabulary: it may ask for one at every character, each as long as its token.
class MergeList {
  public:
    explicit MergeList(const io::GgufMetadata& metadata) : metadata_(metadata) {}

    // text: of the joint token, as long as its two parts.
    void add(const ScoredMerge& merge, std::string_view text) {
        bytes_ += static_cast<int64_t>(sizeof(ScoredMerge) + text.size());
        if (bytes_ > limits::kTokenizerBytes) {
            fail(
                ErrorCode::Corrupt,
                "{} holds tokens that others make in too many ways: their merges take more than {} "
                "bytes",
                metadata_.place("tokenizer.ggml.tokens"), limits::kTokenizerBytes);
        }
        merges_.push_back(merge);
    }
    std::vector<ScoredMerge> sorted() && {
        std::sort(merges_.begin(), merges_.end());
        return std::move(merges_);
    }

  private:
    const io::GgufMetadata& metadata_;
    std::vector<ScoredMerge> merges_;
    int64_t bytes_ = 0;
};

}  // namespace

std::vector<std::pair<std::string, std::string>> scored_merges(const GgufVocabulary& vocabulary,
                                                               const io::GgufMetadata& metadata) {
    const std::vector<std::string>& tokens = vocabulary.tokens();
    const std::vector<double>& scores = scores_of(metadata, tokens.size());
    std::unordered_map<std::string_view, size_t> ids;
    for (size_t id = 0; id < tokens.size(); ++id) {
        if (vocabulary.kind(id) == TokenKind::Normal) ids.emplace(tokens[id], id);
    }
    MergeList found(metadata);
    for (const auto& [token, id] : ids) {
        for (size_t at = 0; at < token.size();) {
            at = io::character_at(token, at).end;
            const auto left = ids.find(token.substr(0, at));
            if (left == ids.end() || at == token.size()) continue;
            const auto right = ids.find(token.substr(at));
            if (right == ids.end()) continue;
            found.add({scores[id], id, left->second, right->second}, token);
        }
    }
    const std::vector<ScoredMerge> merges = std::move(found).sorted();
    std::vector<std::pair<std::string, std::string>> texts;
    texts.reserve(merges.size());
    for (const ScoredMerge& merge : merges)
        texts.emplace_back(tokens[merge.left], tokens[merge.right]);
    return texts;
}

}  // namespace quarot::tokenizer

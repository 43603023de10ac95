// An Aho-Corasick automaton of the reversed tokens reads the text from its end: where it stands at
// a byte tells the longest token that begins there, however long the tokens are. A second pass from
// the left then takes the first, and goes on behind it. Both go through a block of text at a time.
#include "tokenizer/token_finder.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "tokenizer/unicode.h"

namespace quarot::tokenizer {
namespace {

constexpr size_t kBlock = size_t{1} << 16;  // bytes whose starts are in memory together

size_t skip_spaces_left(std::string_view text, size_t at, size_t limit) {
    while (at > limit) {
        const size_t before = last_character(text.substr(0, at));
        if (!is_space(character_at(text, before).code)) break;
        at = before;
    }
    return std::max(at, limit);
}

size_t skip_spaces_right(std::string_view text, size_t at) {
    while (at < text.size()) {
        const Character next = character_at(text, at);
        if (!is_space(next.code)) break;
        at = next.end;
    }
    return at;
}

bool stands_alone(std::string_view text, size_t begin, size_t end) {
    if (begin > 0 && is_word(character_at(text, last_character(text.substr(0, begin))).code)) {
        return false;
    }
    return end == text.size() || !is_word(character_at(text, end).code);
}

}  // namespace

class TokenFinder::Builder {
  public:
    explicit Builder(TokenFinder& finder) : finder_(&finder) {}
    void insert(int32_t token);
    void finish();  // makes edges_ and the fallbacks

  private:
    void link(int32_t parent, uint8_t byte, int32_t node);

    TokenFinder* finder_;
    std::vector<std::map<uint8_t, int32_t>> children_{1};
    std::vector<int32_t> tokens_{-1};
};

void TokenFinder::Builder::insert(int32_t token) {
    const std::string& content = finder_->tokens_[static_cast<size_t>(token)].content;
    size_t node = 0;
    for (size_t at = content.size(); at-- > 0;) {
        const auto next = static_cast<int32_t>(children_.size());
        const auto [edge, is_new] =
            children_[node].emplace(static_cast<uint8_t>(content[at]), next);
        node = static_cast<size_t>(edge->second);
        if (!is_new) continue;
        children_.emplace_back();
        tokens_.push_back(-1);
    }
    if (tokens_[node] < 0) tokens_[node] = token;
}

void TokenFinder::Builder::finish() {
    std::vector<Node>& nodes = finder_->nodes_;
    std::vector<Edge>& edges = finder_->edges_;
    nodes.resize(children_.size());
    std::vector<int32_t> order{0};  // breadth first, so that a fallback is known before its users
    for (size_t i = 0; i < order.size(); ++i) {
        const int32_t node = order[i];
        auto& entry = nodes[static_cast<size_t>(node)];
        entry.first_edge = static_cast<int32_t>(edges.size());
        entry.edge_count = static_cast<int32_t>(children_[static_cast<size_t>(node)].size());
        entry.token = tokens_[static_cast<size_t>(node)];
        for (const auto& [byte, target] : children_[static_cast<size_t>(node)]) {
            edges.push_back({byte, target});
            order.push_back(target);
        }
    }
    for (int32_t node : order) {
        for (const auto& [byte, target] : children_[static_cast<size_t>(node)]) {
            link(node, byte, target);
        }
    }
}

void TokenFinder::Builder::link(int32_t parent, uint8_t byte, int32_t node) {
    auto& nodes = finder_->nodes_;
    int32_t fallback = 0;
    while (parent != 0) {
        parent = nodes[static_cast<size_t>(parent)].fallback;
        const int32_t target = finder_->child(parent, byte);
        if (target < 0) continue;
        fallback = target;
        break;
    }
    auto& entry = nodes[static_cast<size_t>(node)];
    entry.fallback = fallback;
    const auto& suffix = nodes[static_cast<size_t>(fallback)];
    entry.shorter = suffix.token >= 0 ? fallback : suffix.shorter;
}

TokenFinder::TokenFinder(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
    Builder builder(*this);
    for (size_t i = 0; i < tokens_.size(); ++i) builder.insert(static_cast<int32_t>(i));
    builder.finish();
    for (size_t byte = 0; byte < from_root_.size(); ++byte) {
        from_root_[byte] = child(0, static_cast<uint8_t>(byte));
    }
    for (const AddedToken& token : tokens_) longest_ = std::max(longest_, token.content.size());
}

bool TokenFinder::has_special() const {
    return std::any_of(tokens_.begin(), tokens_.end(), [](const auto& one) { return one.special; });
}

int32_t TokenFinder::child(int32_t node, uint8_t byte) const {
    const Node& entry = nodes_[static_cast<size_t>(node)];
    const auto begin = edges_.begin() + entry.first_edge;
    const auto end = begin + entry.edge_count;
    const auto found = std::lower_bound(
        begin, end, byte, [](const Edge& edge, uint8_t wanted) { return edge.byte < wanted; });
    return found != end && found->byte == byte ? found->target : -1;
}

// Those within [begin, end), from the last to the first. What is more than the longest token behind
// `end` does not matter.
void TokenFinder::find_starts(std::string_view text, size_t begin, size_t end,
                              std::vector<Start>& found, int64_t& steps) const {
    found.clear();
    int32_t node = 0;
    for (size_t at = std::min(text.size(), end + longest_); at-- > begin;) {
        const auto byte = static_cast<uint8_t>(text[at]);
        int32_t next = node == 0 ? from_root_[byte] : child(node, byte);
        for (++steps; next < 0 && node != 0; ++steps) {
            node = nodes_[static_cast<size_t>(node)].fallback;
            next = node == 0 ? from_root_[byte] : child(node, byte);
        }
        node = std::max(next, 0);
        const Node& entry = nodes_[static_cast<size_t>(node)];
        const int32_t longest = entry.token >= 0 ? node : entry.shorter;
        if (longest >= 0 && at < end) found.push_back({at, longest});
    }
}

const AddedToken* TokenFinder::permitted(const Start& start, PlainRanges& plain) const {
    for (int32_t node = start.node; node >= 0; node = nodes_[static_cast<size_t>(node)].shorter) {
        const int32_t index = nodes_[static_cast<size_t>(node)].token;
        const AddedToken& token = tokens_[static_cast<size_t>(index)];
        const size_t end = start.at + token.content.size();
        if (!token.special || !plain.overlap(start.at, end)) return &token;
    }
    return nullptr;
}

void TokenFinder::for_each_segment(std::string_view text, std::span<const TextRange> plain,
                                   const std::function<void(const Segment&)>& visit) const {
    size_t done = 0;
    const auto add_text = [&](size_t end) {
        if (done < end) visit({text.substr(done, end - done), std::nullopt});
    };
    int64_t steps = 0;
    std::vector<Start> starts;
    PlainRanges ranges(plain);
    size_t behind = 0;  // the last token found
    const auto take = [&](const Start& start) {
        const size_t at = start.at;
        if (at < behind) return;
        const AddedToken* token = permitted(start, ranges);
        if (token == nullptr) return;
        behind = at + token->content.size();
        if (token->single_word && !stands_alone(text, at, behind)) return;
        const size_t begin = token->lstrip ? skip_spaces_left(text, at, done) : at;
        add_text(begin);
        // What an earlier token swallowed is whitespace and need not be looked at again.
        done = token->rstrip ? skip_spaces_right(text, std::max(behind, done)) : behind;
        if (begin < done) visit({text.substr(begin, done - begin), token->id});
    };
    for (size_t begin = 0; begin < text.size() && !empty(); begin += kBlock) {
        find_starts(text, begin, std::min(begin + kBlock, text.size()), starts, steps);
        std::for_each(starts.rbegin(), starts.rend(), take);
    }
    add_text(text.size());
}

int64_t TokenFinder::steps(std::string_view text) const {
    int64_t steps = 0;
    std::vector<Start> starts;
    for (size_t begin = 0; begin < text.size(); begin += kBlock) {
        find_starts(text, begin, std::min(begin + kBlock, text.size()), starts, steps);
    }
    return steps;
}

}  // namespace quarot::tokenizer

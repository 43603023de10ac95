// An Aho-Corasick automaton of the reversed tokens reads the text from its end: where it stands at
// a byte tells the longest token that begins there, however long the tokens are. A second pass from
// the left then takes the first, and goes on behind it. Both go through a block of text at a time.
#include "tokenizer/token_finder.h"

#include <algorithm>
#include <compare>
#include <cstdint>
#include <numeric>
#include <utility>

#include "core/check.h"
#include "tokenizer/unicode.h"

namespace quarot::tokenizer {
namespace {

constexpr size_t kBlock = size_t{1} << 16;  // bytes whose starts are in memory together

size_t skip_spaces_left(std::string_view text, size_t at, size_t limit) {
    while (at > limit) {
        const size_t before = character_before(text, at);
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
    if (begin > 0 && is_word(character_at(text, character_before(text, begin)).code)) {
        return false;
    }
    return end == text.size() || !is_word(character_at(text, end).code);
}

}  // namespace

// Makes the nodes level by level, so that the fallback of each is there before it. A node is a
// stretch of the reversed tokens in sorted order: those that begin with its string.
class TokenFinder::Builder {
  public:
    explicit Builder(TokenFinder& finder);
    void build();

  private:
    struct Stretch {
        size_t begin;
        size_t end;
    };
    void expand(int32_t node, Stretch stretch, size_t depth);
    void add_child(int32_t node, uint8_t byte, Stretch stretch, size_t depth);
    int32_t fallback(int32_t parent, uint8_t byte) const;
    void link(int32_t token, int32_t shorter);
    uint8_t byte_at(size_t place, size_t depth) const;  // of a sorted token, counted from its end
    size_t size_at(size_t place) const { return finder_->size_of(sorted_[place]); }

    TokenFinder* finder_;
    std::vector<int32_t> sorted_;  // indices of tokens
    std::vector<Stretch> next_level_;
};

TokenFinder::Builder::Builder(TokenFinder& finder) : finder_(&finder) {
    const std::vector<AddedToken>& tokens = finder.tokens_;
    size_t bytes = 0;
    for (const AddedToken& token : tokens) bytes += token.content.size();
    QUAROT_CHECK(bytes < INT32_MAX);
    finder.nodes_.reserve(bytes + 1);
    finder.links_.resize(tokens.size());
    sorted_.resize(tokens.size());
    std::iota(sorted_.begin(), sorted_.end(), 0);
    const auto in_order = [](char x, char y) {
        return static_cast<uint8_t>(x) <=> static_cast<uint8_t>(y);
    };
    std::sort(sorted_.begin(), sorted_.end(), [&](int32_t left, int32_t right) {
        const std::string& a = tokens[static_cast<size_t>(left)].content;
        const std::string& b = tokens[static_cast<size_t>(right)].content;
        const auto order = std::lexicographical_compare_three_way(a.rbegin(), a.rend(), b.rbegin(),
                                                                  b.rend(), in_order);
        return order == 0 ? left < right : order < 0;
    });
}

void TokenFinder::Builder::build() {
    finder_->nodes_.emplace_back();
    std::vector<Stretch> level{{0, sorted_.size()}};
    for (size_t depth = 0; !level.empty(); ++depth) {
        auto node = static_cast<int32_t>(finder_->nodes_.size() - level.size());
        next_level_.clear();
        for (const Stretch& stretch : level) expand(node++, stretch, depth);
        level.swap(next_level_);
    }
}

void TokenFinder::Builder::expand(int32_t node, Stretch stretch, size_t depth) {
    auto& entry = finder_->nodes_[static_cast<size_t>(node)];
    entry.first_child = static_cast<int32_t>(finder_->nodes_.size());
    size_t at = stretch.begin;
    while (at < stretch.end && size_at(at) == depth) ++at;
    while (at < stretch.end) {
        const uint8_t byte = byte_at(at, depth);
        const size_t begin = at;
        while (at < stretch.end && byte_at(at, depth) == byte) ++at;
        add_child(node, byte, {begin, at}, depth + 1);
    }
}

void TokenFinder::Builder::add_child(int32_t node, uint8_t byte, Stretch stretch, size_t depth) {
    std::vector<Node>& nodes = finder_->nodes_;
    Node child;
    child.byte = byte;
    child.fallback = fallback(node, byte);
    child.token = nodes[static_cast<size_t>(child.fallback)].token;
    if (size_at(stretch.begin) == depth) {
        const int32_t token = sorted_[stretch.begin];
        link(token, child.token);
        child.token = token;
    }
    ++nodes[static_cast<size_t>(node)].children;
    nodes.push_back(child);
    next_level_.push_back(stretch);
}

int32_t TokenFinder::Builder::fallback(int32_t parent, uint8_t byte) const {
    while (parent != 0) {
        parent = finder_->nodes_[static_cast<size_t>(parent)].fallback;
        const int32_t target = finder_->child(parent, byte);
        if (target >= 0) return target;
    }
    return 0;
}

// Jumps grow as in a skew-binary number, so that a logarithm of them leads to any token of the way.
void TokenFinder::Builder::link(int32_t token, int32_t shorter) {
    const auto link_of = [&](int32_t index) {
        return index < 0 ? Link{} : finder_->links_[static_cast<size_t>(index)];
    };
    const auto at = static_cast<size_t>(token);
    const Link next = link_of(shorter);
    const Link far = link_of(next.jump);
    const bool even = next.depth - far.depth == far.depth - link_of(far.jump).depth;
    finder_->links_[at] = {.shorter = shorter,
                           .ordinary = finder_->tokens_[at].special ? next.ordinary : token,
                           .jump = even ? far.jump : shorter,
                           .depth = next.depth + 1};
}

uint8_t TokenFinder::Builder::byte_at(size_t place, size_t depth) const {
    const std::string& content = finder_->tokens_[static_cast<size_t>(sorted_[place])].content;
    return static_cast<uint8_t>(content[content.size() - 1 - depth]);
}

TokenFinder::TokenFinder(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
    Builder(*this).build();
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
    const auto begin = nodes_.begin() + entry.first_child;
    const auto end = begin + entry.children;
    const auto found = std::lower_bound(
        begin, end, byte, [](const Node& one, uint8_t wanted) { return one.byte < wanted; });
    return found != end && found->byte == byte ? static_cast<int32_t>(found - nodes_.begin()) : -1;
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
        const int32_t longest = nodes_[static_cast<size_t>(node)].token;
        if (longest >= 0 && at < end) found.push_back({at, longest});
    }
}

// The longest that ends before the next plain range, or a longer one that is not special.
const AddedToken* TokenFinder::permitted(const Start& start, PlainRanges& plain,
                                         int64_t& steps) const {
    const size_t room = plain.room(start.at);
    int32_t found = start.token;
    for (; found >= 0 && size_of(found) > room; ++steps) {
        const Link& link = links_[static_cast<size_t>(found)];
        const bool far = link.jump >= 0 && size_of(link.jump) > room;
        found = far ? link.jump : link.shorter;
    }
    const int32_t ordinary = links_[static_cast<size_t>(start.token)].ordinary;
    if (ordinary >= 0 && (found < 0 || size_of(ordinary) > size_of(found))) found = ordinary;
    return found < 0 ? nullptr : &tokens_[static_cast<size_t>(found)];
}

int64_t TokenFinder::for_each_segment(std::string_view text, std::span<const TextRange> plain,
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
        const AddedToken* token = permitted(start, ranges, steps);
        if (token == nullptr) return;
        behind = at + token->content.size();
        if (token->single_word && !stands_alone(text, at, behind)) return;
        const size_t begin = token->lstrip ? skip_spaces_left(text, at, done) : at;
        steps += static_cast<int64_t>(at - begin);
        add_text(begin);
        // What an earlier token swallowed is whitespace and need not be looked at again.
        const size_t unseen = token->rstrip ? std::max(behind, done) : behind;
        done = token->rstrip ? skip_spaces_right(text, unseen) : behind;
        steps += static_cast<int64_t>(done - unseen);
        if (begin < done) visit({text.substr(begin, done - begin), token->id});
    };
    for (size_t begin = 0; begin < text.size() && !empty(); begin += kBlock) {
        find_starts(text, begin, std::min(begin + kBlock, text.size()), starts, steps);
        std::for_each(starts.rbegin(), starts.rend(), take);
    }
    add_text(text.size());
    return steps;
}

}  // namespace quarot::tokenizer

#include "runtime/prefix_index.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "core/check.h"

namespace quarot::runtime {

PrefixIndex::Key PrefixIndex::key_of(NodeId before, std::span<const int32_t> tokens,
                                     int64_t page) const {
    const auto own =
        tokens.subspan(static_cast<size_t>(page * page_tokens_), static_cast<size_t>(page_tokens_));
    return {before, {own.begin(), own.end()}};
}

std::vector<PageId> PrefixIndex::longest(std::span<const int32_t> tokens) {
    ++now_;
    std::vector<PageId> pages;
    NodeId before = kRoot;
    for (int64_t page = 0; (page + 1) * page_tokens_ <= std::ssize(tokens); ++page) {
        const auto found = nodes_.find(key_of(before, tokens, page));
        if (found == nodes_.end()) break;
        found->second.last_used = now_;
        before = found->second.id;
        pool_.share(found->second.page);
        pages.push_back(found->second.page);
    }
    return pages;
}

void PrefixIndex::publish(std::span<const int32_t> tokens, std::span<const PageId> pages,
                          int64_t n_gone) {
    ++now_;
    NodeId before = kRoot;
    for (int64_t page = 0; (page + 1) * page_tokens_ <= std::ssize(tokens); ++page) {
        Key key = key_of(before, tokens, page);
        if (page < n_gone && !nodes_.contains(key)) return;
        auto [place, is_new] = nodes_.try_emplace(std::move(key));
        Node& node = place->second;
        if (is_new) {
            node = {.id = next_id_++, .page = pages[static_cast<size_t>(page)], .depth = page};
            pool_.share(node.page);
        }
        node.last_used = now_;
        before = node.id;
    }
}

int64_t PrefixIndex::evictable() const {
    return std::count_if(nodes_.begin(), nodes_.end(),
                         [&](const auto& entry) { return pool_.holders(entry.second.page) == 1; });
}

void PrefixIndex::evict() {
    auto oldest = nodes_.end();
    for (auto node = nodes_.begin(); node != nodes_.end(); ++node) {
        if (pool_.holders(node->second.page) != 1) continue;
        const auto age = [](const Node& n) { return std::pair{n.last_used, -n.depth}; };
        if (oldest == nodes_.end() || age(node->second) < age(oldest->second)) oldest = node;
    }
    QUAROT_CHECK(oldest != nodes_.end());
    remove(oldest);
}

void PrefixIndex::remove(std::map<Key, Node>::iterator node) {
    std::vector<NodeId> gone = {node->second.id};
    pool_.release(node->second.page);
    nodes_.erase(node);
    while (!gone.empty()) {
        const NodeId before = gone.back();
        gone.pop_back();
        auto child = nodes_.lower_bound({before, {}});
        while (child != nodes_.end() && child->first.first == before) {
            gone.push_back(child->second.id);
            pool_.release(child->second.page);
            child = nodes_.erase(child);
        }
    }
}

}  // namespace quarot::runtime

// The pieces of one text to ids, each different part once.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tokenizer/bpe.h"

namespace quarot::tokenizer {

// Lives as long as one encode().
class PieceEncoder {
  public:
    // Appends to `ids`.
    PieceEncoder(const Bpe& bpe, std::vector<int32_t>& ids) : bpe_(&bpe), ids_(&ids) {}
    void add(std::string_view piece);
    void add(int32_t id) { ids_->push_back(id); }

  private:
    struct Span {
        size_t begin;  // in ids_
        size_t length;
    };
    void add_part(std::string_view part);

    const Bpe* bpe_;
    Bpe::Workspace work_;
    std::deque<std::string> parts_;  // those that are known
    std::unordered_map<std::string_view, Span> known_;
    std::vector<int32_t>* ids_;
};

}  // namespace quarot::tokenizer

// Words repeat: remembering where a part's ids stand in the output saves most of the merging.
#include "tokenizer/piece_encoder.h"

namespace quarot::tokenizer {
namespace {

constexpr size_t kMaxKnown = size_t{1} << 16;
constexpr size_t kMaxKnownBytes = 64;  // longer parts hardly repeat

}  // namespace

void PieceEncoder::add(std::string_view piece) {
    for (size_t at = 0; at < piece.size();) {
        const size_t end = bpe_->part_end(piece, at);
        add_part(piece.substr(at, end - at));
        at = end;
    }
}

void PieceEncoder::add_part(std::string_view part) {
    if (const auto found = known_.find(part); found != known_.end()) {
        for (size_t i = 0; i < found->second.length; ++i) {
            ids_->push_back((*ids_)[found->second.begin + i]);
        }
        return;
    }
    const size_t begin = ids_->size();
    bpe_->encode(part, work_, *ids_);
    if (part.size() <= kMaxKnownBytes && known_.size() < kMaxKnown) {
        known_.emplace(parts_.emplace_back(part), Span{begin, ids_->size() - begin});
    }
}

}  // namespace quarot::tokenizer

// Words repeat: remembering where a piece's ids stand in the output saves most of the merging.
#include "tokenizer/piece_encoder.h"

namespace quarot::tokenizer {
namespace {

constexpr size_t kMaxKnown = size_t{1} << 16;
constexpr size_t kMaxKnownBytes = 64;  // longer pieces hardly repeat

}  // namespace

void PieceEncoder::add(std::string_view piece) {
    if (const auto found = known_.find(piece); found != known_.end()) {
        for (size_t i = 0; i < found->second.length; ++i) {
            ids_.push_back(ids_[found->second.begin + i]);
        }
        return;
    }
    const size_t begin = ids_.size();
    bpe_->encode(piece, work_, ids_);
    if (piece.size() <= kMaxKnownBytes && known_.size() < kMaxKnown) {
        known_.emplace(piece, Span{begin, ids_.size() - begin});
    }
}

}  // namespace quarot::tokenizer

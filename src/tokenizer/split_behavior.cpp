// Stretches that match and those between them arrive in order; each either joins the one before or
// begins a piece.
#include "tokenizer/split_behavior.h"

#include "core/error.h"
#include "io/text.h"

namespace quarot::tokenizer {

Behavior parse_behavior(const io::Json& value) {
    const std::string& name = value.as_string();
    if (name == "Isolated") return Behavior::Isolated;
    if (name == "Removed") return Behavior::Removed;
    if (name == "MergedWithPrevious") return Behavior::MergedWithPrevious;
    if (name == "MergedWithNext") return Behavior::MergedWithNext;
    if (name == "Contiguous") return Behavior::Contiguous;
    fail(ErrorCode::Unsupported, "{} is \"{}\", a behavior that we do not have", value.place(),
         io::printable(name));
}

void Splitter::match(size_t begin, size_t end) {
    if (done_ < begin) add(done_, begin, invert_);
    add(begin, end, !invert_);
    done_ = end;
}

void Splitter::finish() {
    if (done_ < text_.size()) add(done_, text_.size(), invert_);
    put_piece();
}

void Splitter::add(size_t begin, size_t end, bool match) {
    if (behavior_ == Behavior::Removed && match) return;
    if (!growing_ || !joins(match)) {
        put_piece();
        begin_ = begin;
        growing_ = true;
    }
    end_ = end;
    was_match_ = match;
}

// Whether a stretch belongs to the piece before it.
bool Splitter::joins(bool match) const {
    switch (behavior_) {
        case Behavior::Contiguous:
            return match == was_match_;
        case Behavior::MergedWithPrevious:
            return match && !was_match_;
        case Behavior::MergedWithNext:
            return !match && was_match_;
        default:
            return false;
    }
}

void Splitter::put_piece() {
    if (growing_ && begin_ < end_) (*put_)(text_.substr(begin_, end_ - begin_));
    growing_ = false;
}

}  // namespace quarot::tokenizer

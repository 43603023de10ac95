// A piece becomes symbols first: tokens of single characters or bytes. Merging them is Merger's
// work.
#include "tokenizer/bpe.h"

#include <algorithm>
#include <iterator>
#include <string>

#include "core/error.h"
#include "io/text.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/byte_token.h"
#include "tokenizer/unicode.h"

namespace quarot::tokenizer {
namespace {

bool model_flag(const io::Json& model, std::string_view key) {
    const io::Json* value = model.find(key);
    return value != nullptr && value->as_bool();
}

void refuse_unless_empty(const io::Json& model, std::string_view key) {
    const io::Json* value = model.find(key);
    if (value != nullptr && !value->as_string().empty()) {
        fail(ErrorCode::Unsupported, "{} is \"{}\", expected null or an empty string",
             value->place(), io::printable(value->as_string()));
    }
}

std::optional<std::array<int32_t, 256>> fallback_ids(const io::Json& model,
                                                     const Vocabulary& vocabulary) {
    if (!model_flag(model, "byte_fallback")) return std::nullopt;
    std::array<int32_t, 256> ids{};
    for (size_t byte = 0; byte < ids.size(); ++byte) {
        ids[byte] = vocabulary.find_in_model(byte_token(static_cast<uint8_t>(byte))).value_or(-1);
    }
    return ids;
}

std::optional<int32_t> unknown_id(const io::Json& model, const Vocabulary& vocabulary) {
    const io::Json* unknown = model.find("unk_token");
    if (unknown == nullptr) return std::nullopt;
    const std::optional<int32_t> id = vocabulary.find_in_model(unknown->as_string());
    if (!id) {
        fail(ErrorCode::Corrupt, "{} is \"{}\", which the vocabulary lacks", unknown->place(),
             io::printable(unknown->as_string()));
    }
    return id;
}

}  // namespace

void Bpe::refuse_unsupported(const io::Json& model) {
    if (const io::Json* type = model.find("type"); type != nullptr && type->as_string() != "BPE") {
        fail(ErrorCode::Unsupported, "{} is \"{}\", expected \"BPE\", the only kind of model here",
             type->place(), io::printable(type->as_string()));
    }
    const io::Json* dropout = model.find("dropout");
    if (dropout != nullptr && dropout->as_double() != 0.0) {
        fail(ErrorCode::Unsupported,
             "{} is {}, expected null or 0: random merges cannot be "
             "reproduced",
             dropout->place(), dropout->as_double());
    }
    refuse_unless_empty(model, "continuing_subword_prefix");
    refuse_unless_empty(model, "end_of_word_suffix");
}

Bpe::Bpe(const io::Json& model, const Vocabulary& vocabulary, bool byte_level)
    : vocabulary_(&vocabulary),
      byte_level_(byte_level),
      fuse_unknown_(model_flag(model, "fuse_unk")),
      ignore_merges_(model_flag(model, "ignore_merges")),
      unknown_(unknown_id(model, vocabulary)),
      fallback_(fallback_ids(model, vocabulary)),
      merger_(MergeTable::parse(model.at("merges"), vocabulary), vocabulary, long_symbols()) {
    if (!byte_level && !ignore_merges_) borders_.emplace(merges(), vocabulary);
    id_of_byte_.fill(-1);
    for (int byte = 0; byte < (byte_level ? 256 : 128); ++byte) {
        const char character = static_cast<char>(byte);
        const std::string_view spelling = byte_level ? character_of_byte(static_cast<uint8_t>(byte))
                                                     : std::string_view(&character, 1);
        id_of_byte_[static_cast<size_t>(byte)] = vocabulary.find_in_model(spelling).value_or(-1);
    }
}

std::vector<int32_t> Bpe::long_symbols() const {
    std::vector<int32_t> symbols;
    if (unknown_) symbols.push_back(*unknown_);
    if (fallback_) std::copy(fallback_->begin(), fallback_->end(), std::back_inserter(symbols));
    std::erase(symbols, -1);
    return symbols;
}

void Bpe::encode(std::string_view piece, Workspace& work, std::vector<int32_t>& ids) const {
    if (piece.size() > Merger::kMaxSymbols) {
        fail(ErrorCode::Unsupported, "a piece of text has {} bytes, expected at most {}",
             piece.size(), Merger::kMaxSymbols);
    }
    if (ignore_merges_) {
        const auto whole =
            vocabulary_->find_in_model(byte_level_ ? spell_bytes(piece) : std::string(piece));
        if (whole) {
            ids.push_back(*whole);
            return;
        }
    }
    Reading reading{piece};
    size_t wanted = work.window;
    work.symbols.clear();
    do {
        add_symbols(reading, wanted, work.symbols);
        const bool goes_on = !reading.rest.empty();
        const size_t settled = merger_.merge(work.symbols, goes_on, work.merger, ids);
        // Else many windows could each yield little.
        if (settled <= work.symbols.size() / 2) wanted *= 4;
        work.symbols.erase(work.symbols.begin(),
                           work.symbols.begin() + static_cast<int64_t>(settled));
    } while (!reading.rest.empty() || !work.symbols.empty());
}

// Until `wanted` symbols are there or the piece ends.
void Bpe::add_symbols(Reading& reading, size_t wanted, std::vector<int32_t>& symbols) const {
    auto& [rest, pending_unknown] = reading;
    while (!rest.empty() && symbols.size() < wanted) {
        const size_t end = byte_level_ ? 1 : character_at(rest, 0).end;
        const auto byte = static_cast<uint8_t>(rest[0]);
        const std::string_view spelling =
            byte_level_ ? character_of_byte(byte) : rest.substr(0, end);
        const int32_t id =
            end == 1 ? id_of_byte_[byte] : vocabulary_->find_in_model(spelling).value_or(-1);
        rest.remove_prefix(end);
        if (id < 0) {
            add_unknown(spelling, pending_unknown, symbols);
            continue;
        }
        if (pending_unknown) symbols.push_back(*unknown_);
        pending_unknown = false;
        symbols.push_back(id);
    }
    if (rest.empty() && pending_unknown) {
        symbols.push_back(*unknown_);
        pending_unknown = false;
    }
}

// An unknown token is added only when its run ends, so that a run can become one. Byte tokens do
// not end a run: with some of the 256 missing, the library whose format this is orders them so too.
void Bpe::add_unknown(std::string_view spelling, bool& pending,
                      std::vector<int32_t>& symbols) const {
    if (fallback_ && add_bytes(spelling, symbols)) return;
    if (!unknown_) return;
    if (pending && !fuse_unknown_) symbols.push_back(*unknown_);
    pending = true;
}

bool Bpe::add_bytes(std::string_view spelling, std::vector<int32_t>& symbols) const {
    const auto id_of = [this](char byte) { return (*fallback_)[static_cast<uint8_t>(byte)]; };
    const bool complete =
        std::all_of(spelling.begin(), spelling.end(), [&](char byte) { return id_of(byte) >= 0; });
    if (!complete) return false;
    for (char byte : spelling) symbols.push_back(id_of(byte));
    return true;
}

}  // namespace quarot::tokenizer

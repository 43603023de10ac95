// Byte-pair encoding: which tokens does one piece of text become?
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "io/json.h"
#include "tokenizer/merge_borders.h"
#include "tokenizer/merge_table.h"
#include "tokenizer/merger.h"
#include "tokenizer/vocabulary.h"

namespace quarot::tokenizer {

class Bpe {
  public:
    // Reads the model section but for its vocabulary. With byte_level pieces are raw bytes and
    // the vocabulary spells them in the alphabet of byte_level.h. `vocabulary` must outlive this.
    Bpe(const io::Json& model, const Vocabulary& vocabulary, bool byte_level);

    // Error{Unsupported} for another kind of model than ours.
    static void refuse_unsupported(const io::Json& model);

    // What encode() keeps between pieces, and how much it has done.
    struct Workspace {
        std::vector<int32_t> symbols;  // of the piece's part that is worked on, before merging
        Merger::Workspace merger;
        size_t window = kWindow;  // smaller ones make sense in tests only
    };
    static constexpr size_t kWindow = 4096;

    // Appends the ids of a piece. Raw bytes, or valid UTF-8 if not byte-level. A long piece goes
    // through in windows of so many symbols, each beginning where the one before it is settled. So
    // what is worked on stays in the cache, and the time for a byte does not grow with the piece.
    void encode(std::string_view piece, Workspace& work, std::vector<int32_t>& ids) const;

    // The end of the part of a piece that begins at `at`: parts can be encoded one by one.
    size_t part_end(std::string_view piece, size_t at) const {
        return borders_ ? borders_->part_end(piece, at) : piece.size();
    }

    const MergeTable& merges() const { return merger_.merges(); }

  private:
    std::vector<int32_t> long_symbols() const;
    struct Reading {  // of a piece
        std::string_view rest;
        bool pending_unknown = false;
    };
    void add_symbols(Reading& reading, size_t wanted, std::vector<int32_t>& symbols) const;
    void add_unknown(std::string_view spelling, bool& pending, std::vector<int32_t>& symbols) const;
    bool add_bytes(std::string_view spelling, std::vector<int32_t>& symbols) const;

    const Vocabulary* vocabulary_;
    std::optional<MergeBorders> borders_;  // only where whole texts are pieces
    bool byte_level_;
    bool fuse_unknown_;
    bool ignore_merges_;
    std::optional<int32_t> unknown_;
    std::array<int32_t, 256> id_of_byte_{};  // byte-level: of every byte; else of ASCII. -1: none
    std::optional<std::array<int32_t, 256>> fallback_;  // id of <0x00>..<0xFF>, -1: none
    Merger merger_;                                     // knows the two above as symbols
};

}  // namespace quarot::tokenizer

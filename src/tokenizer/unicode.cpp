#include "tokenizer/unicode.h"

#include <algorithm>
#include <array>
#include <map>
#include <vector>

namespace quarot::tokenizer {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

struct Range {
    char32_t first;
    char32_t last;
    Category category = Category::Other;
};

using enum Category;
constexpr Range kRanges[] = {
#include "tokenizer/unicode_tables.inc"
};
constexpr Range kWords[] = {
#include "tokenizer/unicode_words.inc"
};

constexpr size_t kBlock = 256;
constexpr size_t kBlocks = 0x110000 / kBlock;
constexpr uint8_t kWordBit = 0x80;

// Blocks of code points, equal ones stored once; an entry is a category and perhaps kWordBit.
struct Table {
    using Block = std::array<uint8_t, kBlock>;
    std::array<uint16_t, kBlocks> block_of;
    std::vector<Block> blocks;
};

std::vector<uint8_t> entry_of_each_code() {
    std::vector<uint8_t> entries(kBlocks * kBlock);
    for (const Range& range : kRanges) {
        std::fill(entries.begin() + range.first, entries.begin() + range.last + 1,
                  static_cast<uint8_t>(range.category));
    }
    for (const Range& range : kWords) {
        for (char32_t code = range.first; code <= range.last; ++code) entries[code] |= kWordBit;
    }
    return entries;
}

Table make_table() {
    Table table;
    std::map<Table::Block, uint16_t> known;
    const std::vector<uint8_t> entries = entry_of_each_code();
    for (size_t i = 0; i < kBlocks; ++i) {
        Table::Block block;
        std::copy_n(entries.begin() + static_cast<int64_t>(i * kBlock), kBlock, block.begin());
        const auto next = static_cast<uint16_t>(table.blocks.size());
        const auto [found, is_new] = known.emplace(block, next);
        if (is_new) table.blocks.push_back(block);
        table.block_of[i] = found->second;
    }
    return table;
}

uint8_t entry_of(char32_t code) {
    static const Table table = make_table();
    return code < 0x110000 ? table.blocks[table.block_of[code / kBlock]][code % kBlock] : 0;
}

}  // namespace

Category category(char32_t code) {
    return static_cast<Category>(entry_of(code) & ~kWordBit);
}

bool is_word(char32_t code) {
    return (entry_of(code) & kWordBit) != 0;
}

std::string replace_invalid(std::string_view bytes) {
    std::string text;
    text.reserve(bytes.size());
    for (size_t at = 0; at < bytes.size();) {
        const io::Utf8Sequence sequence = io::utf8_sequence_at(bytes, at);
        const bool valid = sequence.state == io::Utf8State::Valid;
        text += valid ? bytes.substr(at, sequence.length) : kReplacement;
        at += sequence.length;
    }
    return text;
}

size_t complete_length(std::string_view bytes) {
    const size_t begin = bytes.size() < 3 ? 0 : bytes.size() - 3;
    for (size_t at = begin; at < bytes.size(); ++at) {
        if (io::utf8_sequence_at(bytes, at).state == io::Utf8State::Truncated) return at;
    }
    return bytes.size();
}

}  // namespace quarot::tokenizer

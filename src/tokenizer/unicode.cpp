// Validation follows the table of well-formed byte sequences of the Unicode standard (chapter 3.9).
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

enum class State { Valid, Invalid, Truncated };

struct Sequence {
    State state;
    size_t length;  // of the character, or of the bytes that one U+FFFD replaces
};

struct Lead {
    size_t length;  // 0: cannot begin a character
    uint8_t second_min = 0x80;
    uint8_t second_max = 0xBF;
};

Lead lead_of(uint8_t byte) {
    if (byte < 0x80) return {1};
    if (byte < 0xC2) return {0};
    if (byte < 0xE0) return {2};
    if (byte == 0xE0) return {3, 0xA0, 0xBF};
    if (byte == 0xED) return {3, 0x80, 0x9F};
    if (byte < 0xF0) return {3};
    if (byte == 0xF0) return {4, 0x90, 0xBF};
    if (byte < 0xF4) return {4};
    if (byte == 0xF4) return {4, 0x80, 0x8F};
    return {0};
}

uint8_t byte_at(std::string_view bytes, size_t at) {
    return static_cast<uint8_t>(bytes[at]);
}

Sequence sequence_at(std::string_view bytes, size_t at) {
    const Lead lead = lead_of(byte_at(bytes, at));
    if (lead.length == 0) return {State::Invalid, 1};
    for (size_t i = 1; i < lead.length; ++i) {
        if (at + i == bytes.size()) return {State::Truncated, i};
        const uint8_t byte = byte_at(bytes, at + i);
        const uint8_t min = i == 1 ? lead.second_min : 0x80;
        const uint8_t max = i == 1 ? lead.second_max : 0xBF;
        if (byte < min || byte > max) return {State::Invalid, i};
    }
    return {State::Valid, lead.length};
}

}  // namespace

Category category(char32_t code) {
    return static_cast<Category>(entry_of(code) & ~kWordBit);
}

bool is_word(char32_t code) {
    return (entry_of(code) & kWordBit) != 0;
}

Character character_at(std::string_view text, size_t at) {
    const uint8_t first = byte_at(text, at);
    if (first < 0x80) return {first, at + 1};
    const size_t length = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    char32_t code = first & (0x7FU >> length);
    for (size_t i = 1; i < length; ++i) code = code << 6 | (byte_at(text, at + i) & 0x3FU);
    return {code, at + length};
}

size_t last_character(std::string_view text) {
    size_t at = text.size() - 1;
    while (at > 0 && (byte_at(text, at) & 0xC0) == 0x80) --at;
    return at;
}

std::string replace_invalid(std::string_view bytes) {
    std::string text;
    text.reserve(bytes.size());
    for (size_t at = 0; at < bytes.size();) {
        const Sequence sequence = sequence_at(bytes, at);
        const bool valid = sequence.state == State::Valid;
        text += valid ? bytes.substr(at, sequence.length) : kReplacement;
        at += sequence.length;
    }
    return text;
}

size_t complete_length(std::string_view bytes) {
    const size_t begin = bytes.size() < 3 ? 0 : bytes.size() - 3;
    for (size_t at = begin; at < bytes.size(); ++at) {
        const bool leads = byte_at(bytes, at) >= 0xC2;
        if (leads && sequence_at(bytes, at).state == State::Truncated) return at;
    }
    return bytes.size();
}

void append_utf8(std::string& text, char32_t code) {
    const auto put = [&text](char32_t byte) { text.push_back(static_cast<char>(byte)); };
    if (code < 0x80) {
        put(code);
    } else if (code < 0x800) {
        put(0xC0 | code >> 6);
        put(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
        put(0xE0 | code >> 12);
        put(0x80 | (code >> 6 & 0x3F));
        put(0x80 | (code & 0x3F));
    } else {
        put(0xF0 | code >> 18);
        put(0x80 | (code >> 12 & 0x3F));
        put(0x80 | (code >> 6 & 0x3F));
        put(0x80 | (code & 0x3F));
    }
}

}  // namespace quarot::tokenizer

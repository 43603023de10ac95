// A tokenizer behind a pipe, for comparisons with other implementations: requests on standard
// input, answers on standard output, until the input ends. All numbers are 32 bits, little-endian.
//   e <text>                 ids of encode()
//   p <ranges> <text>        ids of encode() with plain ranges, two numbers each
//   d <ids>                  text of decode(); D: with special tokens
//   s <ids>                  text of a StreamDecoder; S: with special tokens. A piece that is not
//                            whole characters ends the program.
//   n <text>                 the normalized text
//   c <text>                 the pieces that it is cut into, each with its length and a colon
//   before
// A text is its length and its bytes, a list is its length and its numbers.
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <vector>

#include "io/json.h"
#include "io/utf8.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/pretokenizer.h"
#include "tokenizer/tokenizer.h"

namespace quarot::tokenizer {
namespace {

constexpr io::JsonLimits kLimits{.max_bytes = int64_t{64} << 20, .max_depth = 32};

void read_bytes(void* bytes, size_t count) {
    if (std::fread(bytes, 1, count, stdin) == count) return;
    std::fputs("driver: the input ends within a request\n", stderr);
    std::exit(2);
}

std::vector<int32_t> read_numbers() {
    int32_t count = 0;
    read_bytes(&count, sizeof count);
    std::vector<int32_t> numbers(static_cast<size_t>(count));
    if (count > 0) read_bytes(numbers.data(), numbers.size() * sizeof(int32_t));
    return numbers;
}

std::string read_text() {
    int32_t count = 0;
    read_bytes(&count, sizeof count);
    std::string text(static_cast<size_t>(count), '\0');
    read_bytes(text.data(), text.size());
    return text;
}

void write(const void* items, size_t count, size_t size) {
    const auto length = static_cast<int32_t>(count);
    std::fwrite(&length, sizeof length, 1, stdout);
    if (count > 0) std::fwrite(items, size, count, stdout);  // an empty vector has no items
}

std::vector<TextRange> read_ranges() {
    const std::vector<int32_t> numbers = read_numbers();
    std::vector<TextRange> ranges;
    for (size_t i = 0; i + 1 < numbers.size(); i += 2) {
        ranges.push_back({static_cast<size_t>(numbers[i]), static_cast<size_t>(numbers[i + 1])});
    }
    return ranges;
}

std::string stream(const Tokenizer& tokenizer, bool skip_special) {
    StreamDecoder decoder(tokenizer, skip_special);
    std::string text;
    const auto take = [&text](const std::string& piece) {
        if (io::first_non_utf8(piece) != piece.size()) {
            std::fputs("driver: a piece ends inside a character\n", stderr);
            std::exit(3);
        }
        text += piece;
    };
    for (int32_t id : read_numbers()) take(decoder.put(id));
    take(decoder.finish());
    return text;
}

std::string pieces_of(const PreTokenizer& pretokenizer, const std::string& text) {
    std::string all;
    const PutPiece put = [&](std::string_view piece) {
        all += std::to_string(piece.size()) + ":";
        all += piece;
    };
    PreTokenizer::Cutter(pretokenizer, put).cut(text, true);
    return all;
}

void answer(int request, const Tokenizer& tokenizer, const Normalizer& normalizer,
            const PreTokenizer& pretokenizer) {
    const auto write_ids = [](const std::vector<int32_t>& ids) {
        write(ids.data(), ids.size(), sizeof(int32_t));
    };
    const auto write_text = [](const std::string& text) { write(text.data(), text.size(), 1); };
    switch (request) {
        case 'e':
            return write_ids(tokenizer.encode(read_text()));
        case 'p': {
            const std::vector<TextRange> ranges = read_ranges();
            return write_ids(tokenizer.encode(read_text(), AddBos::Auto, ranges));
        }
        case 'd':
        case 'D':
            return write_text(tokenizer.decode(read_numbers(), request == 'd'));
        case 's':
        case 'S':
            return write_text(stream(tokenizer, request == 's'));
        case 'n':
            return write_text(Normalizer::Worker(normalizer).apply(read_text()));
        case 'c':
            return write_text(pieces_of(pretokenizer, read_text()));
        default:
            std::fprintf(stderr, "driver: no such request: %c\n", request);
            std::exit(2);
    }
}

int run(const std::string& folder) {
    const Tokenizer tokenizer = Tokenizer::load(folder);
    const io::Json json = io::Json::parse_file(folder + "/tokenizer.json", kLimits);
    const Normalizer normalizer(json.find("normalizer"));
    const PreTokenizer pretokenizer(json.find("pre_tokenizer"));
    for (int request = std::getchar(); request != EOF; request = std::getchar()) {
        answer(request, tokenizer, normalizer, pretokenizer);
    }
    return std::fflush(stdout) == 0 ? 0 : 2;
}

}  // namespace
}  // namespace quarot::tokenizer

int main(int count, char** arguments) {
    if (count != 2) {
        std::fputs("usage: tokenizer_driver FOLDER\n", stderr);
        return 2;
    }
    try {
        return quarot::tokenizer::run(arguments[1]);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "driver: %s\n", error.what());
        return 1;
    }
}

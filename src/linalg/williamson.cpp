#include "linalg/williamson.h"

#include <array>
#include <string_view>

namespace quarot::linalg {
namespace {

// The circulants A, B, C, D of order w with A^2 + B^2 + C^2 + D^2 = 4 w I. Each is symmetric, so
// the first (w + 1) / 2 signs of its first row tell the rest: row[k] = row[w - k].
// 13, 39 and 43 are the rows of the published tables; 23 and 29 come from an exhaustive search.
struct CirculantRows {
    int64_t width;
    std::array<std::string_view, 4> halves;
};

constexpr std::array kRows = {
    CirculantRows{13, {"+-+--++", "+---+++", "++-+--+", "+----+-"}},
    CirculantRows{23, {"+++-+++-+---", "+++---++-+-+", "++---+---+-+", "+-++-++--+++"}},
    CirculantRows{29, {"++-+-++++--+---", "++-+-++----+--+", "+-+--+-+++++--+", "++-++-+++---+++"}},
    CirculantRows{39,
                  {"+++--+-+-----+--++--", "++++---+--++----+-+-", "+++--++-+---+-+--+--",
                   "+---++-+-+-----+++-+"}},
    CirculantRows{43,
                  {"+---++--++++-+-+++-++-", "++-++++++----+-+--++-+", "+++-+-++--+-+-++++-+--",
                   "++---++++-+--+--++----"}},
};

// Block (r, c) of the array is signs[r][c] times circulant index[r][c].
constexpr int kIndex[4][4] = {{0, 1, 2, 3}, {1, 0, 3, 2}, {2, 3, 0, 1}, {3, 2, 1, 0}};
constexpr int kSign[4][4] = {{1, 1, 1, 1}, {-1, 1, -1, 1}, {-1, 1, 1, -1}, {-1, -1, 1, 1}};

int circulant_entry(std::string_view half, int64_t w, int64_t row, int64_t column) {
    const int64_t k = (column - row + w) % w;
    return half[k < w - k ? k : w - k] == '+' ? 1 : -1;
}

SignMatrix assemble(const CirculantRows& rows) {
    const int64_t w = rows.width;
    SignMatrix h{.order = 4 * w, .signs = std::vector<int8_t>(16 * w * w)};
    for (int64_t i = 0; i < h.order; ++i) {
        for (int64_t j = 0; j < h.order; ++j) {
            const int64_t block_row = i / w;
            const int64_t block_column = j / w;
            const auto half = rows.halves[kIndex[block_row][block_column]];
            const int entry = circulant_entry(half, w, i % w, j % w);
            h.at(i, j) = static_cast<int8_t>(kSign[block_row][block_column] * entry);
        }
    }
    return h;
}

}  // namespace

std::optional<SignMatrix> williamson(int64_t order) {
    for (const CirculantRows& rows : kRows) {
        if (4 * rows.width == order) return assemble(rows);
    }
    return std::nullopt;
}

}  // namespace quarot::linalg

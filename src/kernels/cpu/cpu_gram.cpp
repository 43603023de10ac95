#include "kernels/cpu/cpu_gram.h"

#include <cstring>
#include <utility>

#include "core/check.h"

namespace quarot::kernels::cpu {

namespace {

// Rows summed in fp32.
constexpr int64_t kRun = 256;
// Rows packed at once: many, since every tile of the fp64 matrix passes through the caches once for
// them, but not more memory than this many rows take.
constexpr int64_t kChunkRows = 16 * kRun;
// A task's tile is this many panels wide and high: its fp64 numbers and a run of both its strips
// stay in L2 (128 KiB each).
constexpr int64_t kTaskPanels = 2;
constexpr int64_t kTaskColumns = kTaskPanels * kGramPanel;

// Rows as panels of 64 columns, so that a tile reads them in order: panel p, row r at
// (p * n_rows + r) * 64.
struct PackedRows {
    float* data;
    int64_t n_rows;
    int64_t n_columns;

    int64_t n_panels() const { return ceil_div(n_columns, kGramPanel); }
    int64_t columns_of(int64_t panel) const {
        return std::min(kGramPanel, n_columns - panel * kGramPanel);
    }
    float* at(int64_t panel, int64_t row) const {
        return data + (panel * n_rows + row) * kGramPanel;
    }
};

void pack(CpuContext& context, const Rows& in, const PackedRows& packed) {
    context.for_rows(in.rows, [&](int64_t row, int) {
        for (int64_t panel = 0; panel < packed.n_panels(); ++panel) {
            const int64_t count = packed.columns_of(panel);
            float* to = packed.at(panel, row);
            std::memcpy(to, in.f32(row) + panel * kGramPanel, static_cast<size_t>(count) * 4);
            std::fill(to + count, to + kGramPanel, 0.0f);
        }
    });
}

int64_t packed_bytes(const Rows& in) {
    return round_up(in.cols, kGramPanel) * std::min(kChunkRows, in.rows) * size_of(DType::F32);
}

// The place of a task in the list (0,0) (1,0) (1,1) (2,0) ...
std::pair<int64_t, int64_t> lower_triangle_place(int64_t task) {
    int64_t row = 0;
    while (task > row) task -= ++row;
    return {row, task};
}

// Both sides of a sum of products; the same rows of one matrix where it is symmetric, and then only
// what stands at or below the diagonal is summed.
struct PackedSides {
    PackedRows a, b;
    bool symmetric = false;
};

// The panels [first_a, ...) and [first_b, ...) of one task.
void add_tile(const IsaKernels& isa, const PackedSides& in, int64_t first_a, int64_t first_b,
              double* gram) {
    const int64_t end_a = std::min(first_a + kTaskPanels, in.a.n_panels());
    const int64_t end_b = std::min(first_b + kTaskPanels, in.b.n_panels());
    for (int64_t row = 0; row < in.a.n_rows; row += kRun) {
        for (int64_t b = first_b; b < end_b; ++b) {
            for (int64_t a = in.symmetric ? std::max(first_a, b) : first_a; a < end_a; ++a) {
                isa.gram_tile({.a = in.a.at(a, row),
                               .b = in.b.at(b, row),
                               .depth = std::min(kRun, in.a.n_rows - row),
                               .n_rows = in.a.columns_of(a),
                               .n_columns = in.b.columns_of(b),
                               .lower_only = in.symmetric && a == b,
                               .gram = gram + (a * in.b.n_columns + b) * kGramPanel,
                               .stride = in.b.n_columns});
            }
        }
    }
}

// Copies what stands below the diagonal above it, for one task's rows and columns, in blocks of a
// cache line each way.
void mirror_tile(double* gram, int64_t n, int64_t first_row, int64_t first_column) {
    constexpr int64_t kLine = 8;
    const int64_t end_row = std::min(first_row + kTaskColumns, n);
    const int64_t end_column = std::min(first_column + kTaskColumns, n);
    for (int64_t i = first_row; i < end_row; i += kLine) {
        for (int64_t j = first_column; j < std::min(end_column, i + kLine); j += kLine) {
            for (int64_t column = j; column < std::min(j + kLine, end_column); ++column) {
                for (int64_t row = std::max(i, column + 1); row < std::min(i + kLine, end_row);
                     ++row) {
                    gram[column * n + row] = gram[row * n + column];
                }
            }
        }
    }
}

}  // namespace

void add_gram(CpuContext& context, const Rows& in, double* gram) {
    QUAROT_CHECK(in.dtype == DType::F32 && in.cols >= 1, "{} columns", in.cols);
    const int64_t n = in.cols;
    auto* panels = reinterpret_cast<float*>(context.shared.get(packed_bytes(in)));
    const int64_t n_strips = ceil_div(n, kTaskColumns);
    for (int64_t row = 0; row < in.rows; row += kChunkRows) {
        const Rows chunk = in.slice(row, std::min(kChunkRows, in.rows - row));
        const PackedRows packed{panels, chunk.rows, n};
        pack(context, chunk, packed);
        context.parallel(n_strips * (n_strips + 1) / 2, [&](int64_t task, int) {
            const auto [a, b] = lower_triangle_place(task);
            add_tile(context.isa, {packed, packed, true}, a * kTaskPanels, b * kTaskPanels, gram);
            mirror_tile(gram, n, a * kTaskColumns, b * kTaskColumns);
        });
    }
}

void add_cross_gram(CpuContext& context, const Rows& a, const Rows& b, double* gram) {
    QUAROT_CHECK(a.dtype == DType::F32 && a.cols >= 1, "{} columns", a.cols);
    QUAROT_CHECK(b.dtype == DType::F32 && b.cols >= 1, "{} columns", b.cols);
    QUAROT_CHECK(a.rows == b.rows, "{} {}", a.rows, b.rows);
    const int64_t a_bytes = packed_bytes(a);
    std::byte* memory = context.shared.get(a_bytes + packed_bytes(b));
    auto* a_panels = reinterpret_cast<float*>(memory);
    auto* b_panels = reinterpret_cast<float*>(memory + a_bytes);
    const int64_t b_strips = ceil_div(b.cols, kTaskColumns);
    for (int64_t row = 0; row < a.rows; row += kChunkRows) {
        const int64_t count = std::min(kChunkRows, a.rows - row);
        const PackedSides packed{{a_panels, count, a.cols}, {b_panels, count, b.cols}, false};
        pack(context, a.slice(row, count), packed.a);
        pack(context, b.slice(row, count), packed.b);
        context.parallel(ceil_div(a.cols, kTaskColumns) * b_strips, [&](int64_t task, int) {
            add_tile(context.isa, packed, task / b_strips * kTaskPanels,
                     task % b_strips * kTaskPanels, gram);
        });
    }
}

}  // namespace quarot::kernels::cpu

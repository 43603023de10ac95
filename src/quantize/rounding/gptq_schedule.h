// In which order does GPTQ round columns and correct the others?
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/column_solver.h"
#include "recipe/recipe.h"

namespace quarot::quantize {

using kernels::Columns;

// Most of the work is products of some size, because columns are corrected as late as can be:
//
//   block (128 columns): corrects all that stands behind it when it is done
//     part (a group, or the block): corrected by the parts before it when it is reached
//       segment (32 columns): corrected by the segments before it when it is reached
//         column: corrects the others of its segment at once
//
// So the weights of a group that is reached are still those of the start of its block.
struct GptqSchedule {
    static constexpr int64_t kBlock = 128;   // columns, as in the original program
    static constexpr int64_t kSegment = 32;  // short enough that the loops in it cost little

    int64_t n_cols = 0;
    int64_t n_codes = 0;
    int64_t group_width = 0;  // n_codes without groups
    bool has_groups = false;
    bool grids_follow = false;  // are chosen during the solve
    GroupScales group_scales = GroupScales::Updated;

    GptqSchedule(int64_t cols, int64_t codes, const WeightFormat& format)
        : n_cols(cols),
          n_codes(codes),
          group_width(format.group_size == 0 ? codes : format.group_size),
          has_groups(format.group_size != 0),
          grids_follow(format.group_size != 0 && !format.act_order),
          group_scales(format.group_scales) {}

    // Such that no group straddles a border.
    int64_t block_width() const {
        if (!has_groups || kBlock % group_width == 0 || group_width % kBlock == 0) return kBlock;
        return group_width < kBlock ? kBlock / group_width * group_width : group_width;
    }

    // Steps has begin_block(Columns), choose_group_grids(first column), correct(later, rounded) and
    // round_segment(Columns), which corrects its own columns. Ranges may be empty.
    template <typename Steps>
    void run(Steps& steps) const {
        const int64_t width = block_width();
        for (int64_t begin = 0; begin < n_codes; begin += width) {
            const Columns block = {begin, std::min(begin + width, n_codes)};
            steps.begin_block(block);
            run_block(steps, block);
            steps.correct({block.end, n_cols}, block);
        }
    }

  private:
    template <typename Steps>
    void run_block(Steps& steps, Columns block) const {
        const int64_t width = grids_follow ? group_width : block.end - block.begin;
        for (int64_t begin = block.begin; begin < block.end; begin += width) {
            const Columns part = {begin, std::min(begin + width, block.end)};
            const bool starts_group = grids_follow && begin % group_width == 0;
            const bool updated = group_scales == GroupScales::Updated;
            if (starts_group && !updated) steps.choose_group_grids(begin);
            steps.correct(part, {block.begin, begin});
            if (starts_group && updated) steps.choose_group_grids(begin);
            run_part(steps, part);
        }
    }

    template <typename Steps>
    void run_part(Steps& steps, Columns part) const {
        for (int64_t begin = part.begin; begin < part.end; begin += kSegment) {
            const Columns segment = {begin, std::min(begin + kSegment, part.end)};
            steps.correct(segment, {part.begin, begin});
            steps.round_segment(segment);
        }
    }
};

}  // namespace quarot::quantize

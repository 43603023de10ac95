// The memory of quantized weights, as it is told before and as it is laid out.
#include "kernels/cuda/weight_layout.h"

#include <gtest/gtest.h>

#include <vector>

#include "kernels/cuda/cuda_linear.h"
#include "kernels/formats.h"

namespace quarot::cuda_test {
namespace {

using namespace kernels::cuda;
using kernels::CodesForm;

// Of the last row's zero points, which lie last.
int64_t end_of(const CodesForm& form) {
    const WeightShape shape = {form.rows, form.cols, form.bits, form.group_size, form.symmetric};
    std::vector<uint8_t> memory(static_cast<size_t>(codes_bytes(form)));
    const WeightView view = place_weights(memory.data(), shape);
    return view.zeros - memory.data() +
           shape.group_index(shape.padded_rows() - 1, shape.n_groups() - 1) + 1;
}

TEST(WeightLayout, TakesTheBytesThatAreToldBefore) {
    for (const int bits : {3, 4, 5, 8}) {
        for (const int64_t group : {0, 32, 64}) {
            for (const bool symmetric : {true, false}) {
                const CodesForm form = {.rows = 70,
                                        .cols = 192,
                                        .bits = bits,
                                        .group_size = group,
                                        .symmetric = symmetric};
                EXPECT_EQ(codes_bytes(form), end_of(form)) << bits << " " << group;
            }
        }
    }
}

TEST(WeightLayout, CountsAScaleAZeroPointAndASumOfEveryGroup) {
    EXPECT_EQ(codes_bytes({.rows = 128, .cols = 256, .bits = 4, .group_size = 64}),
              128 * (256 / 2 + 4 * (4 + 1 + 4)));
    EXPECT_EQ(codes_bytes({.rows = 70, .cols = 192, .bits = 8}), 128 * (256 + 4 + 1 + 4))
        << "rows padded to 128, columns to 128";
}

}  // namespace
}  // namespace quarot::cuda_test

#include "reproduce/weight_grid.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace quarot::reproduce {
namespace {

constexpr size_t kGroup = 32;

// Rounds each group to `n_levels` values between its least and its largest one.
void round_groups(std::vector<float>& values, int n_levels) {
    for (size_t first = 0; first < values.size(); first += kGroup) {
        const auto begin = values.begin() + static_cast<std::ptrdiff_t>(first);
        const auto [low, high] = std::minmax_element(begin, begin + kGroup);
        const float least = *low;
        const float step = (*high - least) / static_cast<float>(n_levels - 1);
        std::for_each(begin, begin + kGroup, [least, step](float& value) {
            value = least + step * std::round((value - least) / step);
        });
    }
}

bool lies_on_grids(int n_levels) {
    test::TinyModelOptions options;
    options.ffn = 64;
    test::TinyModel model = test::make_tiny_model(options);
    for (auto& [name, tensor] : model.tensors) {
        if (n_levels == 0 || name.find("_proj.weight") == std::string::npos) continue;
        std::vector<float> values = test::values_of(tensor);
        round_groups(values, n_levels);
        tensor = test::make_stored_tensor(DType::F32, tensor.shape, values);
    }
    const test::TempDir dir;
    test::write_model(model, dir / "model");
    return weights_lie_on_4_bit_grids(folder::SourceModel::open(dir / "model"));
}

TEST(WeightGrid, KnowsWeightsThatWereRoundedInGroupsBefore) {
    EXPECT_TRUE(lies_on_grids(16));
    EXPECT_TRUE(lies_on_grids(8));
}

TEST(WeightGrid, TakesOrdinaryAndFinerWeightsForWhatTheyAre) {
    EXPECT_FALSE(lies_on_grids(0));
    EXPECT_FALSE(lies_on_grids(256));
}

}  // namespace
}  // namespace quarot::reproduce

// Integer products on the device: every kernel gives the bits of the host's formula, for shapes and
// forms at random, leaves padding and surroundings alone, and repeats itself.
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <vector>

#include "cuda/linear_case.h"

namespace quarot::cuda_test {
namespace {

using namespace kernels::cuda;

class CudaLinear : public OnGpu {
  protected:
    // Every kernel that can run the form. False: stop here.
    void check(const LinearForm& form, uint32_t seed, int repeats = 1) {
        LinearCase layer(form, seed);
        const std::vector<std::byte> expected = layer.expected();
        for (LinearKernel kernel : all_linear_kernels()) {
            if (!can_run(kernel, layer.product(), current_device())) continue;
            for (int i = 0; i < repeats; ++i) {
                ASSERT_EQ(layer.run(kernel), expected)
                    << name_of(kernel) << ", seed " << seed << ", " << describe(form);
                ASSERT_TRUE(layer.guards_intact()) << name_of(kernel) << ", " << describe(form);
            }
            ++runs_[static_cast<size_t>(kernel)];
        }
    }
    std::vector<int> runs_ = std::vector<int>(all_linear_kernels().size());
};

int64_t pick(std::mt19937& random, std::initializer_list<int64_t> values) {
    return values.begin()[random() % values.size()];
}

DType pick_dtype(std::mt19937& random) {
    return static_cast<DType>(
        pick(random, {static_cast<int64_t>(DType::F32), static_cast<int64_t>(DType::F16),
                      static_cast<int64_t>(DType::BF16)}));
}

// Whole rows, which the fast kernels take: ragged everywhere, all widths.
LinearForm random_form(std::mt19937& random) {
    LinearForm form;
    form.tokens = 1 + random() % static_cast<uint32_t>(pick(random, {4, 16, 40, 80, 300}));
    form.rows = 1 + random() % static_cast<uint32_t>(pick(random, {32, 130, 400, 700}));
    if (random() % 2 == 0) form.rows = (form.rows + 7) / 8 * 8;  // as the copy engine wants them
    form.cols = 1 + random() % static_cast<uint32_t>(pick(random, {70, 300, 1200}));
    form.weight_bits = random() % 2 == 0 ? 4 : static_cast<int>(2 + random() % 7);
    form.activation_bits = random() % 2 == 0 ? 4 : static_cast<int>(2 + random() % 7);
    form.weight_symmetric = random() % 4 != 0;
    form.offsets = random() % 4 == 0;
    form.bases = !form.offsets && random() % 4 == 0;
    form.bias = random() % 2 == 0;
    form.accumulate = random() % 3 == 0;
    form.out = pick_dtype(random);
    form.padding = (8 - form.rows % 8) % 8 + pick(random, {0, 8});
    if (random() % 8 == 0) form.padding = random() % 5;  // not for the copy engine
    form.extreme = random() % 8 == 0;
    return form;
}

// 20 batches of 100 shapes, so that a checker of memory or races can take one.
class CudaLinearBatch : public CudaLinear, public testing::WithParamInterface<uint32_t> {};
INSTANTIATE_TEST_SUITE_P(All, CudaLinearBatch, testing::Range(0u, 20u));

TEST_P(CudaLinearBatch, RandomShapesGiveTheBitsOfTheHost) {
    std::mt19937 random(GetParam());
    for (uint32_t i = 0; i < 100; ++i) {
        check(random_form(random), i);
        if (HasFatalFailure()) return;
    }
    const bool hopper = current_device().compute_capability == 90;
    for (LinearKernel kernel : all_linear_kernels()) {
        const bool everywhere = kernel == LinearKernel::Streamed || kernel == LinearKernel::General;
        const bool of_groups =
            kernel == LinearKernel::StreamedGroups || kernel == LinearKernel::TileGroups ||
            kernel == LinearKernel::StreamedMultiples || kernel == LinearKernel::TileMultiples ||
            kernel == LinearKernel::WarpgroupMultiples || kernel == LinearKernel::Groups128;
        if (of_groups || !(hopper || everywhere)) continue;
        EXPECT_GT(runs_[static_cast<size_t>(kernel)], 0) << name_of(kernel);
    }
}

TEST_F(CudaLinear, GroupsOfEitherSideGiveTheBitsOfTheHost) {
    std::mt19937 random(7);
    for (uint32_t i = 0; i < 400; ++i) {
        LinearForm form = random_form(random);
        form.cols = pick(random, {90, 128, 384, 576, 1024});
        const auto group = [&] {
            return pick(random,
                        {0, form.cols / 2, form.cols == 90 ? 15 : 32, form.cols == 90 ? 10 : 64});
        };
        form.weight_group = group();
        form.activation_group = group();
        check(form, i);
        if (HasFatalFailure()) return;
    }
}

TEST_F(CudaLinear, GroupsOf128OnBothSidesGiveTheBitsOfTheHost) {
    std::mt19937 random(9);
    for (uint32_t i = 0; i < 60; ++i) {
        LinearForm form = random_form(random);
        form.tokens += 16;
        form.rows = (form.rows + 7) / 8 * 8;
        form.cols = 128 * pick(random, {1, 2, 5, 9});
        form.weight_bits = static_cast<int>(pick(random, {2, 4}));
        form.weight_group = form.activation_group = 128;
        form.weight_symmetric = true;
        form.offsets = form.bases = false;
        form.padding = pick(random, {0, 8});
        check(form, i);
        if (HasFatalFailure()) return;
    }
    if (current_device().compute_capability != 90) return;
    EXPECT_EQ(runs_[static_cast<size_t>(LinearKernel::Groups128)], 60);
}

// Small groups on either side, of which one may be whole rows: columns of their larger one.
struct SmallGroups {
    int64_t weight, activation;
};
class CudaSmallGroups : public CudaLinear, public testing::WithParamInterface<int> {
  protected:
    static LinearForm random_form_of(std::mt19937& random, const SmallGroups& groups) {
        LinearForm form = random_form(random);
        const auto largest = static_cast<uint32_t>(std::max(groups.weight, groups.activation));
        form.cols = largest * (1 + random() % static_cast<uint32_t>(pick(random, {3, 12, 40})));
        form.weight_bits = 4;
        form.activation_bits = static_cast<int>(pick(random, {4, 4, 8, 8, 3}));
        form.weight_group = groups.weight;
        form.activation_group = groups.activation;
        form.weight_symmetric = random() % 2 == 0;
        form.offsets = random() % 5 == 0;
        form.bases = !form.offsets && random() % 2 == 0;
        form.extreme = random() % 4 == 0;
        form.half_scales = random() % 2 == 0;
        if (random() % 4 == 0) {
            constexpr float kScales[] = {0.0f, 0x1p-112f, 0x1p-60f, 0x1p12f};
            form.third_scale = kScales[random() % 4];
        }
        return form;
    }
    static SmallGroups groups() {
        constexpr int64_t kSizes[] = {0, 32, 64, 128};
        return {kSizes[GetParam() / 4], kSizes[GetParam() % 4]};
    }
};
INSTANTIATE_TEST_SUITE_P(All, CudaSmallGroups, testing::Range(1, 16));

TEST_P(CudaSmallGroups, GiveTheBitsOfTheHost) {
    std::mt19937 random(static_cast<uint32_t>(100 + GetParam()));
    for (uint32_t i = 0; i < 60; ++i) {
        LinearForm form = random_form_of(random, groups());
        if (i < 34) form.tokens = 1 + i % 17;
        check(form, i);
        if (HasFatalFailure()) return;
    }
    EXPECT_GT(runs_[static_cast<size_t>(LinearKernel::StreamedGroups)], 30);
    EXPECT_GT(runs_[static_cast<size_t>(LinearKernel::TileGroups)], 3);
}

// Rings that turn many times, strips of several CTAs, tiles side by side.
TEST_P(CudaSmallGroups, LargeShapesGiveTheBitsOfTheHostEveryTime) {
    for (const auto& [tokens, rows, cols] : {std::array<int64_t, 3>{1, 5000, 2048},
                                             {1, 600, 11008},
                                             {3, 9000, 640},
                                             {8, 5000, 1024},
                                             {16, 5000, 1024},
                                             {200, 1000, 1024}}) {
        for (bool zeros : {false, true}) {
            LinearForm form = {.tokens = tokens, .rows = rows, .cols = cols, .bias = true};
            form.weight_group = groups().weight;
            form.activation_group = groups().activation;
            form.weight_symmetric = !zeros;
            form.bases = zeros;
            form.activation_bits = zeros ? 8 : 4;
            form.half_scales = zeros;
            form.accumulate = true;
            form.out = DType::BF16;
            check(form, 19, 2);
            if (HasFatalFailure()) return;
        }
    }
}

// Tokens in multiples: the weights' groups, some tokens of 8-bit codes, none or all.
class CudaMultiples : public CudaLinear, public testing::WithParamInterface<int64_t> {
  protected:
    static LinearForm random_form_of(std::mt19937& random) {
        LinearForm form = random_form(random);
        const int64_t group = GetParam() == 0 ? 32 : GetParam();
        form.cols = group * (1 + random() % static_cast<uint32_t>(pick(random, {3, 12, 40})));
        form.weight_bits = static_cast<int>(pick(random, {4, 4, 4, 3}));
        form.weight_group = GetParam();
        form.activation_group = 32;
        form.offsets = form.bases = false;
        form.multiples = true;
        form.activation_bits = static_cast<int>(pick(random, {4, 8}));
        if (form.activation_bits == 8) form.wide = pick(random, {0, 1, 5, 100});
        return form;
    }
};
INSTANTIATE_TEST_SUITE_P(All, CudaMultiples, testing::Values(0, 32, 64, 128));

TEST_P(CudaMultiples, GiveTheBitsOfTheHost) {
    std::mt19937 random(static_cast<uint32_t>(300 + GetParam()));
    for (uint32_t i = 0; i < 90; ++i) {
        LinearForm form = random_form_of(random);
        if (i < 51) form.tokens = 1 + i % 17;
        check(form, i);
        if (HasFatalFailure()) return;
    }
    EXPECT_GT(runs_[static_cast<size_t>(LinearKernel::StreamedMultiples)], 45);
    EXPECT_GT(runs_[static_cast<size_t>(LinearKernel::TileMultiples)], 10);
    EXPECT_EQ(runs_[static_cast<size_t>(LinearKernel::General)], 0);
    if (current_device().compute_capability != 90) return;
    EXPECT_GT(runs_[static_cast<size_t>(LinearKernel::WarpgroupMultiples)], 5);
}

TEST_P(CudaMultiples, LargeShapesGiveTheBitsOfTheHostEveryTime) {
    for (const auto& [tokens, rows, cols] : {std::array<int64_t, 3>{1, 5000, 2048},
                                             {1, 600, 11008},
                                             {1, 600, 28672},
                                             {3, 9000, 640},
                                             {8, 5000, 1024},
                                             {16, 5000, 1024},
                                             {50, 1000, 1024},
                                             {1000, 3000, 1024}}) {
        for (const bool wide : {false, true}) {
            LinearForm form = {.tokens = tokens, .rows = rows, .cols = cols, .bias = true};
            form.weight_group = GetParam();
            form.activation_group = 32;
            form.weight_symmetric = !wide;
            form.multiples = true;
            form.activation_bits = wide ? 8 : 4;
            form.wide = wide ? 130 : 0;
            form.accumulate = true;
            form.out = DType::BF16;
            check(form, 19, 2);
            if (HasFatalFailure()) return;
        }
    }
}

// The largest sums that there are: no kernel's integers overflow.
TEST_P(CudaMultiples, TheLargestSumsAreExact) {
    for (const int64_t tokens : {1, 5, 40, 100}) {
        for (const int sign : {-1, 1}) {
            for (const bool wide : {false, true}) {
                LinearForm form = {.tokens = tokens, .rows = 136, .cols = 1024};
                form.weight_group = GetParam();
                form.activation_group = 32;
                form.multiples = true;
                form.activation_bits = wide ? 8 : 4;
                form.wide = wide ? 1 : 0;
                form.weight_symmetric = false;
                form.largest = sign;
                check(form, 23);
                if (HasFatalFailure()) return;
            }
        }
    }
}

// Up to three matrices share their tokens in one launch.
TEST_F(CudaLinear, ProductsTogetherGiveTheBitsOfEach) {
    for (int64_t tokens : {1, 7, 16, 40, 100}) {
        for (const auto& [group, multiples] :
             {std::pair<int64_t, bool>{0, false}, {32, false}, {128, false}, {64, true}}) {
            LinearForm form = {.tokens = tokens, .rows = 136, .cols = 384};
            form.weight_group = form.activation_group = group;
            form.weight_symmetric = false;
            form.bases = !multiples;
            form.multiples = multiples;
            std::vector<LinearCase> layers;
            layers.reserve(3);
            std::vector<LinearProduct> products;
            for (int64_t rows : {136, 40, 40}) {
                form.rows = rows;
                LinearCase& layer = layers.emplace_back(form, static_cast<uint32_t>(layers.size()));
                layer.share_input(layers.front());
                layer.clear_output();
                products.push_back(layer.product());
            }
            multiply(products, nullptr);
            synchronize();
            for (const LinearCase& layer : layers) {
                ASSERT_EQ(layer.output_bytes(), layer.expected()) << describe(form);
            }
        }
    }
}

// Groups128 multiplies scales by powers of two where they leave room for that.
TEST_F(CudaLinear, ScalesOfAnySizeGiveTheBitsOfTheHost) {
    for (float scale : {0.0f, 0x1p-112f, 0x1p-90f, 0x1p-60f, 0x1p12f, 0x1p40f}) {
        for (int bits : {4, 8}) {
            LinearForm form = {.tokens = 150, .rows = 400, .cols = 640, .activation_bits = bits};
            form.weight_group = form.activation_group = 128;
            form.third_scale = scale;
            check(form, 13);
            if (HasFatalFailure()) return;
        }
    }
    if (current_device().compute_capability != 90) return;
    EXPECT_EQ(runs_[static_cast<size_t>(LinearKernel::Groups128)], 12);
}

// More tiles than multiprocessors.
TEST_F(CudaLinear, ManyTilesOfGroupsGiveTheBitsOfTheHostEveryTime) {
    LinearForm form = {.tokens = 1100, .rows = 3080, .cols = 384, .bias = true};
    form.weight_group = form.activation_group = 128;
    form.accumulate = true;
    form.out = DType::BF16;
    check(form, 17, 3);
}

// Several tiles to a CTA, full pipelines, all of the split kernels' rounds.
TEST_F(CudaLinear, LargeShapesGiveTheBitsOfTheHostEveryTime) {
    for (const auto& [tokens, rows, cols] : {std::array<int64_t, 3>{600, 4096, 512},
                                             {64, 17152, 256},
                                             {32, 34048, 128},
                                             {16, 9000, 1024},
                                             {8, 9000, 4096},
                                             {1, 576, 11008},
                                             {2, 70000, 128},
                                             {2100, 1000, 300}}) {
        for (DType out : {DType::F32, DType::BF16}) {
            LinearForm form = {.tokens = tokens, .rows = rows, .cols = cols, .bias = true};
            form.accumulate = true;
            form.out = out;
            check(form, 3, 3);
            form.weight_bits = 8;
            check(form, 4);
            form.weight_bits = 4;
            if (cols % 128 == 0) {
                form.weight_group = form.activation_group = 128;
                check(form, 5, 2);
            }
            if (HasFatalFailure()) return;
        }
    }
}

// Small enough for checkers of memory and races (docs/cuda.md).
TEST_F(CudaLinear, EveryKernelTakesASmallShape) {
    for (int64_t tokens : {3, 12, 40}) {
        for (int bits : {4, 8}) {
            for (int64_t group : {0, 128}) {
                LinearForm form = {.tokens = tokens, .rows = 136, .cols = 384, .weight_bits = bits};
                form.weight_group = form.activation_group = group;
                form.accumulate = true;
                form.out = DType::F16;
                check(form, 11);
            }
        }
        LinearForm form = {.tokens = tokens, .rows = 136, .cols = 384, .activation_bits = 8};
        form.weight_group = 64;
        form.multiples = true;
        form.wide = 30;
        form.out = DType::F16;
        check(form, 12);
    }
    if (current_device().compute_capability != 90) return;
    for (LinearKernel kernel : all_linear_kernels()) {
        EXPECT_GE(runs_[static_cast<size_t>(kernel)], 1) << name_of(kernel);
    }
}

TEST_F(CudaLinear, SumsOfTheLargestCodesAreExact) {
    LinearForm form = {.tokens = 20, .rows = 70, .cols = 28672, .activation_bits = 8};
    form.extreme = true;
    for (bool symmetric : {true, false}) {
        form.weight_symmetric = symmetric;
        form.offsets = !symmetric;
        check(form, 5);
    }
    form.tokens = 3;
    form.weight_bits = 8;
    check(form, 6);
}

TEST_F(CudaLinear, PackedCodesLieWhereTheLayoutSays) {
    std::mt19937 random(1);
    for (int bits = 2; bits <= 8; ++bits) {
        LinearForm form = {.rows = 70, .cols = 90, .weight_bits = bits};
        LinearCase layer(form, static_cast<uint32_t>(bits));
        const WeightView& weight = layer.product().weight;
        std::vector<uint8_t> units(static_cast<size_t>(weight.shape.code_bytes()));
        ASSERT_EQ(cudaMemcpy(units.data(), weight.codes, units.size(), cudaMemcpyDeviceToHost),
                  cudaSuccess);
        for (int64_t row = 0; row < 128; ++row) {
            for (int64_t col = 0; col < 128; ++col) {
                const CodePlace place = code_place(weight.shape, row, col);
                const int stored =
                    units[static_cast<size_t>(place.byte)] >> place.shift & (bits <= 4 ? 15 : 255);
                const bool inside = row < form.rows && col < form.cols;
                ASSERT_EQ(stored, inside ? layer.stored_weight(row, col) : 0)
                    << bits << " bits, row " << row << ", column " << col;
            }
        }
    }
}

TEST(CudaLinearChoice, ShapeAloneChoosesTheKernel) {
    const auto chosen = [](int64_t tokens, int64_t rows, int64_t cols) {
        LinearProduct p;
        p.in = {.rows = tokens, .cols = cols, .stride = activation_stride(cols)};
        p.weight.shape = {.rows = rows, .cols = cols};
        p.out_stride = rows;
        return choose_kernel(
            p, {.compute_capability = 90, .multiprocessors = 132, .shared_bytes = 227 * 1024});
    };
    EXPECT_EQ(chosen(1, 4096, 4096), LinearKernel::StreamedFew);
    EXPECT_EQ(chosen(2, 22016, 4096), LinearKernel::StreamedFew);
    EXPECT_EQ(chosen(3, 22016, 4096), LinearKernel::Streamed);
    EXPECT_EQ(chosen(1, 4096, 11008), LinearKernel::Streamed);
    EXPECT_EQ(chosen(9, 4096, 4096), LinearKernel::Streamed);
    EXPECT_EQ(chosen(16, 57344, 8192), LinearKernel::Streamed);
    EXPECT_EQ(chosen(32, 4096, 4096), LinearKernel::Tile32Split);
    EXPECT_EQ(chosen(64, 57344, 8192), LinearKernel::Tile64);
    EXPECT_EQ(chosen(128, 8192, 28672), LinearKernel::Tile128Split);
    EXPECT_EQ(chosen(512, 4096, 4096), LinearKernel::Tile128);
    EXPECT_EQ(chosen(2048, 4096, 4096), LinearKernel::Tile256);
    EXPECT_EQ(chosen(2048, 4096, 40000), LinearKernel::General);
}

// By no kernel that would give other bits, whatever else the batch holds.
TEST(CudaLinearChoice, MultiplesAreMultipliedByKernelsOfTheirOwn) {
    uint8_t multiples = 0;
    const auto chosen = [&](int64_t tokens, int capability, int shared_kib, int64_t group) {
        LinearProduct p;
        p.in = {.multiples = &multiples,
                .rows = tokens,
                .cols = 4096,
                .stride = 4096,
                .group_size = 32};
        p.weight.shape = {.rows = 4096, .cols = 4096, .group_size = group};
        p.out_stride = 4096;
        return choose_kernel(p, {.compute_capability = capability,
                                 .multiprocessors = 132,
                                 .shared_bytes = shared_kib * 1024});
    };
    EXPECT_EQ(chosen(16, 90, 227, 64), LinearKernel::StreamedMultiples);
    EXPECT_EQ(chosen(17, 90, 227, 0), LinearKernel::TileMultiples);
    EXPECT_EQ(chosen(65, 90, 227, 64), LinearKernel::WarpgroupMultiples);
    EXPECT_EQ(chosen(2048, 80, 163, 128), LinearKernel::TileMultiples);
    EXPECT_EQ(chosen(1, 86, 99, 64), LinearKernel::General);
    EXPECT_EQ(chosen(2048, 86, 99, 64), LinearKernel::TileGroups);
    EXPECT_EQ(chosen(2048, 90, 227, 256), LinearKernel::General);
    EXPECT_EQ(chosen(2'000'000, 90, 227, 64), LinearKernel::WarpgroupMultiples);
}

}  // namespace
}  // namespace quarot::cuda_test

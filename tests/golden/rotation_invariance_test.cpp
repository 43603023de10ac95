// A rotated but unquantized model computes what the original computes, with all parts of the
// rotation and with each of them alone.
#include <array>
#include <cstdio>

#include "golden/rotated_models.h"
#include "linalg/mixer.h"

namespace quarot::test {

namespace {

class RotationInvariance : public testing::TestWithParam<Shape> {};

constexpr std::array<const char*, 5> kParts = {"r1", "r2", "r3", "r4", "heads"};

// The parts whose bits are set, as --rotate has them.
std::string parts_of(unsigned bits) {
    std::string list;
    for (size_t i = 0; i < kParts.size(); ++i) {
        if ((bits >> i & 1U) != 0) list += (list.empty() ? "" : ",") + std::string(kParts[i]);
    }
    return list.empty() ? "none" : list;
}

Recipe partly_rotated_recipe(const std::string& parts) {
    Recipe recipe = rotated_by(ResidualRotation::Hadamard);
    set_rotation(recipe, parts);
    return recipe;
}

void expect_same_function(const std::string& in, unsigned bits) {
    const TempDir dir;
    const std::string parts = parts_of(bits);
    SCOPED_TRACE(parts);
    rotate(in, dir / "out", partly_rotated_recipe(parts));
    const Recipe stored = folder::SourceModel::open(dir / "out").recipe();
    EXPECT_EQ(rotation_parts(stored.rotation), parts) << "what the folder says of it";
    EXPECT_LE(relative_difference(logits_of(in), logits_of(dir / "out")), kRelativeLimit);
}

}  // namespace

TEST_P(RotationInvariance, LogitsStayWithinFp32Rounding) {
    const TempDir dir;
    std::string in = dir / "in";
    if (GetParam().folder.empty()) {
        write_tiny_model(in, GetParam().options);
    } else {
        in = model_folder(GetParam().folder);
        QUAROT_NEED(in, GetParam().folder);
    }
    const auto original = logits_of(in);
    int i = 0;
    for (const auto residual :
         {ResidualRotation::Hadamard, ResidualRotation::Random, ResidualRotation::None}) {
        const std::string out = rotate(in, dir / std::to_string(i++), residual);
        const double difference = relative_difference(original, logits_of(out));
        std::printf("%s R1 %d: %.1e of the largest logit\n", GetParam().name.c_str(),
                    static_cast<int>(residual), difference);
        EXPECT_LE(difference, kRelativeLimit);
    }
}

INSTANTIATE_TEST_SUITE_P(Shapes, RotationInvariance,
                         testing::Values(Shape{"tiny_novels", {}, "tiny-novels"},
                                         Shape{"stories260K", {}, "stories260K"},
                                         Shape{"smollm2_135m", {}, "smollm2-135m"},
                                         Shape{"powers_of_two", shape(64, 128, 4, 2, 16), ""},
                                         Shape{"explicit_head_dim", shape(64, 96, 4, 2, 24), ""},
                                         Shape{"order_36_and_12", shape(72, 96, 4, 4, 18), ""},
                                         Shape{"order_172", shape(32, 344, 4, 1, 8), ""},
                                         Shape{"seven_heads", shape(56, 112, 7, 7, 8), ""},
                                         Shape{"no_hadamard_width", shape(54, 214, 3, 1, 18), ""},
                                         Shape{"biases", with_biases(shape(48, 80, 6, 3, 8)), ""},
                                         Shape{"tied_head", tied(shape(40, 56, 5, 5, 8)), ""}),
                         [](const auto& test) { return test.param.name; });

// Biases, heads that a Hadamard mixes, and matrices that are not symmetric.
TEST(PartsOfARotation, EverySubsetKeepsTheFunction) {
    const TempDir dir;
    write_tiny_model(dir / "in", with_biases(unsymmetric_shape()));
    for (unsigned bits = 0; bits < 1U << kParts.size(); ++bits) {
        expect_same_function(dir / "in", bits);
    }
}

TEST(PartsOfARotation, OfTheSampleModelsKeepTheFunction) {
    for (const char* name : {"tiny-novels", "stories260K"}) {
        SCOPED_TRACE(name);
        const std::string in = model_folder(name);
        QUAROT_NEED(in, name);
        for (size_t i = 0; i < kParts.size(); ++i) expect_same_function(in, 1U << i);
        expect_same_function(in, 0b01101);  // r1, r3, r4
        expect_same_function(in, 0b10010);  // r2 and the head mix
    }
}

// A subset is what it says: without the part that is asked for, the folder computes another
// function.
TEST(PartsOfARotation, AForgottenPartShows) {
    const TempDir dir;
    write_tiny_model(dir / "in", unsymmetric_shape());
    const std::vector<float> original = logits_of(dir / "in");
    const auto difference_without = [&](const std::string& parts,
                                        std::unique_ptr<kernels::Transform> model::Weights::*part) {
        rotate(dir / "in", dir / parts, partly_rotated_recipe(parts));
        LoadedModel model = load(dir / parts, {.context = 128});
        EXPECT_TRUE((*model.weights).*part) << parts;
        ((*model.weights).*part).reset();
        return relative_difference(original, logits_of(model));
    };
    EXPECT_GE(difference_without("heads", &model::Weights::head_mix), kBroken);
    EXPECT_GE(difference_without("r4", &model::Weights::ffn), kBroken);
    EXPECT_LE(difference_without("r3", &model::Weights::query_key), kRelativeLimit) << "of pairs";
}

TEST(RotationInBlocks, KeepsTheFunctionAndAnotherBlockShows) {
    const TempDir dir;
    write_tiny_model(dir / "in", with_biases(unsymmetric_shape()));
    Recipe recipe = rotated_by(ResidualRotation::Hadamard);
    recipe.rotation.ffn_block = 12;
    recipe.rotation.heads_block = 4;
    rotate(dir / "in", dir / "out", recipe);
    const std::vector<float> original = logits_of(dir / "in");
    EXPECT_LE(relative_difference(original, logits_of(dir / "out")), kRelativeLimit);
    LoadedModel model = load(dir / "out", {.context = 128});
    model.weights->ffn = model.backend->prepare_transform(linalg::make_mixer(48), 1);
    EXPECT_GE(relative_difference(original, logits_of(model)), kBroken) << "R4 over all";
}

}  // namespace quarot::test

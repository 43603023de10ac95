// Rotations and scales that are found on a text keep the model's function, and parts of two texts
// do not fit.
#include <cstdio>

#include "golden/rotated_models.h"
#include "io/checkpoint.h"

namespace quarot::test {

namespace {

using quantize::TokenWindows;

TokenWindows text_for(int64_t vocab, int64_t step = 7) {
    TokenWindows windows(2);
    for (int64_t i = 0; i < 128; ++i) {
        windows[static_cast<size_t>(i / 64)].push_back(
            static_cast<int32_t>((i * i * step + 3 * i) % vocab));
    }
    return windows;
}

Recipe aligned_recipe() {
    Recipe recipe = rotated_by(ResidualRotation::Aligned);
    recipe.activations.group_size = 16;
    return recipe;
}

Recipe everything_by_text() {
    Recipe recipe = aligned_recipe();
    recipe.rotation.aligned_values = true;
    recipe.rotation.up_balance = 0.7;
    recipe.rotation.ffn_block = 16;
    return recipe;
}

std::string rotate_by_text(const std::string& in, const std::string& out, const Recipe& recipe,
                           int64_t step = 7) {
    const int64_t vocab = folder::SourceModel::open(in).config().vocab;
    quantize::quantize_model(
        in, out, {.recipe = recipe, .calibration = text_for(vocab, step), .n_threads = 2});
    return out;
}

class FoundOnText : public testing::TestWithParam<Shape> {
  protected:
    void SetUp() override {
        in_ = dir_ / "in";
        if (GetParam().folder.empty()) {
            write_tiny_model(in_, GetParam().options);
        } else {
            in_ = model_folder(GetParam().folder);
            QUAROT_NEED(in_, GetParam().folder);
        }
    }

    void expect_same_function(const Recipe& recipe) {
        const std::string out = rotate_by_text(in_, dir_ / "out", recipe);
        const double difference = relative_difference(logits_of(in_), logits_of(out));
        std::printf("%s: %.1e of the largest logit\n", GetParam().name.c_str(), difference);
        EXPECT_LE(difference, kRelativeLimit);
    }

    TempDir dir_;
    std::string in_;
};

// A tensor as one text has it among those of another.
void expect_mixed_texts_show(const Recipe& recipe, const std::string& tensor) {
    const TempDir dir;
    const std::string name = "model.layers.1." + tensor;
    SCOPED_TRACE(name);
    write_tiny_model(dir / "in", with_biases(shape(64, 96, 4, 2, 16)));
    rotate_by_text(dir / "in", dir / "one", recipe);
    rotate_by_text(dir / "in", dir / "two", recipe, 11);
    const Tensor other = io::Checkpoint::open(dir / "two").read(name);
    replace_tensor(dir / "one", dir / "mixed", name,
                   {other.as<float>(), other.as<float>() + other.bytes() / 4});
    const std::vector<float> original = logits_of(dir / "in");
    EXPECT_LE(relative_difference(original, logits_of(dir / "one")), kRelativeLimit);
    EXPECT_GE(relative_difference(original, logits_of(dir / "mixed")), kBroken);
}

}  // namespace

TEST_P(FoundOnText, AnAlignedR1KeepsTheFunction) {
    expect_same_function(aligned_recipe());
}

TEST_P(FoundOnText, AnAlignedR2KeepsTheFunction) {
    Recipe recipe = rotated_by(ResidualRotation::Hadamard);
    recipe.rotation.aligned_values = true;
    expect_same_function(recipe);
}

TEST_P(FoundOnText, ABalancedUpKeepsTheFunction) {
    Recipe recipe = rotated_by(ResidualRotation::None);
    recipe.rotation.up_balance = 1.0;
    expect_same_function(recipe);
}

TEST_P(FoundOnText, AllOfItKeepsTheFunction) {
    expect_same_function(everything_by_text());
}

INSTANTIATE_TEST_SUITE_P(Shapes, FoundOnText,
                         testing::Values(Shape{"tiny_novels", {}, "tiny-novels"},
                                         Shape{"biases", with_biases(shape(48, 80, 6, 3, 8)), ""},
                                         Shape{"heads_of_12", with_biases(shape(64, 96, 12, 4, 12)),
                                               ""},
                                         Shape{"tied_head", tied(shape(64, 112, 4, 1, 16)), ""}),
                         [](const auto& test) { return test.param.name; });

TEST(FoundOnTextOfARealModel, LogitsStayWithinFp32Rounding) {
    const std::string in = model_folder("smollm2-135m");
    QUAROT_NEED(in, "smollm2-135m");
    const TempDir dir;
    const std::string out = rotate_by_text(in, dir / "out", everything_by_text());
    EXPECT_LE(relative_difference(logits_of(in), logits_of(out)), kRelativeLimit);
}

TEST(FoundOnTextTeeth, AnR1OfAnotherTextShows) {
    expect_mixed_texts_show(aligned_recipe(), "self_attn.o_proj.weight");
}

TEST(FoundOnTextTeeth, AnR2OfAnotherTextShows) {
    Recipe recipe = rotated_by(ResidualRotation::None);
    recipe.rotation.aligned_values = true;
    for (const char* tensor : {"v_proj.weight", "v_proj.bias", "o_proj.weight"}) {
        expect_mixed_texts_show(recipe, std::string("self_attn.") + tensor);
    }
}

TEST(FoundOnTextTeeth, ScalesOfAnotherTextShow) {
    Recipe recipe = rotated_by(ResidualRotation::None);
    recipe.rotation.up_balance = 1.0;
    for (const char* tensor : {"up_proj.weight", "down_proj.weight"}) {
        expect_mixed_texts_show(recipe, std::string("mlp.") + tensor);
    }
}

}  // namespace quarot::test

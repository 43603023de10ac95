// A rotated model whose embedding and head are one matrix computes what the original computes.
#include <cmath>
#include <functional>

#include "golden/rotated_models.h"

namespace quarot::test {

namespace {

// A tied head stays tied.
Recipe tied_recipe() {
    Recipe recipe = rotated_by(ResidualRotation::Hadamard);
    recipe.tied_rotation = true;
    return recipe;
}

}  // namespace

// Unsymmetric matrices of both orders, and R1 in blocks.
TEST(TiedRotation, LogitsStayWithinFp32Rounding) {
    const TinyModelOptions shapes[] = {tied(shape(40, 56, 5, 5, 8)), tied(unsymmetric_shape()),
                                       tied(shape(54, 214, 3, 1, 18))};
    for (const TinyModelOptions& options : shapes) {
        for (const int64_t block : {int64_t{0}, options.hidden / 2}) {
            SCOPED_TRACE(fmt::format("hidden {}, blocks of {}", options.hidden, block));
            const TempDir dir;
            write_tiny_model(dir / "in", options);
            Recipe recipe = tied_recipe();
            recipe.rotation.residual_block = block;
            rotate(dir / "in", dir / "out", recipe);
            EXPECT_TRUE(folder::SourceModel::open(dir / "out").config().tied_embeddings);
            EXPECT_LE(relative_difference(logits_of(dir / "in"), logits_of(dir / "out")),
                      kRelativeLimit);
        }
    }
}

TEST(TiedRotation, OfARealModelLogitsStayWithinFp32Rounding) {
    const std::string in = model_folder("smollm2-135m");
    QUAROT_NEED(in, "smollm2-135m");
    const TempDir dir;
    rotate(in, dir / "out", tied_recipe());
    EXPECT_LE(relative_difference(logits_of(in), logits_of(dir / "out")), kRelativeLimit);
}

TEST(TiedRotation, ARandomR1PartsHeadAndEmbedding) {
    const TempDir dir;
    write_tiny_model(dir / "in", tied(unsymmetric_shape()));
    Recipe recipe = tied_recipe();
    recipe.rotation.residual = ResidualRotation::Random;
    rotate(dir / "in", dir / "out", recipe);
    EXPECT_FALSE(folder::SourceModel::open(dir / "out").config().tied_embeddings);
    EXPECT_LE(relative_difference(logits_of(dir / "in"), logits_of(dir / "out")), kRelativeLimit);
}

TEST(TiedRotation, EachMistakeShows) {
    const TempDir dir;
    write_tiny_model(dir / "in", tied(unsymmetric_shape()));
    rotate(dir / "in", dir / "out", tied_recipe());
    const std::vector<float> original = logits_of(dir / "in");
    const auto difference_with = [&](const std::function<void(model::Weights&)>& mistake) {
        LoadedModel model = load(dir / "out", {.context = 128});
        mistake(*model.weights);
        return relative_difference(original, logits_of(model));
    };
    EXPECT_LE(difference_with([](model::Weights&) {}), kRelativeLimit);
    EXPECT_GE(difference_with([](model::Weights& w) { w.final_norm = {}; }), kBroken);
    EXPECT_GE(difference_with([](model::Weights& w) { w.enter_residual.reset(); }), kBroken);
    EXPECT_GE(difference_with([](model::Weights& w) { w.leave_residual.reset(); }), kBroken);
    EXPECT_GE(
        difference_with([](model::Weights& w) { std::swap(w.enter_residual, w.leave_residual); }),
        kBroken)
        << "the transform is not symmetric";
}

// The matrix is the original's but for signs of columns.
TEST(TiedRotation, SignsAreAllThatTheMatrixTakes) {
    const TempDir dir;
    TinyModelOptions options = tied(unsymmetric_shape());
    options.dtype = DType::BF16;
    write_tiny_model(dir / "in", options);
    rotate(dir / "in", dir / "out", tied_recipe());
    const auto in = folder::SourceModel::open(dir / "in");
    const auto out = folder::SourceModel::open(dir / "out");
    constexpr model::LinearId kEmbedding = {model::LinearRole::Embedding};
    EXPECT_EQ(out.dense_dtype(kEmbedding), DType::BF16) << "which signs fit, whatever --dtype says";
    const Tensor a = in.dense_rows(kEmbedding, 0, options.vocab);
    const Tensor b = out.dense_rows(kEmbedding, 0, options.vocab);
    for (int64_t i = 0; i < options.vocab * options.hidden; ++i) {
        ASSERT_EQ(std::fabs(a.as<float>()[i]), std::fabs(b.as<float>()[i])) << i;
    }
    EXPECT_EQ(in.norm_gain(model::NormRole::Final, 0), out.norm_gain(model::NormRole::Final, 0));
    EXPECT_FALSE(out.checkpoint().contains("lm_head.weight"));
}

}  // namespace quarot::test

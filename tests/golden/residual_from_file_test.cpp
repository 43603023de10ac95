// An R1 from a file is the rotation that the same matrix is otherwise.
#include <cstring>

#include "golden/rotated_models.h"
#include "io/checkpoint.h"
#include "linalg/orthogonal.h"

namespace quarot::test {

namespace {

Recipe recipe_with_file() {
    Recipe recipe = rotated_by(ResidualRotation::File);
    recipe.rotation.residual_sha256 = std::string(64, '0');
    return recipe;
}

}  // namespace

TEST(ResidualFromAFile, IsTheRotationThatTheSameMatrixIsOtherwise) {
    const TempDir dir;
    write_tiny_model(dir / "in", unsymmetric_shape());
    Recipe random = rotated_by(ResidualRotation::Random);
    random.rotation.seed = 5;
    rotate(dir / "in", dir / "random", random);
    quantize::quantize_model(
        dir / "in", dir / "file",
        {.recipe = recipe_with_file(), .residual = linalg::random_orthogonal(24, 5)});
    const auto a = io::Checkpoint::open(dir / "random"), b = io::Checkpoint::open(dir / "file");
    ASSERT_EQ(a.names(), b.names());
    for (const std::string& name : a.names()) {
        const Tensor of_a = a.read(name), of_b = b.read(name);
        ASSERT_EQ(of_a.bytes(), of_b.bytes());
        EXPECT_EQ(std::memcmp(of_a.data(), of_b.data(), of_a.bytes()), 0) << name;
    }
}

TEST(ResidualFromAFile, PartsATiedModelAndKeepsItsFunction) {
    const TempDir dir;
    write_tiny_model(dir / "in", tied(unsymmetric_shape()));
    Recipe recipe = recipe_with_file();
    recipe.tied_rotation = true;
    quantize::quantize_model(dir / "in", dir / "out",
                             {.recipe = recipe, .residual = linalg::random_orthogonal(24, 5)});
    const auto out = folder::SourceModel::open(dir / "out");
    EXPECT_FALSE(out.config().tied_embeddings);
    EXPECT_EQ(out.recipe().rotation, recipe.rotation) << "the digest stands in the folder";
    EXPECT_LE(relative_difference(logits_of(dir / "in"), logits_of(dir / "out")), kRelativeLimit);
}

}  // namespace quarot::test

// The comparison of a rotated model with the original has teeth: each mistake planted here makes it
// fail.
#include <functional>

#include "golden/rotated_models.h"
#include "io/checkpoint.h"
#include "linalg/mixer.h"
#include "rotate/rotation.h"

namespace quarot::test {

namespace {

// The original, its rotated folder, and the difference a mistake makes.
class RotationTeeth : public testing::Test {
  protected:
    RotationTeeth() {
        write_tiny_model(dir_ / "in", unsymmetric_shape());
        rotate(dir_ / "in", dir_ / "rotated", ResidualRotation::Hadamard);
        original_ = logits_of(dir_ / "in");
    }

    double difference_with(const std::function<void(LoadedModel&)>& mistake) {
        LoadedModel model = load(dir_ / "rotated", {.context = 128});
        mistake(model);
        return relative_difference(original_, logits_of(model));
    }

    TempDir dir_;
    std::vector<float> original_;
};

}  // namespace

TEST_F(RotationTeeth, NoMistakeNoDifference) {
    EXPECT_LE(difference_with([](LoadedModel&) {}), kRelativeLimit);
}

TEST_F(RotationTeeth, AForgottenOnlineTransformShows) {
    EXPECT_GE(difference_with([](LoadedModel& m) { m.weights->ffn.reset(); }), kBroken);
    EXPECT_GE(difference_with([](LoadedModel& m) { m.weights->head_mix.reset(); }), kBroken);
}

// R3 cancels in the scores, so leaving it out altogether changes nothing; rotating only one of Q
// and K does. Planted by giving K a transform of its own: the transposed one acts on both alike and
// must not show, which proves that it is the pairing that counts.
TEST_F(RotationTeeth, R3IsAnIdentityOnlyInPairs) {
    EXPECT_LE(difference_with([](LoadedModel& m) { m.weights->query_key.reset(); }),
              kRelativeLimit);
    const std::string name = "model.layers.0.self_attn.k_proj.weight";
    const auto checkpoint = io::Checkpoint::open(dir_ / "rotated");
    const Tensor k = checkpoint.read(name);
    std::vector<float> values(k.as<float>(), k.as<float>() + k.bytes() / 4);
    std::vector<double> wide(values.begin(), values.end());
    const auto mixer = linalg::make_mixer(12);
    linalg::apply_strided(mixer, {wide.data(), static_cast<size_t>(12 * k.cols())}, k.cols());
    values.assign(wide.begin(), wide.end());
    replace_tensor(dir_ / "rotated", dir_ / "one_sided", name, values);
    EXPECT_GE(relative_difference(original_, logits_of(dir_ / "one_sided")), kBroken);
}

TEST_F(RotationTeeth, ATransposedUnsymmetricHadamardShows) {
    EXPECT_GE(difference_with([](LoadedModel& m) {
                  const auto mixer = transposed(linalg::make_mixer(m.weights->config.ffn));
                  m.weights->ffn = m.backend->prepare_transform(mixer, 1);
              }),
              kBroken);
    EXPECT_GE(difference_with([](LoadedModel& m) {
                  const auto mixer = transposed(linalg::make_mixer(m.weights->config.n_heads));
                  m.weights->head_mix =
                      m.backend->prepare_transform(mixer, m.weights->config.head_dim);
              }),
              kBroken);
}

TEST_F(RotationTeeth, SwappingTheSideOfQShows) {
    const auto source = folder::SourceModel::open(dir_ / "in");
    const auto& config = source.config();
    auto rotation = rotate::make_rotation(rotated_by(ResidualRotation::Hadamard).rotation, config);
    const Tensor rows = source.dense_rows({model::LinearRole::Embedding}, 0, config.vocab);
    std::vector<double> table(rows.as<float>(), rows.as<float>() + config.vocab * config.hidden);
    // E Q^T instead of E Q: the signs after the transposed Hadamard, not before it.
    for (int64_t r = 0; r < config.vocab; ++r) {
        const std::span<double> row = {table.data() + r * config.hidden,
                                       static_cast<size_t>(config.hidden)};
        linalg::apply(*rotation.residual, row, true);
        for (size_t c = 0; c < row.size(); ++c) row[c] *= rotation.signs[c];
    }
    replace_tensor(dir_ / "rotated", dir_ / "swapped", "model.embed_tokens.weight",
                   {table.begin(), table.end()});
    EXPECT_GE(relative_difference(original_, logits_of(dir_ / "swapped")), kBroken);
}

TEST_F(RotationTeeth, AGainThatIsNotFoldedShows) {
    const std::string norm = "model.layers.1.post_attention_layernorm.weight";
    replace_tensor(dir_ / "in", dir_ / "lost_gain", norm, std::vector<float>(24, 1.0f));
    rotate(dir_ / "lost_gain", dir_ / "lost_gain_rotated", ResidualRotation::Hadamard);
    EXPECT_GE(relative_difference(original_, logits_of(dir_ / "lost_gain_rotated")), kBroken);
}

}  // namespace quarot::test

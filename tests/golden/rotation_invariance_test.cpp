// A rotated but unquantized model computes what the original computes; and the comparison has
// teeth: each mistake planted here makes it fail.
#include <array>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>

#include "golden/golden_support.h"
#include "io/checkpoint.h"
#include "linalg/orthogonal.h"
#include "quantize/quantize_model.h"
#include "rotate/rotation.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace quarot::test {

namespace {

using quantize::TokenWindows;

constexpr double kRelativeLimit = 2e-5;  // of the largest logit
constexpr double kBroken = 1e-3;         // a planted mistake must show at least this

Recipe rotated_by(ResidualRotation residual) {
    Recipe recipe = rotated_recipe();
    recipe.rotation.residual = residual;
    return recipe;
}

// A tied head stays tied.
Recipe tied_recipe() {
    Recipe recipe = rotated_by(ResidualRotation::Hadamard);
    recipe.tied_rotation = true;
    return recipe;
}

std::vector<int32_t> test_ids(int64_t vocab) {
    std::vector<int32_t> ids;
    for (int64_t i = 0; i < 90; ++i) {
        ids.push_back(static_cast<int32_t>((i * i * 13 + 5 * i + 1) % vocab));
    }
    return ids;
}

std::vector<float> logits_of(LoadedModel& model) {
    return all_logits(model, test_ids(model.weights->config.vocab));
}

std::vector<float> logits_of(const std::string& folder) {
    LoadedModel model = load(folder, {.context = 128});
    return logits_of(model);
}

std::string rotate(const std::string& in, const std::string& out, const Recipe& recipe) {
    quantize::quantize_model(in, out, {.recipe = recipe, .n_threads = 2});
    return out;
}

std::string rotate(const std::string& in, const std::string& out, ResidualRotation residual) {
    return rotate(in, out, rotated_by(residual));
}

struct Shape {
    std::string name;
    TinyModelOptions options;  // or a folder:
    std::string folder;
};

class RotationInvariance : public testing::TestWithParam<Shape> {};

TinyModelOptions shape(int64_t hidden, int64_t ffn, int64_t heads, int64_t kv_heads,
                       int64_t head_dim) {
    return {.hidden = hidden,
            .ffn = ffn,
            .n_heads = heads,
            .n_kv_heads = kv_heads,
            .head_dim = head_dim,
            .seed = 3};
}

TinyModelOptions with_biases(TinyModelOptions options) {
    options.attention_bias = options.mlp_bias = true;
    return options;
}

TinyModelOptions tied(TinyModelOptions options) {
    options.tied = true;
    return options;
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

namespace {

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

// Width 12 and its kin give Hadamard matrices that are not symmetric, for the residual stream, the
// heads and the FFN alike.
TinyModelOptions unsymmetric_shape() {
    return shape(24, 48, 12, 12, 12);
}

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

// An R1 from a file.

Recipe recipe_with_file() {
    Recipe recipe = rotated_by(ResidualRotation::File);
    recipe.rotation.residual_sha256 = std::string(64, '0');
    return recipe;
}

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

// ---- found on a text

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

// ---- in blocks

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

// ---- one matrix for embedding and head

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

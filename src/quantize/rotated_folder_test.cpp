// What a rotation alone does to a folder: it cancels, biases follow, heads part, dtypes hold.
#include <gtest/gtest.h>

#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "folder/source_model.h"
#include "linalg/mixer.h"
#include "quantize/folder_fixture_for_tests.h"
#include "quantize/quantize_model.h"

namespace quarot::quantize {
namespace {

using folder::SourceModel;
using model::LinearRole;

double dot(std::span<const float> a, std::span<const float> b) {
    double sum = 0.0;
    for (size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * b[i];
    return sum;
}

// a b^T of row-major [.., n] matrices.
std::vector<double> times_transposed(const std::vector<float>& a, const std::vector<float>& b,
                                     size_t n) {
    std::vector<double> product;
    for (size_t i = 0; i < a.size(); i += n) {
        for (size_t j = 0; j < b.size(); j += n) {
            product.push_back(dot(std::span(a).subspan(i, n), std::span(b).subspan(j, n)));
        }
    }
    return product;
}

void scale_columns(std::vector<float>& w, const std::vector<float>& gain) {
    for (size_t i = 0; i < w.size(); ++i) w[i] *= gain[i % gain.size()];
}

void expect_near(const std::vector<double>& a, const std::vector<double>& b, double tolerance) {
    ASSERT_EQ(a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], tolerance) << i;
}

using RotatedFolder = FolderTest;

// Seven heads have no head mix, so that o_proj after v_proj is free of online transforms.
TEST_F(RotatedFolder, RotationAloneCancelsThroughTheNetwork) {
    write({.hidden = 40, .ffn = 44, .n_heads = 7, .n_kv_heads = 7, .head_dim = 12, .tied = true});
    const QuantizeReport report = quantize_model(in, out, with_recipe(rotated_only(), 2));
    EXPECT_EQ(report.bits_per_weight, 32.0);
    const SourceModel a = SourceModel::open(in);
    const SourceModel b = SourceModel::open(out);
    EXPECT_TRUE(b.is_quantized());  // the forward pass must know the online transforms

    const std::vector<float> embedding = floats_of(a.dense({LinearRole::Embedding}));
    const std::vector<float> rotated = floats_of(b.dense({LinearRole::Embedding}));
    const auto compare_readers = [&](const model::LinearId& id, model::NormRole norm) {
        std::vector<float> plain = floats_of(a.dense(id));
        scale_columns(plain, a.norm_gain(norm, 0));
        expect_near(times_transposed(floats_of(b.dense(id)), rotated, 40),
                    times_transposed(plain, embedding, 40), 1e-4);
    };
    compare_readers({LinearRole::Q, 0}, model::NormRole::AttentionIn);
    compare_readers({LinearRole::Gate, 0}, model::NormRole::MlpIn);
    compare_readers({LinearRole::LmHead}, model::NormRole::Final);

    // Rows of E o_proj, before and after: both are in the basis of single heads.
    const auto transposed = [](const std::vector<float>& w, size_t cols) {
        std::vector<float> t;
        for (size_t c = 0; c < cols; ++c) {
            for (size_t r = c; r < w.size(); r += cols) t.push_back(w[r]);
        }
        return t;
    };
    const auto through_values = [&](const SourceModel& m, const std::vector<float>& e,
                                    const std::vector<float>& gain) {
        const std::vector<float> o = transposed(floats_of(m.dense({LinearRole::O, 0})), 84);
        const auto eo = times_transposed(e, o, 40);  // [vocab, 84]
        std::vector<float> v = floats_of(m.dense({LinearRole::V, 0}));
        scale_columns(v, gain);
        const auto ve = times_transposed(e, v, 40);  // [vocab, 84]
        return times_transposed({eo.begin(), eo.end()}, {ve.begin(), ve.end()}, 84);
    };
    const std::vector<float> ones(40, 1.0f);
    expect_near(through_values(b, rotated, ones),
                through_values(a, embedding, a.norm_gain(model::NormRole::AttentionIn, 0)), 1e-3);
}

TEST_F(RotatedFolder, BiasesFollowTheirOutputs) {
    write({.attention_bias = true, .mlp_bias = true, .dtype = DType::F16});
    quantize_model(in, out, with_recipe(rotated_only()));
    const SourceModel a = SourceModel::open(in);
    const SourceModel b = SourceModel::open(out);
    EXPECT_EQ(a.bias({LinearRole::Q, 1}), b.bias({LinearRole::Q, 1}));

    const std::vector<float> stored = a.bias({LinearRole::V, 1});
    std::vector<double> expected(stored.begin(), stored.end());
    const linalg::Mixer mixer = linalg::make_mixer(8);
    for (size_t head = 0; head < expected.size(); head += 8) {
        linalg::apply(mixer, std::span(expected).subspan(head, 8));
    }
    const std::vector<float> found = b.bias({LinearRole::V, 1});
    for (size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], expected[i], 1e-6);

    const std::vector<float> before = a.bias({LinearRole::Down, 1});
    const std::vector<float> after = b.bias({LinearRole::Down, 1});
    EXPECT_NE(before, after);
    EXPECT_NEAR(dot(before, before), dot(after, after), 1e-5);
    const io::Checkpoint checkpoint = io::Checkpoint::open(out);
    EXPECT_EQ(checkpoint.info("model.layers.1.self_attn.v_proj.bias").dtype, DType::F32);
    EXPECT_EQ(checkpoint.info("model.layers.1.self_attn.q_proj.bias").dtype, DType::F16);
}

TEST_F(RotatedFolder, StorageTypeIsThatOfTheRecipeOrTheStoredOne) {
    write({.dtype = DType::BF16});
    const std::vector<std::pair<std::optional<DType>, DType>> cases = {
        {std::nullopt, DType::BF16}, {DType::F32, DType::F32}, {DType::F16, DType::F16}};
    for (const auto& [storage, expected] : cases) {
        Recipe recipe = rotated_only();
        recipe.storage = storage;
        QuantizeOptions options = with_recipe(recipe);
        options.overwrite = true;
        const QuantizeReport report = quantize_model(in, out, options);
        EXPECT_EQ(report.bits_per_weight, 8.0 * static_cast<double>(size_of(expected)));
        const SourceModel result = SourceModel::open(out);
        EXPECT_EQ(result.dense_dtype({LinearRole::Embedding}), expected);
        EXPECT_EQ(result.dense_dtype({LinearRole::Down, 0}), expected);
    }
}

// ---- tied heads

TEST_F(RotatedFolder, ATiedHeadIsWrittenOutWhenTheRotationPartsIt) {
    write({.tied = true, .dtype = DType::BF16});
    quantize_model(in, out, with_recipe("quarot-rtn"));
    EXPECT_FALSE(io::Json::parse_file(out + "/config.json").at("tie_word_embeddings").as_bool());
    EXPECT_EQ(io::Checkpoint::open(out).info("lm_head.weight").dtype, DType::BF16);
    EXPECT_FALSE(SourceModel::open(out).config().tied_embeddings);
}

TEST_F(RotatedFolder, ATiedHeadStaysTiedWithoutRotation) {
    write({.tied = true, .dtype = DType::BF16});
    quantize_model(in, out, with_recipe("rtn"));
    EXPECT_TRUE(SourceModel::open(out).config().tied_embeddings);
    EXPECT_THROW(io::Checkpoint::open(out).info("lm_head.weight"), Error);
    EXPECT_EQ(SourceModel::open(out).dense_dtype({LinearRole::Embedding}), DType::BF16);
}

TEST_F(RotatedFolder, AHeadThatOnlyTheConfigTiesIsWrittenAsItIs) {
    test::TinyModel model = test::make_tiny_model({.tied = true});
    test::StoredTensor head = model.tensors.at("model.embed_tokens.weight");
    head.bytes.front() ^= std::byte{1};
    model.tensors["lm_head.weight"] = head;
    test::write_model(model, in);
    quantize_model(in, out, with_recipe("rtn"));
    EXPECT_FALSE(io::Json::parse_file(out + "/config.json").at("tie_word_embeddings").as_bool());
    EXPECT_EQ(tensor_of(out, "lm_head.weight"), test::values_of(head));
}

TEST_F(RotatedFolder, ATiedHeadIsPartedByQuantizingIt) {
    write({.tied = true});
    Recipe recipe = named_recipe("rtn");
    recipe.head_bits = 8;
    quantize_model(in, out, with_recipe(recipe));
    const SourceModel result = SourceModel::open(out);
    EXPECT_EQ(result.quantized({LinearRole::LmHead}).bits, 8);
    EXPECT_EQ(tensor_of(out, "model.embed_tokens.weight"),
              tensor_of(in, "model.embed_tokens.weight"));
}

}  // namespace
}  // namespace quarot::quantize

// Quantized folders as sources: what they hold as stored, and what is refused.
#include <cstring>
#include <limits>

#include "folder/source_model_for_tests.h"

namespace quarot::folder {

namespace {

using test::make_quarot_model;
using test::TinyModel;

constexpr const char* kQ0 = "model.layers.0.self_attn.q_proj";
constexpr const char* kDown1 = "model.layers.1.mlp.down_proj";

Recipe asymmetric_recipe() {
    Recipe recipe = named_recipe("rtn");
    recipe.weights.symmetric = false;
    return recipe;
}

}  // namespace

TEST_F(SourceModelTest, GivesQuantizedWeightsAsStored) {
    for (const bool symmetric : {true, false}) {
        Recipe recipe = named_recipe("w6a6kv6");
        recipe.weights.symmetric = symmetric;
        recipe.down_bits = 8;
        recipe.head_bits = 5;
        const TinyModel model = make_quarot_model({.attention_bias = true}, recipe);
        const SourceModel source = open(model);
        EXPECT_TRUE(source.is_quantized());
        EXPECT_TRUE(source.has_digests());
        EXPECT_EQ(source.recipe().name, "w6a6kv6");
        EXPECT_EQ(source.quantized({model::LinearRole::LmHead}).bits, 5);
        EXPECT_EQ(source.quantized({model::LinearRole::Down, 1}).bits, 8);
        const QuantizedMatrix q = source.quantized({model::LinearRole::Q, 0});
        EXPECT_EQ(q.rows, 32);
        EXPECT_EQ(q.cols, 32);
        EXPECT_EQ(q.bits, 6);
        EXPECT_EQ(q.symmetric, symmetric);
        const auto& scales = model.tensors.at(std::string(kQ0) + ".weight_scale");
        EXPECT_EQ(std::memcmp(q.scales.data(), scales.bytes.data(), scales.bytes.size()), 0);
        EXPECT_FALSE(source.is_dense({model::LinearRole::Up, 0}));
        EXPECT_NO_THROW(read_everything(source));
    }
}

TEST_F(SourceModelTest, CountsBitsWithScalesAndZeroPoints) {
    // Per layer: rows 32 + 16 + 16 + 32 + 48 + 48 + 32 with one scale each.
    const double weights = 32 * 32 * 2 + 16 * 32 * 2 + 48 * 32 * 3;
    const double rows = 32 + 16 + 16 + 32 + 48 + 48 + 32;
    const SourceModel symmetric = open(make_quarot_model({}, named_recipe("rtn")));
    EXPECT_DOUBLE_EQ(symmetric.bits_per_weight(), 4.0 + rows * 32 / weights);
    const SourceModel asymmetric = open(make_quarot_model({}, asymmetric_recipe()));
    EXPECT_DOUBLE_EQ(asymmetric.bits_per_weight(), 4.0 + rows * 40 / weights);
}

TEST_F(SourceModelTest, QuantizedTensorsAreChecked) {
    const TinyModel good = make_quarot_model({}, asymmetric_recipe());
    const std::string q = kQ0, down = kDown1;
    TinyModel bad = good;
    set_element<int64_t>(bad.tensors.at(q + ".weight_shape"), 1, 64);
    expect_refused(test::with_digests(bad), ErrorCode::Corrupt, {q, "[32, 64]", "[32, 32]"});
    for (const float scale : {0.0f, -1.0f, std::numeric_limits<float>::quiet_NaN(),
                              std::numeric_limits<float>::infinity()}) {
        bad = good;
        set_element(bad.tensors.at(down + ".weight_scale"), 4, scale);
        expect_refused(test::with_digests(bad), ErrorCode::Corrupt,
                       {down, "weight_scale", "row 4", "above 0"});
    }
    bad = good;
    set_element<uint8_t>(bad.tensors.at(q + ".weight_zero_point"), 2, 16);
    expect_refused(test::with_digests(bad), ErrorCode::Corrupt,
                   {q, "weight_zero_point", "16 at row 2", "at most 15"});
    for (const char* part :
         {".weight_packed", ".weight_shape", ".weight_scale", ".weight_zero_point"}) {
        bad = good;
        bad.tensors.erase(q + part);
        expect_refused(test::with_digests(bad), ErrorCode::Corrupt, {q + part});
    }
    bad = good;
    bad.tensors.at(q + ".weight_packed").dtype = DType::F32;
    expect_refused(test::with_digests(bad), ErrorCode::Corrupt, {"weight_packed", "F32", "I32"});
    bad = good;
    bad.tensors.at(q + ".weight_scale").shape = {1, 32};
    expect_refused(test::with_digests(bad), ErrorCode::Corrupt,
                   {"weight_scale is [1,32]", "[32,1]"});
}

TEST_F(SourceModelTest, RecipesThatDoNotFitAreRefused) {
    const TinyModel good = make_quarot_model({}, named_recipe("quarot-rtn"));
    const auto with_rotation = [&](const std::string& key, const io::Json& value) {
        TinyModel bad = good;
        io::Json quantization = bad.config.at("quantization_config");
        io::Json rotation = quantization.at("rotation");
        rotation.set(key, value);
        quantization.set("rotation", rotation);
        bad.config.set("quantization_config", quantization);
        return bad;
    };
    expect_refused(with_rotation("residual_block", 3), ErrorCode::Corrupt, {"residual_block"});
    expect_refused(with_rotation("heads_block", 3), ErrorCode::Corrupt, {"heads_block", "4"});
    expect_refused(with_rotation("ffn_block", 7), ErrorCode::Corrupt, {"ffn_block", "48"});
    expect_refused(with_rotation("fold_norms", false), ErrorCode::Corrupt, {"fold_norms"});
    for (const int64_t tp_max : {0, 2, 3}) {  // the rotations have no blocks
        TinyModel bad = good;
        io::Json quantization = bad.config.at("quantization_config");
        quantization.set("tp_max", tp_max);
        bad.config.set("quantization_config", quantization);
        expect_refused(bad, ErrorCode::Corrupt, {"tp_max"});
    }
    TinyModel bad = good;
    io::Json quantization = bad.config.at("quantization_config");
    quantization.set("head_bits", 4);
    bad.config.set("quantization_config", quantization);
    bad.config.set("tie_word_embeddings", true);
    bad.tensors.erase("lm_head.weight");
    expect_refused(bad, ErrorCode::Corrupt, {"lm_head", "tie_word_embeddings"});
}

TEST_F(SourceModelTest, DigestsFindEveryChangedTensor) {
    const TinyModel good = make_quarot_model({}, named_recipe("rtn"));
    for (const auto& [name, tensor] : good.tensors) {
        if (name.ends_with(".weight_shape")) continue;  // its values are known
        TinyModel bad = good;
        bad.tensors.at(name).bytes[1] ^= std::byte{1};
        expect_refused(bad, ErrorCode::Corrupt, {name, "model.safetensors", "quarot.json"});
    }
}

TEST_F(SourceModelTest, DigestsMustBeCompleteOrAbsent) {
    TinyModel model = make_quarot_model({}, named_recipe("rtn"));
    model.text_files["quarot.json"] =
        R"({"schema": "quarot.provenance/1", "tensors": {"other": "00"}})";
    expect_refused(model, ErrorCode::Corrupt, {"no digest in quarot.json"});
    model.text_files["quarot.json"] = R"({"schema": "quarot.provenance/1", "tensors": {}})";
    expect_refused(model, ErrorCode::Corrupt, {"quarot.json", "tensors"});
    model.text_files["quarot.json"] = R"({"schema": "quarot.provenance/1"})";
    expect_refused(model, ErrorCode::Corrupt, {"quarot.json", "tensors"});
    model.text_files.erase("quarot.json");
    const SourceModel source = open(model);
    EXPECT_FALSE(source.has_digests());
    EXPECT_NO_THROW(read_everything(source));
}

}  // namespace quarot::folder

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>

#include "core/error.h"
#include "folder/quarot_folder_for_tests.h"
#include "folder/source_model_for_tests.h"
#include "folder/stored_names.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace quarot::folder {

namespace {

using test::make_stored_tensor;
using test::make_tiny_model;
using test::StoredTensor;
using test::TinyModel;
using test::TinyModelOptions;
using test::values_of;

constexpr const char* kQuery = "model.layers.0.self_attn.q_proj";

std::vector<float> floats_of(const Tensor& tensor) {
    EXPECT_EQ(tensor.dtype(), DType::F32);
    return {tensor.as<float>(), tensor.as<float>() + element_count(tensor.shape())};
}

}  // namespace

TEST_F(SourceModelTest, GivesWeightsAsStored) {
    const TinyModel model = make_tiny_model({.attention_bias = true, .mlp_bias = true});
    for (const int n_shards : {1, 3}) {
        const SourceModel source = open(model, n_shards);
        EXPECT_EQ(source.config().hidden, 32);
        EXPECT_EQ(source.config().eos, std::vector<int32_t>{257});
        EXPECT_EQ(source.recipe().name, "none");
        EXPECT_FALSE(source.is_quantized());
        const model::LinearId q = {model::LinearRole::Q, 0};
        EXPECT_TRUE(source.is_dense(q));
        const auto weights = values_of(model.tensors.at(std::string(kQuery) + ".weight"));
        EXPECT_EQ(floats_of(source.dense(q)), weights);
        EXPECT_EQ(floats_of(source.dense_rows(q, 3, 2)),
                  std::vector<float>(weights.begin() + 96, weights.begin() + 160));
        EXPECT_EQ(source.bias(q), values_of(model.tensors.at(std::string(kQuery) + ".bias")));
        EXPECT_TRUE(source.bias({model::LinearRole::LmHead}).empty());
        EXPECT_EQ(source.norm_gain(model::NormRole::MlpIn, 1),
                  values_of(model.tensors.at("model.layers.1.post_attention_layernorm.weight")));
        const auto table = values_of(model.tensors.at("model.embed_tokens.weight"));
        EXPECT_EQ(floats_of(source.dense({model::LinearRole::Embedding})), table);
        EXPECT_EQ(floats_of(source.dense_rows({model::LinearRole::Embedding}, 1, 1)),
                  std::vector<float>(table.begin() + 32, table.begin() + 64));
    }
}

TEST_F(SourceModelTest, KeepsTheStoredDtype) {
    const SourceModel source = open(make_tiny_model({.dtype = DType::BF16}));
    EXPECT_EQ(source.dense_dtype({model::LinearRole::Embedding}), DType::BF16);
    EXPECT_EQ(source.dense_dtype({model::LinearRole::Up, 1}), DType::BF16);
    EXPECT_EQ(source.dense({model::LinearRole::Up, 1}).dtype(), DType::BF16);
    EXPECT_EQ(source.dense_rows({model::LinearRole::Up, 1}, 0, 1).dtype(), DType::F32);
    EXPECT_EQ(source.bits_per_weight(), 16.0);
}

TEST_F(SourceModelTest, TiedHeadIsTheEmbedding) {
    TinyModel model = make_tiny_model({.tied = true});
    const SourceModel source = open(model);
    EXPECT_EQ(floats_of(source.dense({model::LinearRole::LmHead})),
              floats_of(source.dense({model::LinearRole::Embedding})));
    EXPECT_EQ(linear_name({model::LinearRole::LmHead}), "lm_head");
    const SourceModel untied = open(make_tiny_model({}));
    EXPECT_EQ(untied.parameter_count() - source.parameter_count(), 272 * 32);
}

// Larger than the rows that are compared at a time.
TinyModel tied_with_a_head_of_its_own() {
    TinyModel model = make_tiny_model({.vocab = 1100, .tied = true});
    model.tensors["lm_head.weight"] = model.tensors.at("model.embed_tokens.weight");
    return model;
}

TEST_F(SourceModelTest, ATiedHeadStoredTwiceIsTied) {
    const SourceModel source = open(tied_with_a_head_of_its_own());
    EXPECT_TRUE(source.config().tied_embeddings);
}

TEST_F(SourceModelTest, AnotherHeadThanTheTiedOneIsUsedWithAWord) {
    TinyModel last_value = tied_with_a_head_of_its_own();
    last_value.tensors.at("lm_head.weight").bytes.back() ^= std::byte{1};
    TinyModel other_dtype = tied_with_a_head_of_its_own();
    StoredTensor& head = other_dtype.tensors.at("lm_head.weight");
    head = make_stored_tensor(DType::F16, head.shape, values_of(head));
    for (const TinyModel& stored : {last_value, other_dtype}) {
        testing::internal::CaptureStderr();
        const SourceModel source = open(stored);
        const std::string said = testing::internal::GetCapturedStderr();
        EXPECT_NE(said.find("lm_head.weight holds other values"), std::string::npos) << said;
        EXPECT_FALSE(source.config().tied_embeddings);
        const Tensor used = source.dense({model::LinearRole::LmHead});
        const StoredTensor& expected = stored.tensors.at("lm_head.weight");
        EXPECT_EQ(used.dtype(), expected.dtype);
        EXPECT_EQ(std::vector(used.data(), used.data() + used.bytes()), expected.bytes);
    }
}

TEST_F(SourceModelTest, AHeadWithoutAnEmbeddingIsBoth) {
    TinyModel stored = tied_with_a_head_of_its_own();
    const std::vector<float> values = values_of(stored.tensors.at("lm_head.weight"));
    stored.tensors.erase("model.embed_tokens.weight");
    const SourceModel source = open(stored);
    EXPECT_TRUE(source.config().tied_embeddings);
    EXPECT_EQ(floats_of(source.dense({model::LinearRole::Embedding})), values);
    EXPECT_EQ(floats_of(source.dense({model::LinearRole::LmHead})), values);
    EXPECT_EQ(source.dense_dtype({model::LinearRole::Embedding}), DType::F32);
}

TEST_F(SourceModelTest, UntiedWeightsAreNotExchangedForEachOther) {
    for (const char* name : {"lm_head.weight", "model.embed_tokens.weight"}) {
        TinyModel model = make_tiny_model({});
        model.tensors.erase(name);
        expect_refused(model, ErrorCode::Corrupt, {name});
    }
}

TEST_F(SourceModelTest, CountsParameters) {
    const TinyModel model = make_tiny_model({.attention_bias = true, .mlp_bias = true});
    int64_t elements = 0;
    for (const auto& [name, tensor] : model.tensors) elements += element_count(tensor.shape);
    EXPECT_EQ(open(model).parameter_count(), elements);
}

TEST_F(SourceModelTest, JoinsEndTokensOfTheGenerationConfig) {
    TinyModel model = make_tiny_model({});
    model.text_files["generation_config.json"] = R"({"eos_token_id": [3, 257, 9]})";
    EXPECT_EQ(open(model).config().eos, (std::vector<int32_t>{257, 3, 9}));
    model.text_files["generation_config.json"] = R"({"eos_token_id": "x"})";
    expect_refused(model, ErrorCode::Corrupt, {"generation_config.json", "eos_token_id"});
}

TEST_F(SourceModelTest, MissingFoldersAndFilesAreNotFound) {
    const auto code_of = [](const std::string& folder) {
        try {
            SourceModel::open(folder);
        } catch (const Error& error) {
            EXPECT_NE(std::string(error.what()).find(folder), std::string::npos) << error.what();
            return error.code();
        }
        return ErrorCode::Internal;
    };
    EXPECT_EQ(code_of(directory_ / "absent"), ErrorCode::NotFound);
    EXPECT_EQ(code_of(directory_.path()), ErrorCode::NotFound) << "no config.json";
    std::ofstream(directory_ / "config.json") << make_tiny_model({}).config.dump();
    EXPECT_EQ(code_of(directory_.path()), ErrorCode::NotFound) << "no weights";
    EXPECT_EQ(code_of(directory_ / "config.json"), ErrorCode::NotFound) << "not a folder";
}

TEST_F(SourceModelTest, WrongShapesNameTheConfigKey) {
    TinyModel model = make_tiny_model({});
    model.config.set("intermediate_size", 56);
    expect_refused(model, ErrorCode::Corrupt,
                   {"model.safetensors: tensor model.layers.0.mlp.down_proj.weight is [32,48], "
                    "expected [32,56] from config.json intermediate_size; is this the right"});
    model = make_tiny_model({});
    model.config.set("vocab_size", 300);
    expect_refused(model, ErrorCode::Corrupt, {"vocab_size", "[272,32]", "[300,32]"});
    model = make_tiny_model({});
    model.config.set("num_key_value_heads", 4);
    expect_refused(model, ErrorCode::Corrupt, {"k_proj", "num_key_value_heads x head_dim"});
    model = make_tiny_model({});
    model.tensors["model.norm.weight"] =
        make_stored_tensor(DType::F32, {1, 32}, std::vector<float>(32, 1.0f));
    expect_refused(model, ErrorCode::Corrupt, {"model.norm.weight is [1,32]", "hidden_size"});
}

TEST_F(SourceModelTest, MissingTensorsAreNamed) {
    for (const char* name :
         {"model.embed_tokens.weight", "model.norm.weight", "lm_head.weight",
          "model.layers.1.self_attn.v_proj.weight", "model.layers.1.input_layernorm.weight"}) {
        TinyModel model = make_tiny_model({});
        model.tensors.erase(name);
        expect_refused(model, ErrorCode::Corrupt, {name});
    }
    TinyModel model = make_tiny_model({});
    model.config.set("num_hidden_layers", 3);
    expect_refused(model, ErrorCode::Corrupt, {"model.layers.2."});
}

TEST_F(SourceModelTest, BiasesMustBeAsTheConfigSays) {
    TinyModel model = make_tiny_model({});
    model.config.set("attention_bias", true);
    expect_refused(model, ErrorCode::Corrupt, {"self_attn", ".bias"});
    model = make_tiny_model({.mlp_bias = true});
    model.config.set("mlp_bias", false);
    expect_refused(model, ErrorCode::Corrupt, {"mlp", ".bias", "expected none", "mlp_bias"});
}

TEST_F(SourceModelTest, IntegerWeightsAreRefused) {
    TinyModel model = make_tiny_model({});
    StoredTensor& weight = model.tensors.at(std::string(kQuery) + ".weight");
    weight.dtype = DType::I32;
    expect_refused(model, ErrorCode::Corrupt, {kQuery, "I32", "F32, F16 or BF16"});
}

TEST_F(SourceModelTest, ExtraTensorsAreNoError) {
    TinyModel model = make_tiny_model({.tied = true});
    model.tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] =
        make_stored_tensor(DType::F32, {4}, {1, 2, 3, 4});
    model.tensors["lm_head.weight"] = model.tensors.at("model.embed_tokens.weight");
    testing::internal::CaptureStderr();
    EXPECT_NO_THROW(open(model));
    EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
    model.tensors["extra.weight"] = make_stored_tensor(DType::F32, {1}, {1});
    testing::internal::CaptureStderr();
    EXPECT_NO_THROW(open(model));
    EXPECT_NE(testing::internal::GetCapturedStderr().find("extra.weight"), std::string::npos);
}

TEST_F(SourceModelTest, NanAndInfAreFoundWhereTheyStand) {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const float inf = std::numeric_limits<float>::infinity();
    for (const DType dtype : {DType::F32, DType::F16, DType::BF16}) {
        for (const auto& [value, word] : {std::pair(nan, "nan"), std::pair(inf, "inf")}) {
            for (const char* name : {"model.embed_tokens.weight",
                                     "model.layers.1.mlp.up_proj.weight", "lm_head.weight"}) {
                TinyModel model = make_tiny_model({.dtype = dtype});
                StoredTensor& tensor = model.tensors.at(name);
                std::vector<float> values = values_of(tensor);
                values[32 * 5 + 7] = value;
                tensor = make_stored_tensor(dtype, tensor.shape, values);
                expect_refused(model, ErrorCode::Corrupt, {name, word, "row 5, column 7"});
            }
        }
    }
    TinyModel model = make_tiny_model({.attention_bias = true});
    set_element(model.tensors.at(std::string(kQuery) + ".bias"), 3, inf);
    expect_refused(model, ErrorCode::Corrupt, {kQuery, ".bias", "inf at index 3"});
    model = make_tiny_model({});
    set_element(model.tensors.at("model.norm.weight"), 0, -inf);
    expect_refused(model, ErrorCode::Corrupt, {"model.norm.weight", "-inf"});
}

TEST_F(SourceModelTest, ForeignQuantizationIsNamed) {
    TinyModel model = make_tiny_model({});
    model.config.set("quantization_config", io::Json::Object{{"quant_method", "gptq"}});
    expect_refused(model, ErrorCode::Unsupported, {"quant_method", "gptq", "quarot"});
    model.config.set("quantization_config", io::Json::Object{{"load_in_4bit", true}});
    expect_refused(model, ErrorCode::Unsupported, {"quantization_config", "quant_method"});
    model.config.set("quantization_config", io::Json::Object{});
    expect_refused(model, ErrorCode::Unsupported, {"quantization_config", "quant_method"});
    model = make_tiny_model({});
    model.config.set("compression_config", io::Json::Object{});
    expect_refused(model, ErrorCode::Unsupported, {"compression_config"});
}

}  // namespace quarot::folder

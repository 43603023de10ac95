// A folder and the GGUF file made of it are the same model.
#include "folder/gguf_model.h"

#include <gtest/gtest.h>

#include <cstring>

#include "core/expect_error.h"
#include "folder/source_model.h"
#include "support/checkout.h"
#include "support/gguf_of_folder.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace quarot::folder {

namespace {

using io::gguf_f32, io::gguf_text, io::gguf_u32;
using test::TempDir;
using test::TinyModelOptions;

void expect_equal_configs(const model::ModelConfig& a, const model::ModelConfig& b) {
    EXPECT_EQ(a.architecture, b.architecture);
    EXPECT_EQ(a.family, b.family);
    EXPECT_EQ(a.hidden, b.hidden);
    EXPECT_EQ(a.ffn, b.ffn);
    EXPECT_EQ(a.n_layers, b.n_layers);
    EXPECT_EQ(a.n_heads, b.n_heads);
    EXPECT_EQ(a.n_kv_heads, b.n_kv_heads);
    EXPECT_EQ(a.head_dim, b.head_dim);
    EXPECT_EQ(a.vocab, b.vocab);
    EXPECT_EQ(a.max_positions, b.max_positions);
    EXPECT_EQ(a.norm_eps, b.norm_eps);
    EXPECT_EQ(a.activation, b.activation);
    EXPECT_EQ(a.bias, b.bias);
    EXPECT_TRUE(a.ropes == b.ropes);
    for (int64_t layer = 0; layer < a.n_layers; ++layer) {
        EXPECT_EQ(a.layer(layer).window, b.layer(layer).window) << layer;
    }
    EXPECT_EQ(a.tied_embeddings, b.tied_embeddings);
    EXPECT_EQ(a.qk_norm, b.qk_norm);
    EXPECT_EQ(a.bos, b.bos);
    EXPECT_EQ(a.eos, b.eos);
}

bool same_bytes(const Tensor& a, const Tensor& b) {
    return a.dtype() == b.dtype() && a.shape() == b.shape() &&
           std::memcmp(a.data(), b.data(), static_cast<size_t>(a.bytes())) == 0;
}

void expect_equal_weights(const SourceModel& a, const SourceModel& b) {
    std::vector<model::LinearId> linears = linears_of(a.config());
    linears.push_back({model::LinearRole::Embedding});
    linears.push_back({model::LinearRole::LmHead});
    for (const model::LinearId& id : linears) {
        const std::string what = fmt::format("{} {}", rule_of(id.role, a.config()).name, id.layer);
        EXPECT_TRUE(same_bytes(a.dense(id), b.dense(id))) << what;
        EXPECT_TRUE(same_bytes(a.dense_rows(id, 3, 4), b.dense_rows(id, 3, 4))) << what;
        EXPECT_EQ(a.bias(id), b.bias(id)) << what;
    }
    for (int64_t layer = 0; layer < a.config().n_layers; ++layer) {
        for (const model::NormRole role : norms_of(a.config(), layer)) {
            EXPECT_EQ(a.norm_gain(role, layer), b.norm_gain(role, layer));
        }
    }
}

void expect_same_model(const std::string& folder, const std::string& architecture,
                       const std::string& path) {
    test::write_gguf(test::gguf_of_folder(folder, architecture), path);
    const SourceModel original = SourceModel::open(folder);
    const SourceModel gguf = SourceModel::open(path);
    EXPECT_TRUE(gguf.is_gguf());
    EXPECT_FALSE(original.is_gguf());
    EXPECT_EQ(gguf.files(), std::vector<std::string>{path});
    expect_equal_configs(original.config(), gguf.config());
    expect_equal_weights(original, gguf);
}

TEST(GgufModel, OfEachFamilyIsTheSameAsItsFolder) {
    const TempDir dir;
    for (const std::string family : {"qwen2", "qwen3", "phi3"}) {
        SCOPED_TRACE(family);
        expect_same_model(test::in_checkout("tests/golden/families/" + family), family,
                          dir / family + ".gguf");
    }
}

TEST(GgufModel, OfALlamaIsTheSameWhateverItHas) {
    const TempDir dir;
    const io::Json llama3 = io::Json::Object{{"rope_type", "llama3"},
                                             {"factor", 8.0},
                                             {"low_freq_factor", 1.0},
                                             {"high_freq_factor", 4.0},
                                             {"original_max_position_embeddings", 8192}};
    const io::Json linear = io::Json::Object{{"rope_type", "linear"}, {"factor", 4.0}};
    const std::vector<TinyModelOptions> all = {
        {},
        {.tied = true, .dtype = DType::BF16},
        {.n_kv_heads = 1, .attention_bias = true, .mlp_bias = true, .dtype = DType::F16},
        {.n_heads = 2, .head_dim = 32, .rope_theta = 500000.0, .rope_scaling = llama3},
        {.rope_scaling = linear}};
    for (size_t i = 0; i < all.size(); ++i) {
        SCOPED_TRACE(i);
        const std::string folder = dir / std::to_string(i);
        test::write_tiny_model(folder, all[i]);
        expect_same_model(folder, "llama", folder + ".gguf");
    }
}

TEST(GgufModel, ALlamaWithAWindowIsMistral) {
    const TempDir dir;
    test::TinyModel model = test::make_tiny_model({.architecture = "MistralForCausalLM"});
    model.config.set("sliding_window", 256);
    test::write_model(model, dir / "m");
    expect_same_model(dir / "m", "llama", dir / "m.gguf");
}

// As fractions, which truncate back to what the file says: 58 / 100 * 100 is less than 58.
TEST(GgufModel, AnyEvenPartOfAHeadTurns) {
    const TempDir dir;
    test::write_tiny_model(dir / "m",
                           {.hidden = 100, .n_heads = 1, .n_kv_heads = 1, .head_dim = 100});
    for (int64_t part = 2; part <= 100; part += 2) {
        io::HandmadeGguf gguf = test::gguf_of_folder(dir / "m", "llama");
        gguf.set("llama.rope.dimension_count", gguf_u32(static_cast<uint32_t>(part)));
        test::write_gguf(gguf, dir / "m.gguf");
        const SourceModel source = SourceModel::open(dir / "m.gguf");
        EXPECT_EQ(source.config().ropes.front().rotary_dim, part);
    }
}

class GgufModelTest : public testing::Test {
  protected:
    void SetUp() override {
        test::write_tiny_model(dir_ / "m", {.attention_bias = true});
        gguf_ = test::gguf_of_folder(dir_ / "m", "llama");
    }
    SourceModel open() {
        test::write_gguf(gguf_, dir_ / "m.gguf");
        return SourceModel::open(dir_ / "m.gguf");
    }
    void expect_refused(ErrorCode code, std::vector<std::string> mentions) {
        mentions.emplace_back("m.gguf");
        expect_error(code, mentions, [&] { open(); });
    }

    TempDir dir_;
    io::HandmadeGguf gguf_;
};

TEST_F(GgufModelTest, BlocksOfIntegersAreOfferedAsFp32) {
    for (auto& tensor : gguf_.tensors) {
        if (tensor.name != "blk.0.ffn_up.weight") continue;
        tensor.type = 8;  // rows of 32: a block each, scale 1
        tensor.data.clear();
        for (int row = 0; row < 48; ++row) {
            tensor.data += io::bytes_of<uint16_t>(0x3c00) + std::string(32, static_cast<char>(row));
        }
    }
    const SourceModel source = open();
    const model::LinearId up = {model::LinearRole::Up, 0};
    EXPECT_EQ(source.dense_dtype(up), DType::F32);
    const Tensor rows = source.dense_rows(up, 7, 1);
    EXPECT_EQ(std::vector<float>(rows.as<float>(), rows.as<float>() + 32),
              std::vector<float>(32, 7.0f));
}

TEST_F(GgufModelTest, OlderFilesSayLess) {
    gguf_.remove("llama.attention.key_length");
    gguf_.remove("llama.attention.value_length");
    gguf_.remove("llama.rope.freq_base");
    gguf_.set("llama.rope.scale_linear", gguf_f32(2.0f));
    const model::ModelConfig config = open().config();
    EXPECT_EQ(config.head_dim, 8);
    EXPECT_EQ(config.ropes.front().theta, 10000.0);
    EXPECT_EQ(config.ropes.front().type, model::RopeType::Linear);
    EXPECT_EQ(config.ropes.front().factor, 2.0);
}

TEST_F(GgufModelTest, EndsOfTurnsAreKnownByTheirText) {
    gguf_.set("tokenizer.ggml.tokens", io::gguf_texts({"a", "<|im_end|>", "<|eot_id|>", "b"}));
    gguf_.set("tokenizer.ggml.token_type", io::gguf_i32s({1, 3, 1, 1}));
    gguf_.set("tokenizer.ggml.eot_token_id", gguf_u32(3));
    EXPECT_EQ(open().config().eos, (std::vector<int32_t>{257, 3, 1}));
    gguf_.set("tokenizer.ggml.eos_token_id", gguf_u32(UINT32_MAX));  // none
    EXPECT_EQ(open().config().eos, (std::vector<int32_t>{3, 1}));
}

TEST_F(GgufModelTest, OtherArchitecturesAreRefusedWithTheList) {
    gguf_.set("general.architecture", gguf_text("mamba"));
    expect_refused(ErrorCode::Unsupported, {"mamba", "llama, qwen2, qwen3, phi3"});
    gguf_.remove("general.architecture");
    expect_refused(ErrorCode::Corrupt, {"general.architecture"});
}

TEST_F(GgufModelTest, WhatWouldBeAnotherFunctionIsRefused) {
    const auto unsupported = ErrorCode::Unsupported;
    const io::HandmadeGguf good = gguf_;
    const auto refused = [&](const std::string& key, const std::string& value, ErrorCode code,
                             const std::vector<std::string>& mentions) {
        gguf_ = good;
        gguf_.set(key, value);
        expect_refused(code, mentions);
    };
    refused("llama.expert_count", gguf_u32(8), unsupported, {"llama.expert_count", "8", "experts"});
    refused("split.count", gguf_u32(3), unsupported, {"split.count", "3", "llama-gguf-split"});
    refused("llama.rope.scaling.type", gguf_text("somehow"), unsupported, {"somehow"});
    for (const char* key : {"attn_factor", "yarn_ext_factor", "yarn_log_multiplier"}) {
        gguf_ = good;
        gguf_.set("llama.rope.scaling.type", gguf_text("yarn"));
        gguf_.set("llama.rope.scaling." + std::string(key), gguf_f32(0.5f));
        expect_refused(unsupported, {key, "0.5"});
    }
    refused("llama.rope.dimension_count", gguf_u32(3), unsupported, {"partial_rotary_factor"});
    refused("llama.attention.value_length", gguf_u32(4), unsupported, {"value_length", "4"});
    refused("llama.attention.head_count", io::gguf_i32s({4, 4}), ErrorCode::Corrupt,
            {"llama.attention.head_count", "list"});
    refused("llama.attention.head_count", gguf_u32(0), ErrorCode::Corrupt,
            {"num_attention_heads", "0"});
    refused("llama.block_count", gguf_u32(3), ErrorCode::Corrupt, {"model.layers.2"});
    refused("llama.embedding_length", gguf_u32(64), ErrorCode::Corrupt, {"[", "hidden_size"});

    gguf_ = good;
    gguf_.tensors.push_back({"blk.0.attn_sinks.weight", {4}, 0, std::string(16, '\0')});
    expect_refused(unsupported, {"blk.0.attn_sinks.weight", "llama"});
    gguf_ = good;
    gguf_.tensors.push_back(
        {"rope_freqs.weight",
         {4},
         0,
         io::bytes_of(1.0f) + io::bytes_of(3.0f) + io::bytes_of(2.0f) + io::bytes_of(8.0f)});
    expect_refused(unsupported, {"rope_freqs.weight", "llama3"});
    gguf_.tensors.back().data = std::string(16, '\xff');  // NaN
    expect_refused(unsupported, {"rope_freqs.weight"});
    gguf_.tensors.back() = {"rope_freqs.weight", {2}, 0, std::string(8, '\0')};
    expect_refused(ErrorCode::Corrupt, {"rope_freqs.weight", "2 factors"});
    gguf_ = good;
    std::erase_if(gguf_.tensors, [](const auto& t) { return t.name == "token_embd.weight"; });
    expect_refused(ErrorCode::Corrupt, {"token_embd.weight"});
}

TEST_F(GgufModelTest, NumbersThatAreNoneAreFoundWhenTheyAreRead) {
    for (auto& tensor : gguf_.tensors) {
        if (tensor.name == "blk.1.ffn_gate.weight") tensor.data.replace(40, 4, "\xff\xff\xff\x7f");
    }
    const SourceModel source = open();
    expect_error(ErrorCode::Corrupt, {"m.gguf", "model.layers.1.mlp.gate_proj.weight", "row 0"},
                 [&] {
                     source.dense_rows({model::LinearRole::Gate, 1}, 0, 2);
                 });
}

}  // namespace

}  // namespace quarot::folder

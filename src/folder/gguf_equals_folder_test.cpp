// A folder and the GGUF file made of it are the same model.
#include <gtest/gtest.h>

#include <cstring>

#include "folder/source_model.h"
#include "support/gguf_of_folder.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace quarot::folder {

namespace {

using io::gguf_u32;
using test::TempDir;
using test::TinyModelOptions;

void expect_equal_layers(const model::LayerConfig& a, const model::LayerConfig& b) {
    EXPECT_EQ(a.window, b.window);
    EXPECT_EQ(a.rope, b.rope);
    EXPECT_EQ(a.mixture, b.mixture);
}

void expect_equal_factors(const model::ModelConfig& a, const model::ModelConfig& b) {
    EXPECT_EQ(a.embed_scale, b.embed_scale);
    EXPECT_EQ(a.score_scale, b.score_scale);
    EXPECT_EQ(a.score_cap, b.score_cap);
    EXPECT_EQ(a.residual_scale, b.residual_scale);
    EXPECT_EQ(a.logit_scale, b.logit_scale);
    EXPECT_EQ(a.logit_cap, b.logit_cap);
    EXPECT_EQ(a.norm_eps, b.norm_eps);
}

void expect_equal_structure(const model::ModelConfig& a, const model::ModelConfig& b) {
    EXPECT_EQ(a.norm, b.norm);
    EXPECT_EQ(a.norm_bias, b.norm_bias);
    EXPECT_EQ(a.norms, b.norms);
    EXPECT_EQ(a.qk_norm, b.qk_norm);
    EXPECT_EQ(a.parallel, b.parallel);
    EXPECT_EQ(a.gated, b.gated);
    EXPECT_EQ(a.activation, b.activation);
    EXPECT_EQ(a.bias, b.bias);
    EXPECT_EQ(a.tied_embeddings, b.tied_embeddings);
    EXPECT_EQ(a.mixture.n_experts, b.mixture.n_experts);
    EXPECT_EQ(a.mixture.top_k, b.mixture.top_k);
    EXPECT_EQ(a.mixture.ffn, b.mixture.ffn);
    EXPECT_EQ(a.mixture.renormalize, b.mixture.renormalize);
}

void expect_equal_configs(const model::ModelConfig& a, const model::ModelConfig& b) {
    EXPECT_EQ(a.architecture, b.architecture);
    EXPECT_EQ(a.family, b.family);
    EXPECT_EQ(a.hidden, b.hidden);
    EXPECT_EQ(a.ffn, b.ffn);
    EXPECT_EQ(a.n_heads, b.n_heads);
    EXPECT_EQ(a.n_kv_heads, b.n_kv_heads);
    EXPECT_EQ(a.head_dim, b.head_dim);
    EXPECT_EQ(a.vocab, b.vocab);
    EXPECT_EQ(a.max_positions, b.max_positions);
    EXPECT_TRUE(a.ropes == b.ropes);
    ASSERT_EQ(a.n_layers, b.n_layers);
    for (int64_t layer = 0; layer < a.n_layers; ++layer) {
        SCOPED_TRACE(layer);
        expect_equal_layers(a.layer(layer), b.layer(layer));
    }
    expect_equal_structure(a, b);
    expect_equal_factors(a, b);
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
        const std::string what = fmt::format("{} {} {}", name_of(id.role), id.layer, id.expert);
        EXPECT_TRUE(same_bytes(a.dense(id), b.dense(id))) << what;
        const int64_t n = std::min<int64_t>(out_features(id, a.config()) - 3, 4);
        EXPECT_TRUE(same_bytes(a.dense_rows(id, 3, n), b.dense_rows(id, 3, n))) << what;
        EXPECT_EQ(a.bias(id), b.bias(id)) << what;
    }
    for (int64_t layer = 0; layer < a.config().n_layers; ++layer) {
        for (const model::NormRole role : norms_of(a.config(), layer)) {
            EXPECT_EQ(a.norm_gain(role, layer), b.norm_gain(role, layer));
            if (!has_bias(role, a.config())) continue;
            EXPECT_EQ(a.norm_bias(role, layer), b.norm_bias(role, layer));
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
    for (const std::string family :
         {"mistral", "mixtral", "qwen2", "qwen3", "qwen3_moe", "phi3", "gemma", "gemma2", "gemma3",
          "smollm3", "granite", "olmo2", "gpt_neox", "gpt_neox_sequential", "starcoder2",
          "stablelm", "stablelm_parallel", "cohere"}) {
        SCOPED_TRACE(family);
        test::write_what_gguf_can_say(family, dir / family);
        expect_same_model(dir / family, test::gguf_architecture(family), dir / family + ".gguf");
    }
}

TEST(GgufModel, OfSmolLm3HasEveryFourthLayerWithoutRope) {
    const TempDir dir;
    test::write_tiny_model(dir / "m", {.architecture = "SmolLM3ForCausalLM", .n_layers = 9});
    expect_same_model(dir / "m", "smollm3", dir / "m.gguf");
    const SourceModel gguf = SourceModel::open(dir / "m.gguf");
    for (int64_t layer = 0; layer < 9; ++layer) {
        EXPECT_EQ(gguf.config().layer(layer).rope, layer == 3 || layer == 7 ? -1 : 0) << layer;
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

}  // namespace

}  // namespace quarot::folder

// What a GGUF file must say to be a model, and what is refused.
#include "folder/gguf_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <stdexcept>

#include "core/expect_error.h"
#include "folder/source_model.h"
#include "support/gguf_of_folder.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace quarot::folder {

namespace {

using io::gguf_f32, io::gguf_text, io::gguf_u32;
using test::TempDir;

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
    expect_refused(ErrorCode::Unsupported,
                   {"mamba",
                    "llama, qwen2, qwen3, phi3, qwen3moe, gemma, gemma2, gemma3, smollm3, granite, "
                    "olmo2, gptneox, starcoder2, stablelm, command-r"});
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

    for (const char* name :
         {"blk.0.attn_sinks.weight", "blk.0.attn_q_norm.weight", "blk.0.ffn_gate_inp.weight",
          "blk.0.attn_norm.bias", "blk.0.output.weight", "output_norm.bias", "attn_q.weight",
          "blk.2.attn_q.weight", "blk.-1.attn_q.weight", "blk.0x.attn_q.weight",
          "blk.18446744073709551616.attn_q.weight", "blk.0.attn_q.scale"}) {
        gguf_ = good;
        gguf_.tensors.push_back({name, {4}, 0, std::string(16, '\0')});
        expect_refused(unsupported, {name, "no place", "llama"});
    }
    gguf_ = good;
    gguf_.tensors.push_back({"blk.00.attn_q.weight", {32, 32}, 0, std::string(4096, '\0')});
    expect_refused(unsupported, {"attn_q.weight", "no place"});
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

// A golden model as a GGUF file that a test changes.
class GgufOfFamily : public GgufModelTest {
  protected:
    void take(const std::string& family) {
        const std::string folder = dir_ / family;
        if (!std::filesystem::exists(folder)) test::write_what_gguf_can_say(family, folder);
        good_ = test::gguf_of_folder(folder, test::gguf_architecture(family));
    }
    io::HandmadeGguf::Tensor& tensor(const std::string& name) {
        for (auto& tensor : gguf_.tensors) {
            if (tensor.name == name) return tensor;
        }
        throw std::out_of_range(name);
    }
    using Change = std::function<void(io::HandmadeGguf&)>;
    void expect_changed_refused(ErrorCode code, const std::vector<std::string>& mentions,
                                const Change& change) {
        gguf_ = good_;
        change(gguf_);
        expect_refused(code, mentions);
    }
    void expect_refused_with(const std::string& key, const std::string& value, ErrorCode code,
                             const std::vector<std::string>& mentions) {
        SCOPED_TRACE(key);
        expect_changed_refused(code, mentions, [&](auto& gguf) { gguf.set(key, value); });
    }

    io::HandmadeGguf good_;
};

TEST_F(GgufOfFamily, ExpertsOfBlocksAreOfferedAsFp32EachFromItsPlace) {
    take("mixtral");
    gguf_ = good_;
    auto& gates = tensor("blk.1.ffn_gate_exps.weight");
    gates.type = 8;  // rows of 32: a block each, scale 1
    gates.data.clear();
    for (int expert = 0; expert < 6; ++expert) {
        for (int row = 0; row < 48; ++row) {
            gates.data += io::bytes_of<uint16_t>(0x3c00) +
                          std::string(32, static_cast<char>(expert * 16 + row % 16));
        }
    }
    const SourceModel source = open();
    const model::LinearId gate(model::LinearRole::Gate, 1, 4);
    EXPECT_EQ(source.dense_dtype(gate), DType::F32);
    const Tensor rows = source.dense_rows(gate, 19, 1);
    EXPECT_EQ(std::vector<float>(rows.as<float>(), rows.as<float>() + 32),
              std::vector<float>(32, 67.0f));
    EXPECT_EQ(source.dense(gate).as<float>()[47 * 32], 79.0f);
}

TEST_F(GgufOfFamily, CountsOfExpertsThatCannotBeAreRefused) {
    take("mixtral");
    const auto corrupt = ErrorCode::Corrupt;
    const std::string count = "llama.expert_count", used = "llama.expert_used_count";
    expect_refused_with(count, gguf_u32(5), corrupt, {"ffn_down_exps", "6", "5"});
    expect_refused_with(count, gguf_u32(7), corrupt, {"ffn_down_exps", "6", "7"});
    expect_refused_with(count, gguf_u32(1025), corrupt, {"num_local_experts", "1025"});
    expect_refused_with(count, gguf_u32(INT32_MAX), corrupt, {"num_local_experts"});
    expect_refused_with(count, gguf_u32(UINT32_MAX), corrupt, {count, "4294967295"});
    expect_refused_with(count, gguf_text("6"), corrupt, {count, "a text"});
    expect_refused_with(used, gguf_u32(0), corrupt, {"num_experts_per_tok", "0"});
    expect_refused_with(used, gguf_u32(7), corrupt, {"num_experts_per_tok", "7"});
    expect_changed_refused(corrupt, {used}, [&](auto& gguf) { gguf.remove(used); });
    expect_changed_refused(corrupt, {"1048576 experts together"}, [&](auto& gguf) {
        gguf.set(count, gguf_u32(1024));
        gguf.set("llama.block_count", gguf_u32(1024));
    });
}

TEST_F(GgufOfFamily, ExpertsOfOtherDimensionsAreRefused) {
    take("mixtral");
    const std::string name = "blk.0.ffn_gate_exps.weight";
    for (const std::vector<uint64_t>& dims :
         {std::vector<uint64_t>{32, 288}, {32, 6, 48}, {32, 48, 6, 1}, {9216}, {32, 48, 3, 2}}) {
        expect_changed_refused(ErrorCode::Corrupt, {name, "6", "expert"},
                               [&](auto&) { tensor(name).dims = dims; });
    }
    for (const std::vector<uint64_t>& dims : {std::vector<uint64_t>{48, 32, 6}, {16, 96, 6}}) {
        expect_changed_refused(ErrorCode::Corrupt, {"experts.0.w1", "the width of experts"},
                               [&](auto&) { tensor(name).dims = dims; });
    }
    expect_changed_refused(ErrorCode::Corrupt, {name, "cut"}, [&](auto&) {
        tensor(name).dims = {32, uint64_t{1} << 40, 6};
    });
    expect_changed_refused(ErrorCode::Corrupt, {name, "63 bits"}, [&](auto&) {
        tensor(name).dims = {uint64_t{1} << 40, uint64_t{1} << 40, 6};
    });
    expect_changed_refused(ErrorCode::Corrupt, {"block_sparse_moe.gate"}, [](auto& gguf) {
        std::erase_if(gguf.tensors,
                      [](const auto& t) { return t.name == "blk.1.ffn_gate_inp.weight"; });
    });
}

TEST_F(GgufOfFamily, OtherMixturesAreRefused) {
    take("mixtral");
    const auto unsupported = ErrorCode::Unsupported;
    expect_refused_with("llama.expert_gating_func", gguf_u32(2), unsupported, {"gating_func"});
    expect_refused_with("llama.expert_shared_count", gguf_u32(1), unsupported, {"shared_count"});
    expect_refused_with("llama.expert_weights_scale", gguf_f32(2.5f), unsupported, {"2.5"});
    expect_refused_with("llama.expert_group_count", gguf_u32(8), unsupported, {"group_count"});
    for (const char* name : {"blk.0.ffn_up.weight", "blk.0.ffn_up_exps.bias",
                             "blk.0.ffn_gate_up_exps.weight", "blk.0.ffn_up.0.weight"}) {
        expect_changed_refused(unsupported, {name, "no place"}, [&](auto& gguf) {
            gguf.tensors.push_back({name, {4}, 0, std::string(16, '\0')});
        });
    }
    take("qwen2");
    expect_refused_with("qwen2.expert_count", gguf_u32(8), unsupported,
                        {"qwen2.expert_count", "8", "experts"});
    take("qwen3_moe");
    expect_changed_refused(ErrorCode::Corrupt, {"qwen3moe.expert_feed_forward_length"},
                           [](auto& gguf) { gguf.remove("qwen3moe.expert_feed_forward_length"); });
    expect_refused_with("qwen3moe.block_count", gguf_u32(UINT32_MAX), ErrorCode::Corrupt,
                        {"qwen3moe.block_count"});
}

TEST_F(GgufOfFamily, ModelsOfAnotherKindUnderTheSameNameAreRefusedByName) {
    const auto unsupported = ErrorCode::Unsupported;
    const auto with_norm_of_q = [](auto& gguf) {
        gguf.tensors.push_back({"blk.0.attn_q_norm.weight", {4}, 0, std::string(16, '\0')});
    };
    take("cohere");
    expect_changed_refused(unsupported, {"use_qk_norm", "Command R+"}, with_norm_of_q);
    take("stablelm");
    expect_changed_refused(unsupported, {"qk_layernorm", "StableLM 2 12B"}, with_norm_of_q);
    take("olmo2");
    expect_refused_with("olmo2.attention.sliding_window", gguf_u32(16), unsupported, {"OLMo 3"});
    take("granite");
    expect_refused_with("granite.rope.scaling.finetuned", io::gguf_bool(false), unsupported,
                        {"finetuned", "Granite"});
    take("gpt_neox");
    expect_changed_refused(ErrorCode::Corrupt, {"attn_qkv.weight", "94 rows", "4 heads"},
                           [&](auto&) {
                               tensor("blk.0.attn_qkv.weight").dims = {32, 94};
                               tensor("blk.0.attn_qkv.weight").data.resize(32 * 94 * 2);
                           });
}

TEST_F(GgufOfFamily, GemmasLargestDivideScoresByTheWidthOfTheirHeads) {
    for (const auto& [family, layers] : {std::pair{"gemma2", 46u}, {"gemma3", 62u}}) {
        take(family);
        gguf_ = good_;
        gguf_.set(std::string(family) + ".block_count", gguf_u32(layers));
        test::write_gguf(gguf_, dir_ / "m.gguf");
        const GgufModel largest = open_gguf_model(dir_ / "m.gguf");
        EXPECT_EQ(largest.config.at("query_pre_attn_scalar").as_int(), 32 / 4) << family;
    }
}

TEST_F(GgufOfFamily, AWindowOf0IsNone) {
    for (const std::string family : {"phi3", "mistral"}) {  // the latter is a Llama then
        take(family);
        gguf_ = good_;
        gguf_.set(test::gguf_architecture(family) + ".attention.sliding_window", gguf_u32(0));
        const SourceModel source = open();
        EXPECT_EQ(source.config().layer(1).window, 0);
        EXPECT_EQ(source.config().family, family == "phi3" ? "phi3" : "llama");
    }
}

TEST_F(GgufOfFamily, LayersThatSlideAreListedOrFollowAPeriod) {
    take("gemma3");
    const auto windows = [&](const Change& change) {
        gguf_ = good_;
        change(gguf_);
        const SourceModel source = open();
        std::vector<int64_t> all(static_cast<size_t>(source.config().n_layers));
        for (size_t layer = 0; layer < all.size(); ++layer) {
            all[layer] = source.config().layer(static_cast<int64_t>(layer)).window;
        }
        return all;
    };
    const std::string key = "gemma3.attention.sliding_window_pattern";
    using Windows = std::vector<int64_t>;
    EXPECT_EQ(windows([](auto&) {}), (Windows{16, 16, 0, 16}));
    EXPECT_EQ(windows([&](auto& gguf) { gguf.remove(key); }), (Windows{16, 16, 16, 16}));
    EXPECT_EQ(windows([&](auto& gguf) {
                  gguf.set(key, io::gguf_i32s({0, 1, 1, 0}));
              }),
              (Windows{0, 16, 16, 0}));
    EXPECT_EQ(windows([&](auto& gguf) {
                  gguf.remove(key);
                  gguf.remove("gemma3.attention.sliding_window");
              }),
              (Windows{0, 0, 0, 0}));
    expect_refused_with(key, io::gguf_i32s({1, 0}), ErrorCode::Corrupt, {"layer_types", "2"});
    expect_refused_with(key, gguf_text("x"), ErrorCode::Corrupt, {"sliding_window_pattern"});
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

// What load_weights hands to a backend, seen by a backend that only remembers it.
#include "folder/load_weights.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <limits>

#include "core/error.h"
#include "core/host_memory.h"
#include "folder/memory_need.h"
#include "folder/quarot_folder_for_tests.h"
#include "model/rope.h"
#include "model/shard.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace quarot::folder {

namespace {

using test::make_quarot_model;
using test::make_tiny_model;
using test::TempDir;
using test::TinyModel;
using test::values_of;

// Holds memory and weights; computes nothing.
class RememberingBackend final : public kernels::Backend {
  public:
    std::shared_ptr<const Tensor> embedding;
    std::vector<kernels::LinearWeights> linears;  // in the order of preparation
    int64_t kv_page_bytes = 64;

    kernels::BackendInfo info() const override { return {}; }
    kernels::Buffer allocate(int64_t bytes) override {
        return {std::malloc(static_cast<size_t>(bytes)), bytes, [](void* p) { std::free(p); }};
    }
    void upload(void* to, const void* host, int64_t bytes) override {
        std::memcpy(to, host, static_cast<size_t>(bytes));
    }
    void download(void* host, const void* from, int64_t bytes) override {
        std::memcpy(host, from, static_cast<size_t>(bytes));
    }
    std::unique_ptr<kernels::Linear> prepare_linear(kernels::LinearWeights weights) override {
        int64_t out = 0, in = 0;
        int bits = 16;
        if (const auto* matrix = std::get_if<QuantizedMatrix>(&weights.matrix)) {
            out = matrix->rows;
            in = matrix->cols;
            bits = matrix->bits;
        } else {
            const auto& tensor = *std::get<std::shared_ptr<const Tensor>>(weights.matrix);
            out = tensor.rows();
            in = tensor.cols();
        }
        linears.push_back(std::move(weights));
        return std::make_unique<kernels::Linear>(out, in, bits);
    }
    std::unique_ptr<kernels::Embedding> prepare_embedding(kernels::HostMatrix table) override {
        embedding = kernels::as_floats(table);
        return std::make_unique<kernels::Embedding>();
    }
    std::unique_ptr<kernels::Transform> prepare_transform(const linalg::Mixer& mixer, int64_t inner,
                                                          DType) override {
        return std::make_unique<kernels::Transform>(mixer.n, inner);
    }
    std::unique_ptr<kernels::KvStore> make_kv_store(const kernels::KvDescriptor&,
                                                    int64_t) override {
        return nullptr;
    }
    bool own_memory = true;
    kernels::BackendTraits traits() const override { return {.own_memory = own_memory}; }
    std::optional<int64_t> available = available_host_bytes();
    std::optional<int64_t> available_bytes() const override { return available; }
    mutable int64_t n_kv_heads = 0;  // of the cache that was last asked for
    std::optional<int64_t> kv_bytes(const kernels::KvDescriptor& descriptor,
                                    int64_t n_pages) const override {
        n_kv_heads = descriptor.n_kv_heads;
        return checked_mul(n_pages, kv_page_bytes);
    }
    // Of embedding and linears, a matrix that they share once.
    int64_t held_bytes() const {
        int64_t bytes = embedding->bytes();
        for (const kernels::LinearWeights& linear : linears) {
            if (const auto* codes = std::get_if<QuantizedMatrix>(&linear.matrix)) {
                bytes += codes->bytes();
            } else if (std::get<0>(linear.matrix) != embedding) {
                bytes += std::get<0>(linear.matrix)->bytes();
            }
        }
        return bytes;
    }
    void embed(const kernels::EmbedArgs&) override {}
    void norm(const kernels::NormArgs&) override {}
    void transform(const kernels::Transform&, kernels::Rows) override {}
    void quantize(kernels::Rows, kernels::QuantizedRows, kernels::SiteNote) override {}
    void linear(const kernels::LinearArgs&) override {}
    void gather_columns(kernels::Rows, const int32_t*, kernels::Rows) override {}
    void accumulate_gram(kernels::Rows, double*) override {}
    void scale(const kernels::ScaleArgs&) override {}
    void rope(const kernels::RopeArgs&) override {}
    void append_kv(const kernels::AppendKvArgs&) override {}
    void attention(const kernels::AttentionArgs&) override {}
    void activate(const kernels::ActivateArgs&) override {}
    void gather_rows(kernels::Rows, const int32_t*, kernels::Rows) override {}
    void add(kernels::Rows, kernels::Rows) override {}
    void find_non_finite(kernels::Rows, kernels::SiteNote) override {}
    void log_probabilities(const kernels::LogProbabilityArgs&) override {}
    void top_k(const kernels::TopKArgs&) override {}
    void divergence(const kernels::DivergenceArgs&) override {}
};

class LoadWeightsTest : public testing::Test {
  protected:
    model::Weights load(const TinyModel& model, const SettingChanges& changes = {},
                        int64_t n_positions = 16) {
        const std::string folder = directory_ / std::to_string(n_folders_++);
        test::write_model(model, folder);
        return load_weights(SourceModel::open(folder), changes, n_positions, backend_);
    }

    std::string message_of(ErrorCode code, const std::function<void()>& action) {
        try {
            action();
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), code) << error.what();
            return error.what();
        }
        ADD_FAILURE() << "no error";
        return "";
    }

    TempDir directory_;
    int n_folders_ = 0;
    RememberingBackend backend_;
};

std::vector<float> floats_at(const void* data, size_t n) {
    const auto* floats = static_cast<const float*>(data);
    return {floats, floats + n};
}

}  // namespace

TEST_F(LoadWeightsTest, HandsOverEveryLinearInItsPlace) {
    const TinyModel model = make_tiny_model({.head_dim = 16, .attention_bias = true});
    const model::Weights weights = load(model);
    ASSERT_EQ(weights.layers.size(), 2u);
    EXPECT_EQ(backend_.linears.size(), 15u);
    const auto expect_shape = [&](model::LinearRole role, int64_t out, int64_t in) {
        EXPECT_EQ(weights.layers[1].linear(role).out_features(), out);
        EXPECT_EQ(weights.layers[1].linear(role).in_features(), in);
        EXPECT_EQ(weights.layers[1].linear(role).bits(), 16);
    };
    expect_shape(model::LinearRole::Q, 64, 32);
    expect_shape(model::LinearRole::K, 32, 32);
    expect_shape(model::LinearRole::V, 32, 32);
    expect_shape(model::LinearRole::O, 32, 64);
    expect_shape(model::LinearRole::Gate, 48, 32);
    expect_shape(model::LinearRole::Up, 48, 32);
    expect_shape(model::LinearRole::Down, 32, 48);
    EXPECT_EQ(weights.lm_head->out_features(), 272);

    const kernels::LinearWeights& head = backend_.linears[0];
    const auto& tensor = *std::get<std::shared_ptr<const Tensor>>(head.matrix);
    EXPECT_EQ(floats_at(tensor.data(), 272 * 32), values_of(model.tensors.at("lm_head.weight")));
    EXPECT_TRUE(head.bias.empty());
    EXPECT_EQ(backend_.linears[1].bias,
              values_of(model.tensors.at("model.layers.0.self_attn.q_proj.bias")));
}

TEST_F(LoadWeightsTest, ATiedHeadStandsOnTheEmbeddingsBytes) {
    load(make_tiny_model({.tied = true}));
    const auto head = std::get<std::shared_ptr<const Tensor>>(backend_.linears.at(0).matrix);
    EXPECT_EQ(head, backend_.embedding);
}

TEST_F(LoadWeightsTest, GainsOfOnesAreLeftOut) {
    const TinyModel model = make_tiny_model({});
    const model::Weights weights = load(model);
    EXPECT_EQ(floats_at(weights.layers[1].norm(model::NormRole::MlpIn).gain(), 32),
              values_of(model.tensors.at("model.layers.1.post_attention_layernorm.weight")));
    EXPECT_EQ(floats_at(weights.final_norm.gain(), 32),
              values_of(model.tensors.at("model.norm.weight")));
    const model::Weights folded = load(make_tiny_model({.unit_norms = true}));
    EXPECT_EQ(folded.final_norm.gain(), nullptr);
    EXPECT_EQ(folded.layers[0].norm(model::NormRole::AttentionIn).gain(), nullptr);
    EXPECT_EQ(folded.layers[0].norm(model::NormRole::MlpIn).gain(), nullptr);
}

TEST_F(LoadWeightsTest, RotatedRecipesBringTheirTransforms) {
    const model::Weights rotated = load(make_quarot_model({}, named_recipe("quarot-rtn")));
    ASSERT_TRUE(rotated.query_key && rotated.head_mix && rotated.ffn);
    EXPECT_EQ(rotated.query_key->n(), 8);
    EXPECT_EQ(rotated.query_key->inner(), 1);
    EXPECT_EQ(rotated.head_mix->n(), 4);
    EXPECT_EQ(rotated.head_mix->inner(), 8);
    EXPECT_EQ(rotated.ffn->n(), 48);
    EXPECT_EQ(rotated.ffn->inner(), 1);
    const model::Weights plain = load(make_quarot_model({}, named_recipe("rtn")));
    EXPECT_FALSE(plain.query_key || plain.head_mix || plain.ffn);
}

TEST_F(LoadWeightsTest, HeadsWithoutAHadamardMatrixAreNotMixed) {
    const model::Weights weights =
        load(make_quarot_model({.n_heads = 3, .n_kv_heads = 1}, named_recipe("quarot-rtn")));
    EXPECT_FALSE(weights.head_mix);
    EXPECT_TRUE(weights.query_key && weights.ffn);
}

TEST_F(LoadWeightsTest, BlocksCutTheTransforms) {
    Recipe recipe = named_recipe("quarot-rtn");
    recipe.rotation.heads_block = 2;
    recipe.rotation.ffn_block = 12;
    const model::Weights weights = load(make_quarot_model({}, recipe));
    EXPECT_EQ(weights.head_mix->n(), 2);
    EXPECT_EQ(weights.head_mix->inner(), 8);
    EXPECT_EQ(weights.ffn->n(), 12);
}

TEST_F(LoadWeightsTest, QuantizedWeightsKeepTheirWidths) {
    Recipe recipe = named_recipe("quarot-rtn");
    recipe.down_bits = 8;
    recipe.head_bits = 6;
    const model::Weights weights = load(make_quarot_model({}, recipe));
    EXPECT_EQ(weights.layers[0].linear(model::LinearRole::Q).bits(), 4);
    EXPECT_EQ(weights.layers[0].linear(model::LinearRole::Down).bits(), 8);
    EXPECT_EQ(weights.lm_head->bits(), 6);
    EXPECT_EQ(weights.activation_format(model::LinearRole::Down).bits, 8);
    EXPECT_EQ(weights.activation_format(model::LinearRole::Gate).bits, 4);
    const kernels::KvDescriptor kv = weights.kv_descriptor();
    EXPECT_EQ(kv.n_layers, 2);
    EXPECT_EQ(kv.n_kv_heads, 2);
    EXPECT_EQ(kv.head_dim, 8);
    EXPECT_EQ(kv.page_tokens, 64);
    EXPECT_EQ(kv.k.bits, 4);
    EXPECT_FALSE(kv.v.range_includes_zero);
}

TEST_F(LoadWeightsTest, OverridesChangeActivationsAndCacheOnly) {
    const TinyModel model = make_quarot_model({}, named_recipe("quarot-rtn"));
    const model::Weights weights = load(model, {{"activations.bits", 8},
                                                {"k.bits", 3},
                                                {"v.bits", 16},
                                                {"activations.clip", 0.8},
                                                {"k.clip", 1.0},
                                                {"v.clip", 0.5}});
    EXPECT_EQ(weights.activation_format(model::LinearRole::Q).bits, 8);
    EXPECT_EQ(weights.activation_format(model::LinearRole::Down).bits, 8);
    EXPECT_EQ(weights.activation_format(model::LinearRole::Q).clip, 0.8f);
    EXPECT_EQ(weights.kv_descriptor().k.bits, 3);
    EXPECT_EQ(weights.kv_descriptor().k.clip, 1.0f);
    EXPECT_EQ(weights.kv_descriptor().v.bits, 16);
    EXPECT_EQ(weights.kv_descriptor().v.clip, 0.5f);
    EXPECT_EQ(weights.layers[0].linear(model::LinearRole::Q).bits(), 4);
}

TEST_F(LoadWeightsTest, ChangesOutOfRangeNameTheirSetting) {
    const TinyModel model = make_tiny_model({});
    const std::vector<std::tuple<std::string, SettingValue, std::string>> cases = {
        {"activations.bits", 1, "`activations.bits` is 1"},
        {"k.bits", 9, "`k.bits` is 9"},
        {"v.bits", 0, "`v.bits` is 0"},
        {"activations.clip", 0.0, "`activations.clip` is 0"},
        {"k.clip", -1.0, "`k.clip` is -1"},
        {"v.clip", 2.0, "`v.clip` is 2"}};
    for (const auto& [key, value, words] : cases) {
        const SettingChanges changes = {{key, value}};
        const std::string message = message_of(ErrorCode::Usage, [&] { load(model, changes); });
        EXPECT_NE(message.find(words), std::string::npos) << message;
    }
}

TEST_F(LoadWeightsTest, ChangesAreCheckedAgainstEachOther) {
    Recipe recipe = named_recipe("quarot-rtn");
    const TinyModel by_token = make_quarot_model({}, recipe);
    recipe.k.axis = kernels::KvAxis::Channel;
    recipe.k.block = 16;
    const TinyModel by_channel = make_quarot_model({}, recipe);
    const SettingChanges blocks = {{"k.block", 32}}, tokens = {{"k.axis", std::string("token")}};
    const std::string message = message_of(ErrorCode::Usage, [&] { load(by_token, blocks); });
    EXPECT_NE(message.find("`k.block` is of keys by channel"), std::string::npos) << message;
    EXPECT_EQ(load(by_channel, blocks).kv_descriptor().k.block, 32);
    EXPECT_EQ(load(by_channel, tokens).kv_descriptor().k.axis, kernels::KvAxis::Token)
        << "its blocks go with the channels";
    EXPECT_EQ(load(by_token, {{"k.axis", std::string("channel")}, {"k.block", 32}})
                  .kv_descriptor()
                  .k.block,
              32);
}

TEST_F(LoadWeightsTest, RopeTablesHoldTheContextThatWasAskedFor) {
    const model::Weights weights = load(make_tiny_model({.rope_theta = 500.0}), {}, 20);
    EXPECT_EQ(weights.rope_table(0).n_positions, 20);
    EXPECT_EQ(weights.ropes[0]->n_made(), 0) << "steps make them";
    weights.ropes[0]->reach(20, backend_);
    const model::RopeAngles angles =
        model::rope_angles(model::rope_frequencies({.theta = 500.0}, 8, 20), 1.0, 0, 20);
    EXPECT_EQ(floats_at(weights.rope_table(0).cos, 80), angles.cos);
    EXPECT_EQ(floats_at(weights.rope_table(0).sin, 80), angles.sin);
}

TEST_F(LoadWeightsTest, PositionsThatFitAreWholePagesUpToTheWantedOnes) {
    const std::string folder = directory_ / "long";
    test::write_model(make_tiny_model({.max_positions = 1 << 20}), folder);
    const SourceModel source = SourceModel::open(folder);
    backend_.kv_page_bytes = 64 * 256;
    const auto fitting = [&](std::optional<int64_t> available) {
        backend_.available = available;
        return fitting_positions(source, {}, 1000000, backend_);
    };
    EXPECT_EQ(fitting(std::nullopt), 1000000);
    EXPECT_EQ(fitting(int64_t{1} << 40), 1000000);
    EXPECT_EQ(fitting(1000), 0);
    const int64_t some = fitting(100000000), more = fitting(200000000);
    EXPECT_EQ(some % 64, 0);
    // A position has 256 bytes of cache and 8 floats of angles.
    EXPECT_NEAR(static_cast<double>(more - some), 1e8 * 7 / 8 / (256 + 8 * 4), 64.0);
}

TEST_F(LoadWeightsTest, ContextsBeyondTheModelsAreRefused) {
    const TinyModel model = make_tiny_model({});
    EXPECT_NO_THROW(load(model, {}, 256));
    for (const int64_t n : {int64_t{0}, int64_t{257}}) {
        const std::string message = message_of(ErrorCode::Usage, [&] { load(model, {}, n); });
        EXPECT_NE(message.find("1 to 256"), std::string::npos) << message;
    }
}

TEST_F(LoadWeightsTest, ChangedBytesAreFoundWhileLoading) {
    TinyModel model = make_quarot_model({}, named_recipe("rtn"));
    model.tensors.at("model.layers.1.mlp.up_proj.weight_packed").bytes[9] ^= std::byte{4};
    const std::string message = message_of(ErrorCode::Corrupt, [&] { load(model); });
    EXPECT_NE(message.find("model.layers.1.mlp.up_proj.weight_packed"), std::string::npos);
}

TEST_F(LoadWeightsTest, AMissingQuarotJsonIsAWarning) {
    TinyModel model = make_quarot_model({}, named_recipe("rtn"));
    model.text_files.erase("quarot.json");
    testing::internal::CaptureStderr();
    EXPECT_NO_THROW(load(model));
    EXPECT_NE(testing::internal::GetCapturedStderr().find("quarot.json"), std::string::npos);
}

// The cache's bytes are those of the backend's containers, whatever the widths of its codes.
TEST_F(LoadWeightsTest, ACacheThatTheBackendFindsTooLargeIsRefused) {
    const TinyModel model = make_tiny_model({});
    const int64_t available = available_host_bytes().value_or(0);
    ASSERT_GT(available, 0);
    EXPECT_NO_THROW(load(model));
    backend_.kv_page_bytes = 2 * available;
    EXPECT_NE(message_of(ErrorCode::OutOfMemory, [&] { load(model); }).find("KV cache"),
              std::string::npos);
    backend_.kv_page_bytes = std::numeric_limits<int64_t>::max();
    EXPECT_NE(message_of(ErrorCode::OutOfMemory, [&] { load(model, {}, 128); }).find("KV cache"),
              std::string::npos);
}

// Of a rank: what it asks for is what it then holds, its rope table and its share of the cache.
TEST_F(LoadWeightsTest, ARankNeedsTheMemoryOfItsPart) {
    const test::TinyModelOptions shape = {.hidden = 64,
                                          .ffn = 192,
                                          .n_heads = 8,
                                          .n_kv_heads = 4,
                                          .head_dim = 16,
                                          .attention_bias = true};
    test::TinyModelOptions tied = shape;
    tied.tied = true;
    test::write_model(make_tiny_model(shape), directory_ / "full");
    test::write_model(make_tiny_model(tied), directory_ / "tied");
    const Recipe blocked = with_column_blocks(named_recipe("quarot-rtn"),
                                              SourceModel::open(directory_ / "full").config(), 4);
    test::write_model(make_quarot_model(shape, blocked), directory_ / "blocked");
    constexpr int64_t kRope = 16 * 16 / 2 * 4 * 2, kPage = 64;
    for (const std::string name : {"full", "tied", "blocked"}) {
        const SourceModel source = SourceModel::open(directory_ / name);
        int64_t needed_by_more = std::numeric_limits<int64_t>::max();
        for (const int size : {1, 2, 4}) {
            SCOPED_TRACE(name + " on " + std::to_string(size));
            const auto load_last = [&](RememberingBackend& backend) {
                load_weights(source, {}, 16, backend, {.rank = size - 1, .size = size});
            };
            RememberingBackend unlimited, roomy, short_by_one;
            load_last(unlimited);
            EXPECT_EQ(unlimited.n_kv_heads, 4 / size);
            const int64_t needed = unlimited.held_bytes() + kRope + kPage;
            EXPECT_LT(needed, needed_by_more);
            needed_by_more = needed;
            roomy.available = needed;
            EXPECT_NO_THROW(load_last(roomy));
            short_by_one.available = needed - 1;
            message_of(ErrorCode::OutOfMemory, [&] { load_last(short_by_one); });
        }
    }
}

TEST_F(LoadWeightsTest, MorePositionsFitWhereRanksShareTheWeights) {
    test::write_model(make_tiny_model({.max_positions = 1 << 20}), directory_ / "long");
    const SourceModel source = SourceModel::open(directory_ / "long");
    backend_.available = 10000000;
    const int64_t alone = fitting_positions(source, {}, 1000000, backend_);
    const auto of_two = [&] {
        return fitting_positions(source, {}, 1000000, backend_, {.rank = 1, .size = 2});
    };
    EXPECT_GT(of_two(), alone);
    backend_.own_memory = false;
    const int64_t in_one_memory = of_two();
    EXPECT_LT(in_one_memory, alone) << "each has an embedding";
    backend_.own_memory = true;
    *backend_.available /= 2;
    EXPECT_EQ(of_two(), in_one_memory);
}

TEST_F(LoadWeightsTest, RanksThatShareMemoryNeedItTogether) {
    test::write_model(make_tiny_model({}), directory_ / "shared");
    const SourceModel source = SourceModel::open(directory_ / "shared");
    const MemoryNeed need = memory_need(source, source.recipe(), 16, {.size = 2}, backend_);
    const auto require = [&] { require_memory_for_ranks(source, {}, 16, backend_, 2); };
    backend_.own_memory = false;
    backend_.available = 2 * (need.weights + need.kv_cache);
    EXPECT_NO_THROW(require());
    *backend_.available -= 1;
    const std::string message = message_of(ErrorCode::OutOfMemory, require);
    EXPECT_NE(message.find("each of 2 ranks"), std::string::npos) << message;
    backend_.own_memory = true;
    EXPECT_NO_THROW(require());
}

}  // namespace quarot::folder

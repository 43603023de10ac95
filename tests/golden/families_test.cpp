// Families against another implementation: tiny random models, their logits in fp32 as
// make_families.py writes them, and the same models rotated.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <span>

#include "eval/perplexity.h"
#include "folder/source_model.h"
#include "golden/golden_support.h"
#include "io/checkpoint.h"
#include "io/safetensors.h"
#include "quantize/quantize_model.h"
#include "support/checkout.h"
#include "support/gguf_of_folder.h"
#include "support/temp_dir.h"

namespace quarot::test {

namespace {

constexpr double kMaxLogitDifference = 3e-4;
constexpr double kRelativeLimit = 2e-5;  // of the largest logit
constexpr double kBroken = 1e-3;         // a planted mistake must show at least this

struct Case {
    std::string family;
    std::string device;
};

std::string name_of_case(const testing::TestParamInfo<Case>& info) {
    return info.param.family + "_" + info.param.device;
}

std::string folder_of(const std::string& family) {
    return in_checkout("tests/golden/families/" + family);
}

std::vector<float> read_floats(const io::SafetensorsFile& file, const std::string& name) {
    const io::TensorInfo& info = file.tensors().at(name);
    std::vector<float> values(static_cast<size_t>(info.bytes) / sizeof(float));
    file.read(info, 0, std::as_writable_bytes(std::span(values)));
    return values;
}

constexpr size_t kSequences = 3;

io::Json reference_of(const std::string& family) {
    return io::Json::parse_file(folder_of(family) + "/reference.json");
}

std::vector<int32_t> ids_of(const std::string& family, size_t sequence = 0) {
    return int_list(reference_of(family).at("sequences").as_array().at(sequence));
}

std::vector<float> expected_logits(const std::string& family, size_t sequence = 0) {
    return read_floats(io::SafetensorsFile(folder_of(family) + "/reference.safetensors"),
                       fmt::format("logits_{}", sequence));
}

// The family's folder with its config as older folders of the hub spell it.
std::string in_hub_spelling(const std::string& family, const TempDir& dir) {
    const std::filesystem::path from = folder_of(family), to = dir / "hub";
    std::filesystem::create_directory(to);
    std::filesystem::copy_file(from / "config_hub.json", to / "config.json");
    std::filesystem::copy_file(from / "model.safetensors", to / "model.safetensors");
    return to;
}

size_t likeliest(std::span<const float> logits) {
    return static_cast<size_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

std::string quantized(const std::string& family, const std::string& out, const Recipe& recipe) {
    quantize::quantize_model(folder_of(family), out, {.recipe = recipe, .n_threads = 2});
    return out;
}

class Families : public testing::TestWithParam<Case> {
  protected:
    LoadedModel loaded(const std::string& folder) const {
        return load(folder, {.device = GetParam().device, .work = DType::F32, .context = 64});
    }
    std::vector<float> logits_of(const std::string& folder, size_t sequence = 0) const {
        LoadedModel model = loaded(folder);
        return all_logits(model, ids_of(GetParam().family, sequence));
    }
    // On four windows that fill the context.
    double perplexity_of(const std::string& folder,
                         const std::function<void(LoadedModel&)>& mistake = {}) const {
        constexpr int32_t kContext = 64;
        std::vector<int32_t> text;
        for (int32_t i = 0; i < 4 * kContext; ++i) text.push_back((i * i * 17 + 3 * i + 5) % 90);
        LoadedModel model = loaded(folder);
        if (mistake) mistake(model);
        return eval::perplexity(*model.engine, nullptr, text, {.seqlen = kContext}).perplexity;
    }
};

std::vector<std::string> devices() {
    std::vector<std::string> list = fast_devices();
    list.push_back("reference");
    return list;
}

// Mixtures of experts run on host memory.
bool runs_on(const std::string& family, const std::string& device) {
    return device != "cuda" || (family != "mixtral" && family != "qwen3_moe");
}

std::vector<Case> cases() {
    std::vector<Case> list;
    for (const char* family :
         {"qwen2", "qwen3", "phi3", "mixtral", "qwen3_moe", "mistral", "gemma", "gemma2", "gemma3",
          "smollm3", "granite", "olmo2", "opt", "gpt_neox", "gpt_neox_sequential", "starcoder2",
          "stablelm", "stablelm_parallel", "cohere"}) {
        for (const std::string& device : devices()) {
            if (!runs_on(family, device)) continue;
            list.push_back({family, device});
        }
    }
    return list;
}

INSTANTIATE_TEST_SUITE_P(All, Families, testing::ValuesIn(cases()), name_of_case);

}  // namespace

TEST_P(Families, LogitsAgree) {
    for (size_t sequence = 0; sequence < kSequences; ++sequence) {
        const std::vector<float> expected = expected_logits(GetParam().family, sequence);
        EXPECT_GT(max_abs(expected), 0.7) << "a model that says something";
        const auto found = logits_of(folder_of(GetParam().family), sequence);
        ASSERT_EQ(found.size(), expected.size());
        EXPECT_LE(max_abs_difference(found, expected), kMaxLogitDifference) << sequence;
    }
}

TEST_P(Families, BothSpellingsOfAConfigAreOneModel) {
    const TempDir dir;
    EXPECT_EQ(logits_of(in_hub_spelling(GetParam().family, dir)),
              logits_of(folder_of(GetParam().family)));
}

// Step by step, as they are generated.
TEST_P(Families, GreedyTokensAgree) {
    const io::Json reference = reference_of(GetParam().family);
    const std::vector<int32_t> next = int_list(reference.at("greedy").at("ids"));
    const auto& gaps = reference.at("greedy").at("gaps").as_array();
    constexpr size_t kPrompt = 8;
    std::vector<int32_t> ids = ids_of(GetParam().family);
    ids.resize(kPrompt);
    ids.insert(ids.end(), next.begin(), next.end());
    LoadedModel model = loaded(folder_of(GetParam().family));
    const std::vector<float> logits = all_logits(model, ids, 1);
    const size_t vocab = logits.size() / ids.size();
    ASSERT_EQ(next.size(), 24u);
    for (size_t i = 0; i < next.size(); ++i) {
        if (gaps[i].as_double() <= 1e-3) continue;
        const auto row = std::span(logits).subspan((kPrompt + i - 1) * vocab, vocab);
        EXPECT_EQ(likeliest(row), static_cast<size_t>(next[i])) << i;
    }
}

TEST_P(Families, RotatedModelsComputeTheSame) {
    const TempDir dir;
    const auto original = logits_of(folder_of(GetParam().family));
    const auto rotated = logits_of(quantized(GetParam().family, dir / "rotated", rotated_recipe()));
    EXPECT_LE(max_abs_difference(original, rotated), kRelativeLimit * max_abs(original));
}

// It shows if R4 is forgotten in down_proj.
TEST_P(Families, RotatedModelsHaveTheSamePerplexity) {
    constexpr double kFourDigits = 5e-5;
    const TempDir dir;
    const std::string in = folder_of(GetParam().family);
    const std::string out = quantized(GetParam().family, dir / "rotated", rotated_recipe());
    const double original = perplexity_of(in), rotated = perplexity_of(out);
    EXPECT_NEAR(rotated / original, 1.0, kFourDigits);

    const auto source = folder::SourceModel::open(in), ours = folder::SourceModel::open(out);
    const double mistaken = perplexity_of(out, [&](LoadedModel& model) {
        for (const model::LinearId& id : linears_of(source.config())) {
            if (id.role != model::LinearRole::Down) continue;
            auto plain =
                std::make_shared<const Tensor>(source.dense_rows(id, 0, source.config().hidden));
            model.weights->set_linear(id, {std::move(plain), ours.bias(id)}, *model.backend);
        }
    });
    std::printf("perplexity %.6g, rotated %.6g, R4 forgotten %.6g\n", original, rotated, mistaken);
    EXPECT_GT(std::fabs(mistaken / original - 1.0), kFourDigits);
}

// The folder, written as a GGUF file.
TEST_P(Families, AGgufFileIsTheSameModel) {
    const std::string architecture = gguf_architecture(GetParam().family);
    if (architecture.empty()) GTEST_SKIP() << "GGUF has no such architecture";
    const TempDir dir;
    write_what_gguf_can_say(GetParam().family, dir / "folder");
    write_gguf(gguf_of_folder(dir / "folder", architecture), dir / "model.gguf");
    EXPECT_EQ(logits_of(dir / "model.gguf"), logits_of(dir / "folder"));
    const auto w4 = [&](const std::string& model, const std::string& out) {
        quantize::quantize_model(model, out,
                                 {.recipe = named_recipe("quarot-rtn"), .n_threads = 2});
        return logits_of(out);
    };
    EXPECT_EQ(w4(dir / "model.gguf", dir / "a"), w4(dir / "folder", dir / "b"));
}

// Whole, in pieces and by single tokens a quantized model gives the same bits.
TEST_P(Families, QuantizedModelsGiveTheSameBitsForEverySplit) {
    const TempDir dir;
    LoadedModel model =
        loaded(quantized(GetParam().family, dir / "w4", named_recipe("quarot-rtn")));
    const auto ids = ids_of(GetParam().family);
    const auto whole = all_logits(model, ids);
    EXPECT_EQ(all_logits(model, ids, 1), whole);
    EXPECT_EQ(all_logits(model, ids, 7), whole);
}

namespace {

// Keys at 8 bits, all else unquantized, with biases as large as Qwen's: RoPE turns all of a head,
// or a part of it.
class KeysWithoutBias : public testing::TestWithParam<Case> {
  protected:
    std::vector<float> logits_with(std::optional<int> k_bits, const std::string& use) const {
        const auto& [family, device] = GetParam();
        SettingChanges changes = {{"k.clip", 1.0}, {"k_bias", use}};
        if (k_bits) changes["k.bits"] = *k_bits;
        LoadedModel model =
            load(folder_of(family),
                 {.device = device, .work = DType::F32, .context = 64, .changes = changes});
        return all_logits(model, ids_of(family));
    }
};

std::vector<Case> cases_with_k_bias() {
    std::vector<Case> list;
    for (const char* family : {"qwen2", "starcoder2", "stablelm"}) {
        for (const std::string& device : devices()) list.push_back({family, device});
    }
    return list;
}

INSTANTIATE_TEST_SUITE_P(All, KeysWithoutBias, testing::ValuesIn(cases_with_k_bias()),
                         name_of_case);

}  // namespace

TEST_P(KeysWithoutBias, AreWhatTheBiasedOnesAreButForRounding) {
    const auto exact = logits_with({}, "subtract");
    const double apart = max_abs_difference(exact, logits_with(8, "subtract")) / max_abs(exact);
    const double kept = max_abs_difference(exact, logits_with(8, "keep")) / max_abs(exact);
    std::printf("8-bit keys: %.1e apart, %.1e with their bias\n", apart, kept);
    EXPECT_LE(apart, 0.02) << "the bias is added as RoPE turns it";
    EXPECT_LE(5.0 * apart, kept);
}

TEST(FamilyTeeth, AForgottenNormOfQShows) {
    LoadedModel model = load(folder_of("qwen3"), {.context = 64});
    model.weights->config.qk_norm = model::QkNormSpan::None;
    EXPECT_GE(max_abs_difference(all_logits(model, ids_of("qwen3")), expected_logits("qwen3")),
              kBroken);
}

TEST(FamilyTeeth, ANormOfKWithTheGainOfQShows) {
    LoadedModel model = load(folder_of("qwen3"), {.context = 64});
    auto& norms = model.weights->layers[0].norms;
    std::swap(norms[static_cast<size_t>(model::NormRole::Query)],
              norms[static_cast<size_t>(model::NormRole::Key)]);
    EXPECT_GE(max_abs_difference(all_logits(model, ids_of("qwen3")), expected_logits("qwen3")),
              kBroken);
}

TEST(FamilyTeeth, AForgottenBiasOfKShows) {
    LoadedModel model = load(folder_of("qwen2"), {.context = 64});
    const auto source = folder::SourceModel::open(folder_of("qwen2"));
    auto bare = std::make_shared<const Tensor>(source.dense({model::LinearRole::K, 0}));
    model.weights->set_linear({model::LinearRole::K, 0}, {std::move(bare), {}}, *model.backend);
    EXPECT_GE(max_abs_difference(all_logits(model, ids_of("qwen2")), expected_logits("qwen2")),
              kBroken);
}

// A window of 70 in a context of 400 that takes 7 pages: with the 4 that a window and a step need,
// and with all of them, whole and token by token, the same bits.
TEST(SlidingFamilies, RunLongContextsInThePagesOfTheirWindow) {
    const TempDir dir;
    std::filesystem::copy(folder_of("mistral"), dir / "long");
    io::Json config = io::Json::parse_file(dir / "long/config.json");
    config.set("max_position_embeddings", 400);
    config.set("sliding_window", 70);
    std::ofstream(dir / "long/config.json") << config.dump();
    quantize::quantize_model(dir / "long", dir / "w4",
                             {.recipe = named_recipe("quarot-rtn"), .n_threads = 2});
    std::vector<int32_t> ids;
    for (int32_t i = 0; i < 400; ++i) ids.push_back((i * i * 13 + 5 * i + 1) % 90);
    for (const std::string& device : devices()) {
        LoadedModel model =
            load(dir / "w4", {.device = device, .work = DType::F32, .context = 400});
        const auto logits_in = [&](int64_t n_pages, int64_t piece) {
            model.engine = std::make_unique<runtime::Engine>(
                *model.weights, *model.backend,
                runtime::EngineLimits{.context = 400, .n_pages = n_pages, .step_tokens = 64});
            return all_logits(model, ids, piece);
        };
        const auto all = logits_in(7, 0);
        EXPECT_EQ(logits_in(4, 0), all) << device;
        EXPECT_EQ(logits_in(4, 1), all) << device;
        EXPECT_THROW(logits_in(3, 0), Error) << device;
    }
}

namespace {

// How far the logits of a family go when its loaded model is changed.
template <typename Change>
double moved_by(const std::string& family, const std::string& folder, const Change& change) {
    LoadedModel model = load(folder, {.context = 64});
    change(*model.weights, *model.backend);
    return max_abs_difference(all_logits(model, ids_of(family)), expected_logits(family));
}

template <typename Change>
double moved_by(const std::string& family, const Change& change) {
    return moved_by(family, folder_of(family), change);
}

using Mistake = std::function<void(model::ModelConfig&)>;

void expect_seen(const std::string& family, const std::string& what, const Mistake& mistake) {
    const double moved = moved_by(
        family, [&](model::Weights& weights, kernels::Backend&) { mistake(weights.config); });
    EXPECT_GE(moved, kBroken) << family << ": " << what;
}

// Gains without what a family adds to them.
void forget_offset(model::Weights& weights, kernels::Backend& backend) {
    const auto source = folder::SourceModel::open(weights.name);
    for (int64_t layer = 0; layer < weights.config.n_layers; ++layer) {
        std::vector<float> gain = source.norm_gain(model::NormRole::MlpIn, layer);
        for (float& value : gain) value -= 1.0f;
        weights.layers[static_cast<size_t>(layer)]
            .norms[static_cast<size_t>(model::NormRole::MlpIn)] =
            model::upload_norm(gain, {}, backend);
    }
}

}  // namespace

TEST(FamilyTeeth, AWindowOffByOneShows) {
    for (const char* family : {"mistral", "gemma2", "gemma3"}) {
        for (const int64_t by : {-1, 1}) {
            expect_seen(family, "window", [&](model::ModelConfig& config) {
                for (model::LayerConfig& layer : config.layers) {
                    if (layer.window > 0) layer.window += by;
                }
            });
        }
    }
    expect_seen("gemma2", "the other layers slide", [](model::ModelConfig& config) {
        for (model::LayerConfig& layer : config.layers) layer.window = 16 - layer.window;
    });
}

TEST(FamilyTeeth, AForgottenOneOfAGainShows) {
    for (const char* family : {"gemma", "gemma2", "gemma3"}) {
        EXPECT_GE(moved_by(family, forget_offset), kBroken) << family;
    }
}

TEST(FamilyTeeth, AForgottenScaleOrCapShows) {
    using Config = model::ModelConfig;
    expect_seen("gemma2", "cap of scores", [](Config& config) { config.score_cap = 0.0; });
    expect_seen("gemma2", "cap of logits", [](Config& config) { config.logit_cap = 0.0; });
    for (const char* family : {"gemma", "gemma2", "gemma3", "granite"}) {
        expect_seen(family, "scale of embeddings",
                    [](Config& config) { config.embed_scale = 1.0; });
    }
    for (const char* family : {"gemma2", "gemma3", "granite"}) {
        expect_seen(family, "scale of scores", [](Config& config) { config.score_scale = 0.0; });
    }
    expect_seen("granite", "residual", [](Config& config) { config.residual_scale = 1.0; });
    expect_seen("granite", "logits", [](Config& config) { config.logit_scale = 1.0; });
    expect_seen("gemma", "activation",
                [](Config& config) { config.activation = model::Activation::Silu; });
}

TEST(FamilyTeeth, RopeOfTheWrongLayersShows) {
    expect_seen("gemma3", "one RoPE for all layers", [](model::ModelConfig& config) {
        for (model::LayerConfig& layer : config.layers) layer.rope = 0;
    });
    expect_seen("smollm3", "RoPE in all layers", [](model::ModelConfig& config) {
        for (model::LayerConfig& layer : config.layers) layer.rope = 0;
    });
}

TEST(FamilyTeeth, ForgottenNormsOfOutputsOrOfAllHeadsShow) {
    for (const char* family : {"gemma2", "gemma3", "olmo2"}) {
        expect_seen(family, "norm behind the MLP", [](model::ModelConfig& config) {
            config.norms = {model::NormRole::AttentionIn, model::NormRole::AttentionOut,
                            model::NormRole::MlpIn, model::NormRole::Final};
        });
    }
    expect_seen("olmo2", "norms of q and k",
                [](model::ModelConfig& config) { config.qk_norm = model::QkNormSpan::None; });
}

// Where norms stand behind linears, R1 is online alone.
TEST(FamilyTeeth, AForgottenR1BeforeLinearsShows) {
    for (const char* family : {"gemma2", "gemma3", "olmo2"}) {
        const TempDir dir;
        const std::string out = quantized(family, dir / "rotated", rotated_recipe());
        const auto forget = [](model::Weights& weights, kernels::Backend&) {
            ASSERT_NE(weights.residual, nullptr);
            weights.residual.reset();
        };
        EXPECT_GE(moved_by(family, out, forget), kBroken) << family;
    }
}

// The text of a model that sees: the same numbers in an object, the same tensors below another
// name.
TEST(NestedFamilies, AreTheTextModelInside) {
    for (const char* prefix : {"language_model.model.", "model.language_model."}) {
        const TempDir dir;
        const std::string folder = dir / "nested";
        std::filesystem::create_directory(folder);
        io::Json text = io::Json::parse_file(folder_of("gemma3") + "/config_hub.json");
        text.set("architectures", io::Json());
        io::Json config = io::Json::Object{{"eos_token_id", 2}};
        config.set("architectures", io::Json::Array{"Gemma3ForConditionalGeneration"});
        config.set("text_config", std::move(text));
        std::ofstream(folder + "/config.json") << config.dump();
        const io::SafetensorsFile stored(folder_of("gemma3") + "/model.safetensors");
        std::vector<io::PlannedTensor> plan;
        const auto renamed = [&](const std::string& name) {
            return prefix + name.substr(std::string_view("model.").size());
        };
        for (const auto& [name, info] : stored.tensors()) {
            plan.push_back({renamed(name), info.dtype, info.shape});
        }
        io::SafetensorsWriter writer(folder + "/model.safetensors", std::move(plan));
        for (const auto& [name, info] : stored.tensors()) {
            std::vector<std::byte> bytes(static_cast<size_t>(info.bytes));
            stored.read(info, 0, bytes);
            writer.write(renamed(name), 0, bytes);
        }
        writer.finish();
        LoadedModel nested = load(folder, {.context = 64});
        LoadedModel flat = load(folder_of("gemma3"), {.context = 64});
        EXPECT_EQ(all_logits(nested, ids_of("gemma3")), all_logits(flat, ids_of("gemma3")));
        const std::string out = dir / "w4", flat_out = dir / "flat";
        quantize::quantize_model(folder, out, {.recipe = named_recipe("quarot-rtn")});
        LoadedModel a = load(out, {.context = 64});
        LoadedModel b =
            load(quantized("gemma3", flat_out, named_recipe("quarot-rtn")), {.context = 64});
        EXPECT_EQ(all_logits(a, ids_of("gemma3")), all_logits(b, ids_of("gemma3")));
    }
}

// What cannot be there is refused by name before any work.
TEST(OnlineR1, IsHadamardAndOlmo2HasNoNormsToSmooth) {
    const TempDir dir;
    Recipe random = rotated_recipe();
    random.rotation.residual = ResidualRotation::Random;
    const auto message_of = [&](const std::string& family, const Recipe& recipe) -> std::string {
        const quantize::QuantizeOptions options = {
            .recipe = recipe, .calibration = {ids_of(family)}, .n_threads = 2};
        try {
            quantize::quantize_model(folder_of(family), dir / "out", options);
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::Unsupported);
            return error.what();
        }
        return "";
    };
    EXPECT_NE(message_of("gemma2", random).find("Gemma2ForCausalLM has norms"), std::string::npos);
    EXPECT_NE(message_of("olmo2", named_recipe("smoothquant")).find("Olmo2ForCausalLM"),
              std::string::npos);
}

// A gain that is kept reads back as it was, one that is folded as 1.
TEST(GainOffset, IsOfOurOwnFoldersToo) {
    const TempDir dir;
    const auto in = folder::SourceModel::open(folder_of("gemma2"));
    const auto out =
        folder::SourceModel::open(quantized("gemma2", dir / "rotated", rotated_recipe()));
    using model::NormRole;
    EXPECT_EQ(out.norm_gain(NormRole::AttentionOut, 1), in.norm_gain(NormRole::AttentionOut, 1));
    EXPECT_EQ(out.norm_gain(NormRole::Final, 0), in.norm_gain(NormRole::Final, 0));
    EXPECT_EQ(out.norm_gain(NormRole::AttentionIn, 1), std::vector<float>(32, 1.0f));
    EXPECT_TRUE(out.config().tied_embeddings) << "R1 does not reach the head";
}

// A quantized folder has one tensor a linear, whatever the original fuses.
TEST(FusedFamilies, AreWrittenUnderCanonicalNames) {
    const TempDir dir;
    const auto checkpoint =
        io::Checkpoint::open(quantized("phi3", dir / "w4", named_recipe("quarot-rtn")));
    const std::vector<std::string> names = checkpoint.names();
    for (const std::string& name : names) {
        EXPECT_EQ(name.find("qkv_proj"), std::string::npos) << name;
        EXPECT_EQ(name.find("gate_up_proj"), std::string::npos) << name;
    }
    EXPECT_EQ(
        std::count(names.begin(), names.end(), "model.layers.0.self_attn.k_proj.weight_packed"), 1);
}

}  // namespace quarot::test

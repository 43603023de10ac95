// Positions against another implementation: RoPE's tables of published configs, and tiny random
// models whose contexts are stretched, as make_rope_tables.py and make_positions.py write them.
#include <cmath>
#include <filesystem>
#include <fstream>

#include "folder/families/rope_fields.h"
#include "folder/source_model.h"
#include "golden/golden_support.h"
#include "io/safetensors.h"
#include "model/rope.h"
#include "quantize/quantize_model.h"
#include "support/checkout.h"
#include "support/temp_dir.h"

namespace quarot::test {

namespace {

namespace fs = std::filesystem;

constexpr double kMaxLogitDifference = 3e-4;
constexpr double kRelativeLimit = 2e-5;  // of the largest logit
constexpr double kSureGap = 1e-3;        // between the best two logits
constexpr double kBroken = 1e-3;         // a planted mistake must show at least this
constexpr int64_t kOriginalContext = 48, kContext = 128;

struct Case {
    std::string model, spelling, device;
};

void PrintTo(const Case& c, std::ostream* out) {
    *out << c.model << ' ' << c.spelling << ' ' << c.device;
}

std::string name_of_case(const testing::TestParamInfo<Case>& info) {
    return info.param.model + "_" + info.param.spelling + "_" + info.param.device;
}

std::string folder_of(const std::string& model) {
    return in_checkout("tests/golden/positions/" + model);
}

io::Json reference_of(const std::string& model) {
    return io::Json::parse_file(folder_of(model) + "/reference.json");
}

std::vector<int32_t> sequence_of(const std::string& model, size_t index) {
    return int_list(reference_of(model).at("sequences").as_array().at(index));
}

std::vector<float> expected_logits(const std::string& model, size_t index) {
    const io::SafetensorsFile file(folder_of(model) + "/reference.safetensors");
    const io::TensorInfo& info = file.tensors().at("logits_" + std::to_string(index));
    std::vector<float> values(static_cast<size_t>(info.bytes) / sizeof(float));
    file.read(info, 0, std::as_writable_bytes(std::span(values)));
    return values;
}

// The model with the config.json that files on the hub have.
std::string as_on_the_hub(const std::string& model, const TempDir& dir) {
    fs::create_directories(dir / "hub");
    fs::copy_file(folder_of(model) + "/hub.json", dir / "hub/config.json");
    fs::copy_file(folder_of(model) + "/model.safetensors", dir / "hub/model.safetensors");
    return dir / "hub";
}

LoadOptions options_of(const std::string& device, int64_t context) {
    return {.device = device, .work = DType::F32, .context = context};
}

// What a session is declared to have: the original context where that is enough. One of the type
// dynamic is as long as the sequence, since transformers stretches by that.
int64_t context_of(const std::vector<int32_t>& ids, const folder::SourceModel& source) {
    const int64_t n = std::ssize(ids);
    if (n <= kOriginalContext) return kOriginalContext;
    return source.config().ropes.front().type == model::RopeType::Dynamic ? n : kContext;
}

std::vector<float> logits_of(const std::string& folder, const std::vector<int32_t>& ids,
                             const std::string& device) {
    const int64_t context = context_of(ids, folder::SourceModel::open(folder));
    LoadedModel model = load(folder, options_of(device, context));
    return all_logits(model, ids);
}

std::vector<std::string> devices() {
    std::vector<std::string> list = fast_devices();
    list.push_back("reference");
    return list;
}

const std::vector<std::string> kModels = {"phi3_long", "phi4", "phi4_mini", "llama_dynamic",
                                          "qwen2_yarn"};

std::vector<Case> cases() {
    std::vector<Case> list;
    for (const std::string& model : kModels) {
        for (const char* spelling : {"transformers", "hub"}) {
            for (const std::string& device : devices()) list.push_back({model, spelling, device});
        }
    }
    return list;
}

class Positions : public testing::TestWithParam<Case> {
  protected:
    std::string folder() const {
        const bool on_hub = GetParam().spelling == "hub";
        return on_hub ? as_on_the_hub(GetParam().model, dir_) : folder_of(GetParam().model);
    }
    TempDir dir_;
};

INSTANTIATE_TEST_SUITE_P(All, Positions, testing::ValuesIn(cases()), name_of_case);

}  // namespace

TEST(RopeTables, AreThoseOfTransformers) {
    const io::Json tables =
        io::Json::parse_file(in_checkout("tests/golden/positions/rope_tables.json"));
    ASSERT_GE(tables.as_array().size(), 12u);
    for (const io::Json& table : tables.as_array()) {
        SCOPED_TRACE(table.at("name").as_string());
        const int64_t head_dim = table.at("head_dim").as_int();
        const io::Json::Array& expected = table.at("frequencies").as_array();
        for (const char* spelling : {"old", "new"}) {
            SCOPED_TRACE(spelling);
            const io::Json& config = table.at(spelling);
            const model::RopeConfig rope = folder::read_rope(
                config, {.head_dim = head_dim,
                         .max_positions = config.at("max_position_embeddings").as_int()});
            EXPECT_NEAR(rope.amplitude / table.at("amplitude").as_double(), 1.0, 1e-6);
            const std::vector<double> found =
                model::rope_frequencies(rope, head_dim, table.at("length").as_int());
            ASSERT_EQ(std::ssize(found), head_dim / 2);
            for (size_t i = 0; i < found.size(); ++i) {
                if (i < expected.size()) {
                    EXPECT_NEAR(found[i] / expected[i].as_double(), 1.0, 1e-6) << "pair " << i;
                } else {
                    EXPECT_EQ(found[i], 0.0) << "pair " << i << " does not turn";
                }
            }
        }
    }
}

TEST_P(Positions, LogitsAgree) {
    const std::string from = folder();
    for (const size_t index : {0, 1, 2}) {
        SCOPED_TRACE(index);
        const std::vector<float> expected = expected_logits(GetParam().model, index);
        EXPECT_GT(max_abs(expected), 1.0) << "a model that says something";
        const auto found = logits_of(from, sequence_of(GetParam().model, index), GetParam().device);
        ASSERT_EQ(found.size(), expected.size());
        EXPECT_LE(max_abs_difference(found, expected), kMaxLogitDifference);
    }
}

// One token after the other, in one session.
TEST_P(Positions, GreedyTokensAgree) {
    const io::Json reference = reference_of(GetParam().model);
    const std::string from = folder();
    const bool is_dynamic = GetParam().model == "llama_dynamic";
    // transformers stretches a dynamic table with every token, and a session only once.
    for (size_t index = 0; index < (is_dynamic ? 2u : 3u); ++index) {
        SCOPED_TRACE(index);
        std::vector<int32_t> ids = sequence_of(GetParam().model, index);
        const auto n_prompt = ids.size();
        const auto expected = int_list(reference.at("greedy").as_array().at(index));
        ids.insert(ids.end(), expected.begin(), expected.end());
        const auto logits = logits_of(from, ids, GetParam().device);
        const size_t vocab = logits.size() / ids.size();
        for (size_t i = 0; i < expected.size(); ++i) {
            const auto row =
                logits.begin() + static_cast<std::ptrdiff_t>((n_prompt + i - 1) * vocab);
            const auto best = std::max_element(row, row + static_cast<std::ptrdiff_t>(vocab)) - row;
            const io::Json& gap = reference.at("gaps").as_array().at(index).as_array().at(i);
            EXPECT_TRUE(best == expected[i] || gap.as_double() <= kSureGap) << "new token " << i;
        }
    }
}

TEST_P(Positions, RotatedModelsComputeTheSame) {
    const std::string from = folder(), to = dir_ / "rotated";
    quantize::quantize_model(from, to, {.recipe = rotated_recipe(), .n_threads = 2});
    for (const size_t index : {1, 2}) {
        SCOPED_TRACE(index);
        const auto ids = sequence_of(GetParam().model, index);
        const auto original = logits_of(from, ids, GetParam().device);
        const auto rotated = logits_of(to, ids, GetParam().device);
        EXPECT_LE(max_abs_difference(original, rotated), kRelativeLimit * max_abs(original));
    }
}

// Rows of codes, too, go to the places where RoPE looks for them, and every split of a session sees
// the same table.
TEST_P(Positions, QuantizedModelsAreNearAndGiveTheSameBitsForEverySplit) {
    Recipe recipe = rotated_recipe();
    recipe.weights.bits = 8;
    const std::string from = folder(), to = dir_ / "w8";
    quantize::quantize_model(from, to, {.recipe = recipe, .n_threads = 2});
    const auto ids = sequence_of(GetParam().model, 2);
    const auto original = logits_of(from, ids, GetParam().device);
    LoadedModel model =
        load(to, options_of(GetParam().device, context_of(ids, folder::SourceModel::open(to))));
    const auto whole = all_logits(model, ids);
    EXPECT_LE(max_abs_difference(original, whole), 0.15 * max_abs(original));
    EXPECT_EQ(all_logits(model, ids, 1), whole);
    EXPECT_EQ(all_logits(model, ids, 50), whole);
}

// Qwen's biases of keys are added by the same table, its amplitude included.
TEST(StretchedKeys, WithoutTheirBiasAreThoseWithIt) {
    const auto ids = sequence_of("qwen2_yarn", 2);
    for (const std::string& device : devices()) {
        SCOPED_TRACE(device);
        LoadOptions options = options_of(device, kContext);
        options.changes = {{"k.bits", 8}, {"k.clip", 1.0}, {"k_bias", "subtract"}};
        LoadedModel model = load(folder_of("qwen2_yarn"), options);
        const std::vector<float> expected = expected_logits("qwen2_yarn", 2);
        EXPECT_LE(max_abs_difference(all_logits(model, ids), expected), 0.02 * max_abs(expected));
    }
}

namespace {

// How far the longest sequence is from the reference with another table than the model's.
double apart_with(const std::string& name, void (*plant)(model::RopeConfig&)) {
    const auto ids = sequence_of(name, 2);
    LoadedModel model = load(folder_of(name), options_of("cpu", kContext));
    model::RopeConfig rope = model.weights->config.ropes.front();
    plant(rope);
    model.weights->ropes.front() = std::make_unique<model::RopeTables>(
        rope, model.weights->config.head_dim, kContext, *model.backend);
    return max_abs_difference(all_logits(model, ids), expected_logits(name, 2));
}

}  // namespace

TEST(PositionTeeth, TheModelsOwnTableDoesNotShow) {
    EXPECT_LE(apart_with("phi4_mini", [](model::RopeConfig&) {}), kMaxLogitDifference);
}

TEST(PositionTeeth, ShortFactorsInALongSessionShow) {
    const auto plant = [](model::RopeConfig& rope) { rope.long_factors = rope.short_factors; };
    EXPECT_GE(apart_with("phi3_long", plant), kBroken);
}

TEST(PositionTeeth, AForgottenAmplitudeShows) {
    const auto plant = [](model::RopeConfig& rope) { rope.amplitude = 1.0; };
    EXPECT_GE(apart_with("phi3_long", plant), kBroken);
    EXPECT_GE(apart_with("qwen2_yarn", plant), kBroken);
}

TEST(PositionTeeth, RestingValuesThatTurnShow) {
    const auto plant = [](model::RopeConfig& rope) {
        rope.rotary_dim = 0;
        rope.long_factors.resize(8, 1.0);
    };
    EXPECT_GE(apart_with("phi4_mini", plant), kBroken);
}

TEST(PositionTeeth, RowsInTheWrongOrderShow) {
    LoadedModel model = load(folder_of("phi4_mini"), options_of("cpu", kContext));
    const auto source = folder::SourceModel::open(folder_of("phi4_mini"));
    model.weights->config.ropes.front().pairs = model::RopePairs::Neighbours;
    for (const auto role : {model::LinearRole::Q, model::LinearRole::K}) {
        auto weight = std::make_shared<const Tensor>(source.dense({role, 0}));
        model.weights->set_linear({role, 0}, {std::move(weight), {}}, *model.backend);
    }
    EXPECT_GE(max_abs_difference(all_logits(model, sequence_of("phi4_mini", 2)),
                                 expected_logits("phi4_mini", 2)),
              kBroken);
}

}  // namespace quarot::test

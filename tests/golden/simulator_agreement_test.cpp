// Real integers against the original program's simulator: every setting of quarot-reference.json
// that is to be compared, as docs/numerics.md defines agreement.
#include <cmath>
#include <filesystem>

#include "golden/agreement.h"
#include "support/checkout.h"

namespace quarot::test {

namespace {

struct Setting {
    std::string model;
    std::string name;
    int64_t seqlen = 0;
    int64_t windows = 0;
    double perplexity = 0.0;
    double noise = 0.0;
    std::vector<std::string> flags;
};

// One flag that takes a value, as the command line reads it; an unknown flag throws.
void apply(Recipe& recipe, const std::string& flag, const std::string& value) {
    const auto number = [&] { return std::stoi(value); };
    if (flag == "--rotate" || flag == "--calib") return;  // read before, known from the model
    if (flag == "--method") {
        recipe.weights.method = value;
    } else if (flag == "--seed") {
        recipe.rotation.seed = static_cast<uint32_t>(number());
    } else if (flag == "--w-bits") {
        recipe.weights.bits = number();
    } else if (flag == "--a-bits") {
        recipe.activations.bits = number();
    } else if (flag == "--k-bits") {
        recipe.k.bits = number();
    } else if (flag == "--v-bits") {
        recipe.v.bits = number();
    } else if (flag == "--down-bits") {
        recipe.down_bits = number();
    } else if (flag == "--group-size") {
        recipe.weights.group_size = number();
    } else if (flag == "--a-group-size") {
        recipe.activations.group_size = number();
    } else if (flag == "--damp") {
        recipe.weights.damp = std::stod(value);
    } else if (flag == "--nsamples") {
        recipe.calibration.n_samples = number();
    } else if (flag == "--seqlen") {
        recipe.calibration.seqlen = number();
    } else if (flag == "--calib-windows" && value == "first") {
        recipe.calibration.windows = CalibrationWindows::First;
    } else {
        fail(ErrorCode::Usage, "this test does not know the flag {} {}", flag, value);
    }
}

// The recipe of a setting's flags.
Recipe recipe_of(const std::vector<std::string>& flags) {
    const auto rotate = std::find(flags.begin(), flags.end(), "--rotate");
    const bool rotated = rotate == flags.end() || *(rotate + 1) != "none";
    Recipe recipe = named_recipe(rotated ? "quarot-rtn" : "rtn");
    if (rotated) recipe.storage = DType::F32;
    for (size_t i = 0; i < flags.size(); ++i) {
        if (flags[i] == "--w-asym") {
            recipe.weights.symmetric = false;
        } else if (flags[i] == "--act-order") {
            recipe.weights.act_order = true;
        } else {
            apply(recipe, flags[i], flags.at(i + 1));
            ++i;
        }
    }
    return recipe;
}

std::vector<Setting> settings_of(const std::string& model) {
    std::vector<Setting> settings;
    const std::string file = in_checkout("../shared/models/" + model + "/quarot-reference.json");
    if (!std::filesystem::exists(file)) return settings;
    const auto reference = io::Json::parse_file(file);
    for (const auto& entry : reference.at("settings").as_array()) {
        std::vector<std::string> flags;
        for (const auto& flag : entry.at("cli").as_array()) flags.push_back(flag.as_string());
        if (!entry.at("compare").as_bool()) continue;
        settings.push_back({model, entry.at("name").as_string(), entry.at("seqlen").as_int(),
                            entry.at("windows").as_int(), entry.at("ppl").as_double(),
                            entry.at("noise").as_double(), flags});
    }
    return settings;
}

std::vector<Setting> all_settings() {
    auto settings = settings_of("tiny-novels");
    const auto more = settings_of("smollm2-135m");
    settings.insert(settings.end(), more.begin(), more.end());
    return settings;
}

std::string test_name(const testing::TestParamInfo<Setting>& test) {
    std::string name =
        test.param.model + "_" + std::to_string(test.param.seqlen) + "_" + test.param.name;
    std::replace_if(
        name.begin(), name.end(), [](unsigned char c) { return !std::isalnum(c); }, '_');
    return name;
}

class SimulatorAgreement : public testing::TestWithParam<Setting> {};

}  // namespace

TEST_P(SimulatorAgreement, LogPerplexityWithinTheSimulatorsOwnNoise) {
    const Setting& setting = GetParam();
    QUAROT_NEED(model_folder(setting.model), setting.model);
    QUAROT_NEED(evaluation_text(setting.model), "the text of " + setting.model);
    const double ours =
        perplexity_of(setting.model, recipe_of(setting.flags), setting.seqlen, setting.windows);
    const double difference = std::fabs(std::log(ours) - std::log(setting.perplexity));
    const double limit = std::max(0.002, 2.0 * setting.noise);
    std::printf("AGREEMENT %s %lld %s ours %.4f theirs %.4f |dln| %.5f limit %.5f\n",
                setting.model.c_str(), static_cast<long long>(setting.seqlen), setting.name.c_str(),
                ours, setting.perplexity, difference, limit);
    EXPECT_LE(difference, limit);
}

INSTANTIATE_TEST_SUITE_P(Settings, SimulatorAgreement, testing::ValuesIn(all_settings()),
                         test_name);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(SimulatorAgreement);

TEST(SimulatorReference, ValuesAreHere) {
    if (all_settings().empty()) {
        std::fprintf(stderr, "SKIPPED: the simulator's reference values are not here\n");
        GTEST_SKIP() << "the simulator's reference values are not here";
    }
    EXPECT_GE(all_settings().size(), 30u);
}

}  // namespace quarot::test

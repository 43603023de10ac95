// Full-precision logits and greedy tokens against those of another implementation in fp32.
#include <cmath>

#include "golden/golden_support.h"
#include "io/safetensors.h"
#include "tokenizer/tokenizer.h"

namespace quarot::test {

namespace {

constexpr double kMaxLogitDifference = 2e-4;
constexpr double kTie = 1e-3;  // a gap below this makes another greedy choice no error

struct Case {
    std::string model;
    std::string device;
};

class ReferenceLogits : public testing::TestWithParam<Case> {};

std::vector<float> stored_logits(const io::SafetensorsFile& file, const std::string& name) {
    const io::TensorInfo& info = file.tensors().at(name);
    std::vector<float> values(static_cast<size_t>(info.bytes) / sizeof(float));
    file.read(info, 0, std::as_writable_bytes(std::span(values)));
    return values;
}

void expect_greedy(LoadedModel& model, const std::vector<int32_t>& prompt, const io::Json& entry) {
    const auto expected = int_list(entry.at("greedy"));
    const auto& gaps = entry.at("greedy_gap").as_array();
    const auto vocab = static_cast<size_t>(model.weights->config.vocab);
    std::vector<float> logits(vocab);
    runtime::ScopedRequest request(
        *model.engine, {.tokens = prompt, .max_tokens = std::ssize(prompt) + std::ssize(expected)},
        [&](const runtime::StepRows& rows) { rows.logits(0, 1, logits); });
    for (size_t i = 0; i < expected.size(); ++i) {
        request.wait();
        const auto best =
            static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
        if (best != expected[i]) {
            EXPECT_LT(gaps[i].as_double(), kTie) << "greedy token " << i;
            break;
        }
        request.give(expected[i]);
    }
}

}  // namespace

TEST_P(ReferenceLogits, TokensLogitsAndGreedyTextAgree) {
    const auto& [name, device] = GetParam();
    const std::string folder = model_folder(name), reference = reference_folder(name);
    QUAROT_NEED(folder, name);
    QUAROT_NEED(reference, name + "'s reference values");
    const auto json = io::Json::parse_file(reference + "/reference.json");
    const io::SafetensorsFile tensors(reference + "/reference.safetensors");
    const auto tokenizer = tokenizer::Tokenizer::load(folder);
    LoadedModel model = load(folder, {.device = device, .work = DType::F32, .context = 512});
    const auto vocab = static_cast<size_t>(model.weights->config.vocab);

    for (const auto& [prompt, entry] : json.at("prompts").as_object()) {
        SCOPED_TRACE(prompt);
        const auto ids = int_list(entry.at("ids"));
        EXPECT_EQ(tokenizer.encode(entry.at("text").as_string()), ids);
        const auto from = static_cast<size_t>(entry.at("logits_from_position").as_int());
        auto logits = all_logits(model, ids);
        logits.erase(logits.begin(), logits.begin() + static_cast<std::ptrdiff_t>(from * vocab));
        const double difference =
            max_abs_difference(logits, stored_logits(tensors, prompt + ".logits"));
        RecordProperty("max_abs_difference." + prompt, std::to_string(difference));
        std::printf("%s %s %s: largest difference of a logit %.2e\n", name.c_str(), device.c_str(),
                    prompt.c_str(), difference);
        EXPECT_LE(difference, kMaxLogitDifference);
        if (device != "reference") expect_greedy(model, ids, entry);
    }
}

namespace {

std::vector<Case> cases() {
    std::vector<Case> list = {{"tiny-novels", "reference"}, {"stories260K", "reference"}};
    for (const std::string& device : fast_devices()) {
        for (const char* model : {"tiny-novels", "stories260K", "smollm2-135m"}) {
            list.push_back({model, device});
        }
    }
    return list;
}

}  // namespace

INSTANTIATE_TEST_SUITE_P(Models, ReferenceLogits, testing::ValuesIn(cases()), [](const auto& test) {
    std::string name = test.param.model + "_" + test.param.device;
    std::erase(name, '-');
    return name;
});

}  // namespace quarot::test

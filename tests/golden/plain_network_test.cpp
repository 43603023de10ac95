// Are logits and divergences those of the network as it is written down? Against fp64 loops.
#include "support/plain_network.h"

#include <algorithm>
#include <cmath>

#include "eval/perplexity.h"
#include "golden/golden_support.h"
#include "support/temp_dir.h"

namespace quarot::test {

namespace {

constexpr double kLogitLimit = 2e-5;  // of the largest logit

std::vector<int32_t> some_ids(int64_t n) {
    std::vector<int32_t> ids;
    for (int64_t i = 0; i < n; ++i) ids.push_back(static_cast<int32_t>((i * i * 7 + 3 * i) % 272));
    return ids;
}

// Natural logarithms of the probabilities of one row.
std::vector<double> log_softmax(std::span<const double> logits) {
    double sum = 0.0;
    for (const double logit : logits) sum += std::exp(logit);
    std::vector<double> result;
    for (const double logit : logits) result.push_back(logit - std::log(sum));
    return result;
}

// Mean of KL(base || model) over the first n rows.
double mean_divergence(std::span<const double> base, std::span<const double> model, int64_t n,
                       int64_t vocab) {
    double sum = 0.0;
    for (int64_t row = 0; row < n; ++row) {
        const auto p = log_softmax(base.subspan(row * vocab, vocab));
        const auto q = log_softmax(model.subspan(row * vocab, vocab));
        for (int64_t i = 0; i < vocab; ++i) sum += std::exp(p[i]) * (p[i] - q[i]);
    }
    return sum / static_cast<double>(n);
}

}  // namespace

TEST(PlainNetwork, LogitsAgreeForEveryEps) {
    for (const double eps : {1e-6, 1e-5, 1e-2}) {
        const TempDir dir;
        const TinyModelOptions options = {
            .rms_eps = eps, .attention_bias = true, .mlp_bias = true, .seed = 11};
        const TinyModel tiny = make_tiny_model(options);
        write_model(tiny, dir / "model");
        const std::vector<int32_t> ids = some_ids(40);
        const PlainRun plain = run_plain(tiny, options, ids);
        for (const char* device : {"reference", "cpu"}) {
            LoadedModel model = load(dir / "model", {.device = device, .context = 64});
            const std::vector<float> logits = all_logits(model, ids);
            ASSERT_EQ(logits.size(), plain.logits.size());
            double difference = 0.0, largest = 0.0;
            for (size_t i = 0; i < logits.size(); ++i) {
                difference = std::max(difference, std::fabs(logits[i] - plain.logits[i]));
                largest = std::max(largest, std::fabs(plain.logits[i]));
            }
            EXPECT_LE(difference, kLogitLimit * largest) << device << ", eps " << eps;
        }
    }
}

// Logits eight times as far apart: from here to the flat logits of another model is farther than
// back.
void sharpen(TinyModel& model) {
    StoredTensor& head = model.tensors.at("lm_head.weight");
    std::vector<float> values = values_of(head);
    for (float& value : values) value *= 8.0f;
    head = make_stored_tensor(head.dtype, head.shape, values);
}

TEST(PlainNetwork, DivergenceIsOfTheModelFromTheBase) {
    const TempDir dir;
    const std::vector<int32_t> ids = some_ids(30);
    const TinyModelOptions options[] = {{.seed = 21}, {.seed = 22}};
    std::vector<double> logits[2];
    LoadedModel models[2];  // on one backend
    for (size_t i = 0; i < 2; ++i) {
        TinyModel tiny = make_tiny_model(options[i]);
        if (i == 1) sharpen(tiny);
        const std::string folder = dir / std::to_string(i);
        write_model(tiny, folder);
        logits[i] = run_plain(tiny, options[i], ids).logits;
        if (i == 0) {
            models[i] = load(folder, {.context = 30});
        } else {
            models[i] = load_on(*models[0].backend, folder, {.context = 30});
        }
    }
    const double expected = mean_divergence(logits[1], logits[0], 29, 272);
    const double turned = mean_divergence(logits[0], logits[1], 29, 272);
    ASSERT_GT(std::fabs(expected - turned), 0.01 * expected) << "the direction must show";
    const eval::PerplexityResult result =
        eval::perplexity(*models[0].engine, models[1].engine.get(), ids, {.seqlen = 30});
    ASSERT_TRUE(result.divergence);
    EXPECT_NEAR(result.divergence->kl.value, expected, 1e-4 * expected);
}

}  // namespace quarot::test

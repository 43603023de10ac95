// One meaning: whole models on the reference backend against the cpu backend, and on that against
// the cuda backend.
#include <cmath>

#include "golden/agreement.h"

namespace quarot::test {

namespace {

constexpr int64_t kSeqlen = 1024;

// |ln cpu - ln reference| of tiny-novels.
double difference(const Recipe& recipe, int64_t windows) {
    const double reference = perplexity_of("tiny-novels", recipe, kSeqlen, windows, "reference");
    const double cpu = perplexity_of("tiny-novels", recipe, kSeqlen, windows, "cpu");
    std::printf("W%dA%dK%dV%d reference %.5f cpu %.5f\n", recipe.weights.bits,
                recipe.activations.bits, recipe.k.bits, recipe.v.bits, reference, cpu);
    return std::fabs(std::log(reference) - std::log(cpu));
}

}  // namespace

// Without quantized activations nothing amplifies rounding: equal to four digits.
TEST(BackendAgreement, UnquantizedActivationsGiveEqualPerplexity) {
    QUAROT_NEED(evaluation_text("tiny-novels"), "the text of tiny-novels");
    for (const int w_bits : {16, 4}) {
        Recipe recipe = named_recipe("quarot-rtn");
        recipe.weights.bits = w_bits;
        recipe.activations.bits = recipe.k.bits = recipe.v.bits = 16;
        EXPECT_LE(difference(recipe, 4), 5e-5) << w_bits;
    }
}

// Quantized activations: as the simulator's own runs differ among themselves (noise 0.003).
TEST(BackendAgreement, QuantizedModelsAgreeOverTheWholeText) {
    QUAROT_NEED(evaluation_text("tiny-novels"), "the text of tiny-novels");
    EXPECT_LE(difference(named_recipe("quarot-rtn"), 0), 0.006);
}

namespace {

struct Setting {
    const char* name;
    int weights, activations, cache;
    int64_t group_size = 0;
    double limit;  // of the mean of ln cuda - ln cpu; the simulator's own runs differ by as much
};
constexpr uint64_t kSeeds = 4;
constexpr Setting kSettings[] = {{"16 bits", 16, 16, 16, 0, 0.002},
                                 {"W8A8KV8", 8, 8, 8, 0, 0.002},
                                 {"W4A8KV4", 4, 8, 4, 0, 0.003},
                                 {"W4A4KV4", 4, 4, 4, 0, 0.003},
                                 {"W4A4KV4 128G", 4, 4, 4, 128, 0.003}};

}  // namespace

TEST(BackendAgreement, AGpuGivesThePerplexityOfTheCpu) {
    QUAROT_NEED(evaluation_text("tiny-novels"), "the text of tiny-novels");
    QUAROT_NEED(kernels::gpus().empty() ? std::string() : std::string("cuda"), "a GPU");
    for (const Setting& setting : kSettings) {
        Recipe recipe = named_recipe("quarot-rtn");
        recipe.weights.bits = setting.weights;
        recipe.activations.bits = setting.activations;
        recipe.k.bits = recipe.v.bits = setting.cache;
        recipe.weights.group_size = recipe.activations.group_size = setting.group_size;
        double sum = 0.0;
        for (recipe.rotation.seed = 0; recipe.rotation.seed < kSeeds; ++recipe.rotation.seed) {
            const double cpu = perplexity_of("tiny-novels", recipe, kSeqlen, 0, "cpu");
            const double cuda = perplexity_of("tiny-novels", recipe, kSeqlen, 0, "cuda");
            std::printf("%s: cpu %.5f, cuda %.5f\n", setting.name, cpu, cuda);
            sum += std::log(cuda) - std::log(cpu);
        }
        EXPECT_LE(std::fabs(sum / kSeeds), setting.limit) << setting.name;
    }
}

}  // namespace quarot::test

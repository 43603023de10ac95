// One meaning: whole models on the reference backend against the cpu backend.
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

}  // namespace quarot::test

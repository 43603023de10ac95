// 8 and 6 bits lose next to nothing on the bundled model; 4 bits agree with the original program.
#include <cmath>

#include "golden/agreement.h"

namespace quarot::test {

namespace {

constexpr double kFullPrecision = 36.83575866947168;  // models/tiny-novels/reference.json
constexpr int64_t kSeqlen = 1024;

double tiny_novels(const std::string& recipe) {
    const double perplexity = perplexity_of("tiny-novels", named_recipe(recipe), kSeqlen, 0);
    std::printf("tiny-novels %s: %.4f, full precision %.4f\n", recipe.c_str(), perplexity,
                kFullPrecision);
    return perplexity;
}

}  // namespace

TEST(LosslessBits, EightBitsWithinOnePercent) {
    QUAROT_NEED(evaluation_text("tiny-novels"), "the text of tiny-novels");
    EXPECT_NEAR(tiny_novels("w8a8kv8") / kFullPrecision, 1.0, 0.01);
}

TEST(LosslessBits, SixBitsWithinOneAndAHalfPercent) {
    QUAROT_NEED(evaluation_text("tiny-novels"), "the text of tiny-novels");
    EXPECT_NEAR(tiny_novels("w6a6kv6") / kFullPrecision, 1.0, 0.015);
}

// The simulator's value and noise for quarot-rtn-w4a4kv4 at seqlen 1024; the slow tests hold all.
TEST(LosslessBits, FourBitsAgreeWithTheSimulator) {
    QUAROT_NEED(evaluation_text("tiny-novels"), "the text of tiny-novels");
    EXPECT_NEAR(std::log(tiny_novels("quarot-rtn")), std::log(46.399), 0.006);
}

}  // namespace quarot::test

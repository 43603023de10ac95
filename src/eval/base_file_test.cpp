#include "eval/base_file.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <random>

#include "core/expect_error.h"
#include "support/temp_dir.h"
#include "tensor/log_softmax.h"

namespace quarot::eval {

namespace {

using Logits = std::vector<float>;

Logits some_logits(int64_t vocab, uint32_t seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0.0f, 3.0f);
    Logits logits(static_cast<size_t>(vocab));
    for (float& logit : logits) logit = normal(random);
    return logits;
}

// The same with noise: another model's.
Logits near(const Logits& logits, float spread, uint32_t seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0.0f, spread);
    Logits other = logits;
    for (float& logit : other) logit += normal(random);
    return other;
}

double exact(const Logits& base, const Logits& model) {
    return kl_divergence(base, log_sum_exp(base), model, log_sum_exp(model));
}

double compact(const Logits& base, const Logits& model, uint32_t seed = 0) {
    return compact_divergence(compacted(base, log_sum_exp(base), seed), model, log_sum_exp(model));
}

constexpr int64_t kVocab = 300;
constexpr int64_t kPositions = 3;

class BaseFileTest : public testing::Test {
  protected:
    BaseFileTest() {
        text_.protocol = Protocol::LlamaCpp;
        text_.windows = {{.inputs = {1, 2, 3, 4}, .targets = {3, 4}, .first_scored = 1},
                         {.inputs = {5, 6}, .targets = {299}, .first_scored = 1}};
        identity_ = identity_of(text_, "abc", 4, kVocab);
        identity_.model = "models/base";
        identity_.recipe = "none";
    }

    void write(BaseForm form) {
        std::filesystem::remove(path_);
        BaseWriter writer(path_, form, identity_);
        const int32_t targets[] = {3, 4, 299};
        for (uint32_t i = 0; i < kPositions; ++i) {
            const Logits logits = some_logits(kVocab, i);
            const double log_sum = log_sum_exp(logits);
            const auto target = static_cast<size_t>(targets[i]);
            writer.add(logits, log_sum, targets[i], log_sum - static_cast<double>(logits[target]));
        }
        writer.finish();
    }

    // Bytes at an offset of a tensor.
    template <typename T>
    void overwrite(const std::string& tensor, int64_t element, T value) {
        const auto info = io::SafetensorsFile(path_).tensors().at(tensor);
        std::fstream file(path_, std::ios::binary | std::ios::in | std::ios::out);
        file.seekp(info.offset + element * int64_t{sizeof(T)});
        file.write(reinterpret_cast<const char*>(&value), sizeof(T));
    }

    void expect_bad(int64_t position, const std::vector<std::string>& mentions) {
        const BaseFile file(path_);
        BaseRow row;
        expect_error(ErrorCode::Corrupt, mentions, [&] { file.read(position, row); });
    }

    const test::TempDir dir_;
    const std::string path_ = dir_.path() + "/base";
    ScoredText text_;
    BaseIdentity identity_;
};

}  // namespace

TEST(CompactRow, HasTheLikeliestInOrderAndTheRest) {
    Logits logits(1000, -20.0f);
    logits[7] = 2.0f;
    logits[900] = 2.0f;
    logits[3] = 3.5f;
    const double log_sum = log_sum_exp(logits);
    const CompactRow row = compacted(logits, log_sum, 0);
    ASSERT_EQ(std::ssize(row.ids), kCompactTokens);
    EXPECT_EQ(row.ids[0], 3);
    EXPECT_EQ(row.ids[1], 7) << "of equal ones the lowest first";
    EXPECT_EQ(row.ids[2], 900);
    EXPECT_EQ(row.ids[3], 0);
    EXPECT_EQ(row.logits[0], 0.0f);
    EXPECT_EQ(row.logits[1], -1.5f);
    EXPECT_NEAR(row.rest, (1000 - 256) * std::exp(-20.0 - log_sum), 1e-14);
}

TEST(CompactRow, OfASmallVocabularyIsAllOfIt) {
    const Logits base = {0.0f, 1.0f, -2.0f}, model = {0.5f, 0.5f, 0.5f};
    const CompactRow row = compacted(base, log_sum_exp(base), 0);
    EXPECT_EQ(row.rest, 0.0f);
    EXPECT_TRUE(row.sampled_ids.empty());
    EXPECT_NEAR(compact(base, model), exact(base, model), 1e-9);
}

// 256 tokens of logit 0, one of -1 and one of -2: each step of the sample takes either. By hand.
TEST(CompactRow, SamplesTheRestByItsProbabilities) {
    Logits base(258, 0.0f);
    base[256] = -1.0f;
    base[257] = -2.0f;
    const CompactRow row = compacted(base, log_sum_exp(base), 5);
    const double share = 1.0 / (1.0 + std::exp(-1.0));  // 0.731 of the rest
    ASSERT_EQ(std::ssize(row.sampled_ids), kSampledTokens);
    const auto n = std::count(row.sampled_ids.begin(), row.sampled_ids.end(), 256);
    EXPECT_NEAR(static_cast<double>(n), 32 * share, 1.0);
    EXPECT_EQ(row.sampled_ids.front(), 256);
    EXPECT_NEAR(row.sampled_log_p.front(), std::log(share), 1e-6);
    EXPECT_EQ(row.sampled_ids.back(), 257);
    EXPECT_NEAR(row.sampled_log_p.back(), std::log(1 - share), 1e-6);
}

// The model has token 256 likelier. The parts of the sum, and their mean over seeds.
TEST(CompactRow, EstimatesTheDivergenceWithinTheRest) {
    Logits base(258, 0.0f);
    base[256] = base[257] = -1.0f;
    Logits model = base;
    model[256] = 1.0f;
    const double e = std::exp(1.0);
    const double p = 256.0 / (256.0 + 2.0 / e), q = 256.0 / (256.0 + e + 1.0 / e);
    const double merged = p * std::log(p / q) + (1 - p) * std::log((1 - p) / (1 - q));
    const double r = 2.0 * e / (e + 1.0 / e);  // 256: its share of the rest goes from 1/2 to r/2
    const double within = 0.5 * (r - 1 - std::log(r)) + 0.5 * (1 - r - std::log(2 - r));
    EXPECT_NEAR(exact(base, model), merged + (1 - p) * within, 1e-9);
    EXPECT_NEAR(compact(base, model), merged + (1 - p) * within, 1e-9)
        << "16 of the 32 steps fall on each";
}

TEST(CompactRow, OfTheBaseItselfIsZeroButForRounding) {
    for (const uint32_t seed : {1u, 2u, 3u}) {
        const Logits base = some_logits(5000, seed);
        EXPECT_NEAR(compact(base, base), 0.0, 2e-6);
        EXPECT_GE(compact(base, base), -1e-9);
    }
}

TEST(CompactRow, IsRightOnAverage) {
    for (const float spread : {0.05f, 0.3f, 1.0f}) {
        double all = 0.0, some = 0.0, least = 1.0;
        for (uint32_t seed = 0; seed < 200; ++seed) {
            const Logits base = some_logits(5000, seed);
            const Logits model = near(base, spread, 1000 + seed);
            all += exact(base, model);
            some += compact(base, model, seed);
            least = std::min(least, compact(base, model, seed));
        }
        EXPECT_NEAR(some / all, 1.0, 0.03) << spread;
        EXPECT_GT(least, 0.0);
    }
}

TEST(CompactRow, TakesLogitsBeyondTheRangeOfHalves) {
    Logits logits(300, -3e38f);
    logits[5] = 0.0f;
    const CompactRow row = compacted(logits, log_sum_exp(logits), 0);
    EXPECT_EQ(row.ids[0], 5);
    EXPECT_TRUE(std::isfinite(row.logits.back()));
    EXPECT_EQ(compact(logits, logits), 0.0);
}

TEST_F(BaseFileTest, ExactFormGivesTheVeryDivergence) {
    write(BaseForm::Exact);
    const BaseFile file(path_);
    EXPECT_EQ(file.form(), BaseForm::Exact);
    EXPECT_EQ(file.identity().model, "models/base");
    file.require_made_for(identity_);
    BaseRow row;
    file.read(2, row);
    EXPECT_EQ(row.target, 299);
    const Logits base = some_logits(kVocab, 2), model = near(base, 1.0f, 9);
    EXPECT_EQ(row.nll, log_sum_exp(base) - static_cast<double>(base[299]));
    EXPECT_EQ(divergence_of(row, file.form(), model, log_sum_exp(model)).kl, exact(base, model));
}

TEST_F(BaseFileTest, CompactFormGivesTheCompactDivergence) {
    write(BaseForm::Compact);
    const BaseFile file(path_);
    BaseRow row;
    file.read(1, row);
    EXPECT_EQ(row.target, 4);
    const Logits base = some_logits(kVocab, 1), model = near(base, 1.0f, 9);
    EXPECT_NEAR(row.nll, log_sum_exp(base) - static_cast<double>(base[4]), 1e-5);
    const RowDivergence found = divergence_of(row, file.form(), model, log_sum_exp(model));
    EXPECT_EQ(found.kl, compact(base, model, 1)) << "the position is the seed";
    Logits turned = base;
    turned[static_cast<size_t>(row.compact.ids[1])] += 100.0f;
    EXPECT_FALSE(divergence_of(row, file.form(), turned, log_sum_exp(turned)).same_top1);
    EXPECT_TRUE(divergence_of(row, file.form(), base, log_sum_exp(base)).same_top1);
}

TEST_F(BaseFileTest, NamesWhatItWasNotMadeFor) {
    write(BaseForm::Compact);
    const BaseFile file(path_);
    const auto expect_refused = [&](const std::vector<std::string>& mentions, auto&& change) {
        BaseIdentity run = identity_;
        change(run);
        expect_error(ErrorCode::Usage, mentions, [&] { file.require_made_for(run); });
    };
    expect_refused({"vocabulary", "300", "301", "anew with `save_kl_base`"},
                   [](BaseIdentity& run) { run.vocab = 301; });
    expect_refused({"text", "abc", "abd"}, [](BaseIdentity& run) { run.text_sha256 = "abd"; });
    expect_refused({"protocol", "quarot"}, [](BaseIdentity& run) { run.protocol = "quarot"; });
    expect_refused({"windows of", "512"}, [](BaseIdentity& run) { run.seqlen = 512; });
    expect_refused({"number of windows", "7"}, [](BaseIdentity& run) { run.n_windows = 7; });
    ScoredText other = text_;
    other.windows[0].inputs[0] = 9;  // as another token that begins texts
    expect_refused({"tokens"}, [&](BaseIdentity& run) {
        run.tokens_xxh3 = identity_of(other, "abc", 4, kVocab).tokens_xxh3;
    });
}

TEST_F(BaseFileTest, RefusesFilesThatAreNotWholeOrNoneOfThese) {
    write(BaseForm::Compact);
    const auto size = std::filesystem::file_size(path_);
    std::filesystem::resize_file(path_, size - 1);
    expect_error(ErrorCode::Corrupt, {path_}, [&] { BaseFile file(path_); });
    std::ofstream(path_, std::ios::binary) << "_logits_";
    expect_error(ErrorCode::Corrupt, {path_}, [&] { BaseFile file(path_); });
    std::filesystem::remove(path_);
    {
        io::SafetensorsWriter writer(path_, {});
        writer.finish();
    }
    expect_error(ErrorCode::Corrupt, {"quarot_kl_base"}, [&] { BaseFile file(path_); });
    expect_error(ErrorCode::NotFound, {"gone"}, [&] { BaseFile file(path_ + "gone"); });
}

TEST_F(BaseFileTest, RefusesMetadataThatItsTensorsDoNotMatch) {
    std::filesystem::remove(path_);
    {
        io::SafetensorsWriter writer(path_, {{"targets", DType::I32, {0}}},
                                     {{"quarot_kl_base", "1"},
                                      {"form", "exact"},
                                      {"model", ""},
                                      {"recipe", ""},
                                      {"protocol", ""},
                                      {"text_sha256", ""},
                                      {"tokens_xxh3", ""},
                                      {"seqlen", "4"},
                                      {"windows", "1"},
                                      {"positions", "9223372036854775807"},
                                      {"vocabulary", "9223372036854775807"}});
        writer.finish();
    }
    expect_error(ErrorCode::Corrupt, {"targets", "[0]", "9223372036854775807"},
                 [&] { BaseFile file(path_); });
}

TEST_F(BaseFileTest, RefusesNumbersThatNoModelGives) {
    const auto expect_refused = [&](const std::string& tensor, int64_t element, auto value,
                                    const std::string& mention) {
        write(BaseForm::Compact);
        overwrite(tensor, element, value);
        expect_bad(1, {"position 1", mention});
    };
    expect_refused("targets", 1, int32_t{300}, "token 300");
    expect_refused("targets", 1, int32_t{-1}, "token -1");
    expect_refused("ids", kCompactTokens + 5, int32_t{300}, "outside");
    expect_refused("ids", kCompactTokens + 5, int32_t{-7}, "outside");
    write(BaseForm::Compact);
    BaseRow row;
    BaseFile(path_).read(1, row);
    expect_refused("ids", kCompactTokens + 5, row.compact.ids[6], "twice");
    expect_refused("logits", kCompactTokens, uint16_t{0xbc00}, "fall from 0");        // -1 first
    expect_refused("logits", kCompactTokens + 9, uint16_t{0x3c00}, "fall from 0");    // 1
    expect_refused("logits", kCompactTokens + 255, uint16_t{0xfc00}, "fall from 0");  // -Inf
    expect_refused("logits", kCompactTokens + 3, uint16_t{0x7e00}, "fall from 0");    // NaN
    expect_refused("rest", 1, 1.5f, "rest");
    expect_refused("rest", 1, -0.1f, "rest");
    expect_refused("sampled_ids", kSampledTokens + 3, int32_t{300}, "of the rest");
    expect_refused("sampled_ids", kSampledTokens + 3, int32_t{-1}, "of the rest");
    expect_refused("sampled_ids", kSampledTokens + 3, row.compact.ids[0], "of the rest");
    expect_refused("sampled_log_p", kSampledTokens + 3, 0.5f, "probability that cannot be");
    expect_refused("sampled_log_p", kSampledTokens + 3, -std::numeric_limits<float>::infinity(),
                   "probability that cannot be");
    expect_refused("sampled_log_p", kSampledTokens + 3, -1e30f, "probability that cannot be");
    expect_refused("nll", 1, -1.0f, "log-likelihood");
    expect_refused("nll", 1, std::numeric_limits<float>::quiet_NaN(), "log-likelihood");
    write(BaseForm::Exact);
    overwrite("logits", kVocab + 17, std::numeric_limits<float>::infinity());
    expect_bad(1, {"position 1", "NaN or Inf"});
}

}  // namespace quarot::eval

#include "eval/llama_base.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>

#include "core/expect_error.h"
#include "support/temp_dir.h"
#include "tensor/log_softmax.h"

namespace quarot::eval {

namespace {

constexpr int64_t kLlamaSeqlen = 5, kLlamaVocab = 3,
                  kLlamaWindows = 2;  // 2 scored positions a window
constexpr int64_t kLlamaRows = 20 + 4 * kLlamaSeqlen * kLlamaWindows;  // where they begin
constexpr int64_t kRowBytes = 8 + 2 * 4;  // an odd vocabulary is filled up

class LlamaBaseTest : public testing::Test {
  protected:
    // Row i has the steps of 1 / (i + 1) nats from -8 on, codes 0, 1 and 5.
    LlamaBaseTest() {
        bytes_ = "_logits_";
        for (const int64_t size : {kLlamaSeqlen, kLlamaVocab, kLlamaWindows})
            append(static_cast<int32_t>(size));
        for (const int32_t token : {1, 1, 2, 0, 1, 2, 2, 1, 0, 2}) append(token);
        for (int i = 0; i < 4; ++i) {
            append(1.0f / static_cast<float>(i + 1));
            append(-8.0f);
            for (const uint16_t code : {uint16_t{0}, uint16_t{1}, uint16_t{5}, uint16_t{0xffff}}) {
                append(code);
            }
        }
        write();
        text_ = {.protocol = Protocol::LlamaCpp,
                 .windows = llama_cpp_windows(std::vector<int32_t>{1, 1, 2, 0, 1, 2, 2, 1, 0, 2},
                                              kLlamaSeqlen, 0, 0),
                 .documents = {}};
    }

    template <typename Number>
    void append(Number value) {
        bytes_.append(reinterpret_cast<const char*>(&value), sizeof(value));
    }
    template <typename Number>
    void put(int64_t offset, Number value) {
        std::memcpy(bytes_.data() + offset, &value, sizeof(value));
        write();
    }
    void write() const { std::ofstream(path_, std::ios::binary) << bytes_; }
    void expect_no_file(const std::vector<std::string>& mentions) const {
        expect_error(ErrorCode::Corrupt, mentions, [&] { LlamaBaseFile file(path_); });
    }
    void expect_bad_row(int64_t position, const std::vector<std::string>& mentions) const {
        const LlamaBaseFile file(path_);
        LlamaBaseRow row;
        expect_error(ErrorCode::Corrupt, mentions, [&] { file.read(position, row); });
    }
    void expect_refused(const std::vector<std::string>& mentions) const {
        const LlamaBaseFile file(path_);
        expect_error(ErrorCode::Usage, mentions,
                     [&] { file.require_made_for(text_, kLlamaSeqlen, kLlamaVocab); });
    }

    const test::TempDir dir_;
    const std::string path_ = dir_ / "base";
    std::string bytes_;
    ScoredText text_;
};

}  // namespace

TEST_F(LlamaBaseTest, HasARowForEachScoredPosition) {
    ASSERT_TRUE(LlamaBaseFile::is_one(path_));
    const LlamaBaseFile file(path_);
    EXPECT_EQ(file.vocab(), kLlamaVocab);
    ASSERT_EQ(file.n_positions(), 4);
    file.require_made_for(text_, kLlamaSeqlen, kLlamaVocab);
    LlamaBaseRow row;
    for (const auto& [position, target] : {std::pair{0, 0}, {1, 1}, {2, 0}, {3, 2}}) {
        file.read(position, row);
        EXPECT_EQ(row.target, target);
        EXPECT_EQ(row.step, 1.0f / static_cast<float>(position + 1));
        EXPECT_EQ(row.codes, (std::vector<uint16_t>{0, 1, 5}));
    }
}

// Log-probabilities -17, -2 and -0.5, of which the first is left out; the model's by hand.
TEST(LlamaBaseRow, LeavesOutWhatIsUnlikely) {
    const LlamaBaseRow base = {.target = 0, .step = 0.5f, .least = -17.0f, .codes = {0, 30, 33}};
    const std::vector<float> logits = {0.0f, std::log(2.0f), 0.0f};
    const double log_sum = std::log(4.0);
    const PositionPair pair = compare(base, logits, log_sum, 1.25);
    EXPECT_NEAR(pair.kl,
                std::exp(-2.0) * (-2.0 - std::log(0.5)) + std::exp(-0.5) * (-0.5 - std::log(0.25)),
                1e-7);
    EXPECT_EQ(pair.nll, 1.25);
    EXPECT_EQ(pair.base_nll, 17.0);
    EXPECT_FALSE(pair.same_top1);
}

TEST(LlamaBaseRow, OfTheModelItselfIsNearZero) {
    // 1 / 2 and twice 1 / 4, of which the first of equals counts as the likeliest.
    const LlamaBaseRow base = {
        .target = 1, .step = std::log(2.0f), .least = -2.0f * std::log(2.0f), .codes = {0, 1, 0}};
    const std::vector<float> logits = {0.0f, std::log(2.0f), 0.0f};
    const PositionPair pair = compare(base, logits, log_sum_exp(logits), std::log(2.0));
    EXPECT_NEAR(pair.kl, 0.0, 1e-6);
    EXPECT_NEAR(pair.base_nll, std::log(2.0), 1e-6);
    EXPECT_TRUE(pair.same_top1);
}

TEST_F(LlamaBaseTest, NamesWhatItWasNotMadeFor) {
    const LlamaBaseFile file(path_);
    expect_error(ErrorCode::Usage, {"vocabulary of 3", "4"},
                 [&] { file.require_made_for(text_, kLlamaSeqlen, 4); });
    expect_error(ErrorCode::Usage, {"windows of 5", "6"},
                 [&] { file.require_made_for(text_, 6, kLlamaVocab); });
    text_.windows[0].inputs.front() = 2;  // as either program's token that begins texts
    file.require_made_for(text_, kLlamaSeqlen, kLlamaVocab);
    text_.windows[1].inputs[3] = 1;
    expect_refused({path_, "token 0 at place 3 of window 1", "has 1", "another text"});
    text_.windows.pop_back();
    expect_refused({"2 windows, this run 1", "`windows`"});
    text_.protocol = Protocol::Quarot;
    expect_refused({"llama-perplexity", "`protocol` quarot", "llamacpp"});
}

TEST_F(LlamaBaseTest, RefusesFilesThatAreNotWholeOrNoneOfThese) {
    const std::string whole = bytes_;
    for (const size_t size : {whole.size() - 1, size_t{20}, size_t{12}, size_t{8}}) {
        bytes_ = whole.substr(0, size);
        write();
        EXPECT_TRUE(LlamaBaseFile::is_one(path_));
        expect_no_file({path_});
    }
    bytes_ = whole + " ";
    write();
    expect_no_file({"125 bytes", "124"});
    bytes_ = "_logit";
    write();
    EXPECT_FALSE(LlamaBaseFile::is_one(path_));
    expect_no_file({path_});
    expect_error(ErrorCode::NotFound, {"gone"}, [&] { LlamaBaseFile file(path_ + "gone"); });
}

TEST_F(LlamaBaseTest, RefusesSizesThatCannotBe) {
    constexpr int32_t kMost = std::numeric_limits<int32_t>::max();
    const std::string whole = bytes_;
    for (const auto& [offset, value] : {std::pair{8, 2},
                                        {8, -1},
                                        {8, kMost},
                                        {12, 0},
                                        {12, -3},
                                        {12, kMost},
                                        {16, 0},
                                        {16, -1},
                                        {16, kMost}}) {
        bytes_ = whole;
        put(offset, int32_t{value});
        expect_no_file({path_, std::to_string(value)});
    }
    for (const int offset : {8, 12, 16}) put(offset, kMost);
    expect_no_file({path_});
}

TEST_F(LlamaBaseTest, RefusesNumbersThatNoModelGives) {
    const std::string whole = bytes_;
    const auto expect_bad = [&](int64_t offset, auto value, const std::string& mention) {
        bytes_ = whole;
        put(offset, value);
        expect_bad_row(1, {path_, "position 1", mention});
    };
    constexpr int64_t kRow = kLlamaRows + kRowBytes;
    expect_bad(20 + 4 * 4, int32_t{3}, "outside the vocabulary");
    expect_bad(20 + 4 * 4, int32_t{-1}, "outside the vocabulary");
    expect_bad(kRow, std::numeric_limits<float>::quiet_NaN(), "not finite");
    expect_bad(kRow, std::numeric_limits<float>::infinity(), "not finite");
    expect_bad(kRow, -1.0f, "not finite");
    expect_bad(kRow + 4, -std::numeric_limits<float>::infinity(), "not finite");
    expect_bad(kRow + 4, 1.0f, "above 1");
    expect_bad(kRow + 8, uint16_t{0xffff}, "above 1");
}

}  // namespace quarot::eval

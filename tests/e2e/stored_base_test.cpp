// quarot perplexity --save-kl-base and --kl-base with what it wrote.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "e2e/expectations.h"
#include "e2e/model_surgery.h"
#include "e2e/program.h"
#include "eval/base_file.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace quarot::test {
namespace {

using Words = std::vector<std::string>;

class StoredBase : public testing::Test {
  protected:
    void SetUp() override {
        write_tiny_model(model_);
        write_bytes(text_, std::string(100, 'a') + "\n" + std::string(99, 'b'));
    }

    Outcome perplexity(const Words& more) const {
        Words words = {"perplexity", model_, "--text", text_, "--seqlen", "64", "--json"};
        words.insert(words.end(), more.begin(), more.end());
        return run_program(words);
    }
    io::Json save(const Words& more) const {
        Words words = {"--save-kl-base", base_};
        words.insert(words.end(), more.begin(), more.end());
        const Outcome outcome = perplexity(words);
        expect_success(outcome);
        return outcome.json();
    }
    void expect_refused(const Words& more, int exit_code,
                        const std::vector<std::string>& mentions) const {
        const Outcome outcome = perplexity(more);
        EXPECT_EQ(outcome.exit_code, exit_code) << outcome.err;
        EXPECT_TRUE(outcome.out.empty());
        for (const std::string& mention : mentions) {
            EXPECT_NE(outcome.err.find(mention), std::string::npos)
                << mention << " in " << outcome.err;
        }
    }

    // The base's predictions as llama-perplexity would write them; it holds all logits.
    std::string as_llama_file() const {
        const eval::BaseFile base(base_);
        const eval::BaseIdentity& made = base.identity();
        std::string bytes = "_logits_";
        for (const int64_t size : {made.seqlen, made.vocab, made.n_windows}) {
            append(bytes, static_cast<int32_t>(size));
        }
        const io::Json tokens = run_program({"tokenize", model_, "--text", text_, "--json"}).json();
        for (int64_t i = 0; i < made.seqlen * made.n_windows; ++i) {
            const io::Json& id = tokens.at("ids").as_array()[static_cast<size_t>(i)];
            append(bytes, static_cast<int32_t>(id.as_int()));
        }
        eval::BaseRow row;
        for (int64_t i = 0; i < made.n_positions; ++i) {
            base.read(i, row);
            append_llama_row(bytes, row);
        }
        return bytes;
    }
    // Step, the least log-probability, a code a token; none lies 16 nats below the likeliest here.
    static void append_llama_row(std::string& bytes, const eval::BaseRow& row) {
        const auto [least, most] = std::minmax_element(row.logits.begin(), row.logits.end());
        EXPECT_LT(*most - *least, 16.0f);
        const float step = (*most - *least) / 65535.0f;
        append(bytes, step);
        append(bytes, static_cast<float>(static_cast<double>(*least) - row.log_sum));
        for (const float logit : row.logits) {
            append(bytes, static_cast<uint16_t>(std::lround((logit - *least) / step)));
        }
    }
    template <typename Number>
    static void append(std::string& bytes, Number value) {
        bytes.append(reinterpret_cast<const char*>(&value), sizeof(value));
    }

    const TempDir dir_;
    const std::string model_ = dir_ / "model";
    const std::string text_ = dir_ / "text";
    const std::string base_ = dir_ / "base";
};

TEST_F(StoredBase, ExactOneGivesTheDivergenceOfTheModelBeside) {
    const std::vector<std::string> before = listing(dir_.path());
    const io::Json saved = save({"--kl-base-form", "exact"});
    EXPECT_EQ(saved.at("saved_kl_base").as_string(), base_);
    EXPECT_EQ(saved.at("perplexity").as_double(),
              perplexity({}).json().at("perplexity").as_double())
        << "saving changes nothing";
    EXPECT_EQ(listing(dir_.path()).size(), before.size() + 1) << "nothing else is left";
    const io::Json live = perplexity({"--a-bits", "3", "--kl-base", model_}).json();
    const io::Json stored = perplexity({"--a-bits", "3", "--kl-base", base_}).json();
    EXPECT_GT(live.at("kl_mean").as_double(), 0.0);
    EXPECT_EQ(stored.at("divergence").dump(), live.at("divergence").dump());
    EXPECT_EQ(stored.at("perplexity").as_double(), live.at("perplexity").as_double());
    EXPECT_EQ(stored.at("kl_base_form").as_string(), "exact");
    EXPECT_EQ(stored.at("kl_base_model").as_string(), model_);
    EXPECT_EQ(stored.at("kl_base_recipe").as_string(), "none");
}

TEST_F(StoredBase, CompactOneIsNear) {
    save({});
    const io::Json live = perplexity({"--a-bits", "3", "--kl-base", model_}).json();
    const io::Json stored = perplexity({"--a-bits", "3", "--kl-base", base_}).json();
    EXPECT_EQ(stored.at("kl_base_form").as_string(), "compact");
    const double exact = live.at("kl_mean").as_double(), compact = stored.at("kl_mean").as_double();
    EXPECT_NEAR(compact / exact, 1.0, 0.02) << "256 of 272 tokens, and a sample of the others";
    EXPECT_NE(compact, exact);
    EXPECT_NEAR(stored.at("base_perplexity").as_double(), live.at("base_perplexity").as_double(),
                1e-6 * live.at("base_perplexity").as_double());
    EXPECT_EQ(stored.at("same_top1").as_double(), live.at("same_top1").as_double());
    const double self = perplexity({"--kl-base", base_}).json().at("kl_mean").as_double();
    EXPECT_NEAR(self, 0.0, 1e-6);
}

TEST_F(StoredBase, ServesEveryProtocol) {
    save({"--protocol", "llamacpp"});
    const io::Json json = perplexity({"--protocol", "llamacpp", "--kl-base", base_}).json();
    EXPECT_EQ(json.at("divergence").at("positions").as_int(), 3 * 31);
    expect_refused({"--kl-base", base_}, 2, {"--kl-base", "protocol llamacpp", "quarot"});
}

TEST_F(StoredBase, MayBeAFileOfLlamaPerplexity) {
    save({"--protocol", "llamacpp", "--kl-base-form", "exact"});
    const std::string llama = dir_ / "llama";
    write_bytes(llama, as_llama_file());
    const Words same = {"--protocol", "llamacpp", "--kl-base", llama};
    const io::Json self = perplexity(same).json();
    EXPECT_EQ(self.at("kl_base_form").as_string(), "llamacpp");
    EXPECT_EQ(self.at("divergence").at("positions").as_int(), 3 * 31);
    EXPECT_NEAR(self.at("kl_mean").as_double(), 0.0, 1e-5);
    EXPECT_NEAR(self.at("base_perplexity").as_double(), self.at("perplexity").as_double(), 1e-2);
    const Words other = {"--protocol", "llamacpp", "--a-bits", "3", "--kl-base"};
    const auto divergence = [&](const std::string& base) {
        Words words = other;
        words.push_back(base);
        return perplexity(words).json().at("divergence");
    };
    const io::Json exact = divergence(base_), theirs = divergence(llama);
    for (const char* key : {"kl", "rms_delta_p", "perplexity_ratio"}) {
        const double value = exact.at(key).as_double();
        EXPECT_NEAR(theirs.at(key).as_double(), value, 1e-3 * std::abs(value)) << key;
    }
}

TEST_F(StoredBase, IsRefusedWhereLlamaPerplexityMadeItOfSomethingElse) {
    save({"--protocol", "llamacpp", "--kl-base-form", "exact"});
    const std::string llama = dir_ / "llama";
    write_bytes(llama, as_llama_file());
    expect_refused({"--kl-base", llama}, kUsage, {llama, "--protocol", "llamacpp"});
    expect_refused({"--kl-base", llama, "--protocol", "llamacpp", "--windows", "2"}, kUsage,
                   {"3 windows", "this run 2", "--windows"});
    truncate_by(llama, 1);
    expect_refused({"--kl-base", llama, "--protocol", "llamacpp"}, kCorrupt, {llama, "bytes"});
    write_bytes(llama, as_llama_file());
    write_bytes(text_, std::string(200, 'a'));
    expect_refused({"--kl-base", llama, "--protocol", "llamacpp"}, kUsage, {llama, "another text"});
}

TEST_F(StoredBase, IsRefusedWhereItIsOfSomethingElse) {
    save({});
    expect_refused({"--kl-base", base_, "--windows", "2"}, 2, {"number of windows of 3", "2"});
    expect_refused({"--kl-base", base_, "--seqlen", "32"}, 2, {"windows of 64", "32"});
    write_bytes(model_ + "/tokenizer_config.json", R"({"bos_token": "<s>"})");
    expect_refused({"--kl-base", base_, "--tokenizer-bos", "on"}, 2, {base_, "tokens of digest"});
    write_bytes(text_, std::string(200, 'a'));
    expect_refused({"--kl-base", base_}, 2, {base_, "a text of SHA-256"});
}

TEST_F(StoredBase, IsRefusedWhereItIsOfAnotherVocabulary) {
    save({});
    std::filesystem::remove_all(model_);
    write_tiny_model(model_, {.vocab = 280});
    expect_refused({"--kl-base", base_}, 2, {"vocabulary of 272", "280"});
}

TEST_F(StoredBase, IsRefusedWhereItIsNotWhole) {
    save({});
    truncate_by(base_, 1);
    expect_refused({"--kl-base", base_}, kCorrupt, {base_});
    write_bytes(base_, "");
    expect_refused({"--kl-base", base_}, kCorrupt, {base_});
    write_bytes(base_, read_bytes(model_ + "/model.safetensors"));
    expect_refused({"--kl-base", base_}, kCorrupt, {base_, "--save-kl-base"});
    save({"--overwrite"});
    overwrite_tensor(base_, "targets", 4 * 70, std::string("\1\0\0\0", 4));
    expect_refused({"--kl-base", base_}, kCorrupt, {base_, "position 70", "token 1"});
}

TEST_F(StoredBase, IsNotWrittenOverOrBesideAnother) {
    save({});
    expect_refused({"--save-kl-base", base_}, 2, {"--save-kl-base", "--overwrite"});
    expect_refused({"--save-kl-base", dir_ / "new", "--kl-base", base_}, 2,
                   {"--kl-base and --save-kl-base"});
    expect_refused({"--save-kl-base", dir_ / "gone/new"}, 7, {"gone"});
    expect_refused({"--kl-base", dir_ / "missing"}, 3, {"missing"});
}

TEST_F(StoredBase, HasFlagsThatAreRefusedWithoutIt) {
    expect_refused({"--kl-base-form", "exact"}, kUsage, {"--kl-base-form needs --save-kl-base"});
    expect_refused({"--overwrite"}, kUsage, {"--overwrite needs --save-kl-base"});
    RunOptions options;
    options.environment = {{"QUAROT_KL_BASE_FORM", "exact"}};
    expect_success(run_program({"perplexity", model_, "--text", text_, "--seqlen", "64"}, options));
}

}  // namespace
}  // namespace quarot::test

// quarot perplexity --save-kl-base and --kl-base with what it wrote.
#include <gtest/gtest.h>

#include <filesystem>

#include "e2e/expectations.h"
#include "e2e/model_surgery.h"
#include "e2e/program.h"
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

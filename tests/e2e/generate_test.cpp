// quarot generate: what comes out, when it ends and what a seed fixes.
#include <gtest/gtest.h>

#include <csignal>

#include "e2e/expectations.h"
#include "e2e/model_surgery.h"
#include "e2e/program.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace quarot::test {
namespace {

using Words = std::vector<std::string>;

class Generate : public testing::Test {
  protected:
    void SetUp() override { write_tiny_model(model_); }

    Outcome run(const Words& flags) const {
        Words arguments = {"generate", "-m", model_};
        arguments.insert(arguments.end(), flags.begin(), flags.end());
        return run_program(arguments);
    }
    io::Json json(Words flags) const {
        flags.push_back("--json");
        const Outcome outcome = run(flags);
        expect_success(outcome);
        return outcome.json();
    }

    const TempDir dir_;
    const std::string model_ = dir_ / "model";
};

// Special tokens that were added to tokenizer.json, but not to the weights.
TEST_F(Generate, ATokenWithoutAnEmbeddingIsAFaultOfTheFolder) {
    const std::string path = model_ + "/tokenizer.json";
    io::Json tokenizer = io::Json::parse_file(path);
    io::Json tokens = tokenizer.at("added_tokens");
    tokens.push_back(io::Json::Object{{"id", 300},
                                      {"content", "<new>"},
                                      {"single_word", false},
                                      {"lstrip", false},
                                      {"rstrip", false},
                                      {"normalized", false},
                                      {"special", true}});
    tokenizer.set("added_tokens", tokens);
    write_bytes(path, tokenizer.dump());
    const Outcome outcome = run({"-p", "a<new>", "-n", "1"});
    EXPECT_EQ(outcome.exit_code, 5) << outcome.err;
    for (const char* word : {"tokenizer.json", "id 300", "vocab_size", "272"}) {
        EXPECT_NE(outcome.err.find(word), std::string::npos) << outcome.err;
    }
    expect_success(run({"-p", "a", "-n", "1"}));
}

// Every token but "w" begins a word, as the marks of older Llamas say.
std::string metaspace_tokenizer(int64_t n_tokens) {
    io::Json::Object vocab = {{"w", 0}, {"\u2581", 1}};
    for (int64_t id = 2; id < n_tokens; ++id) {
        vocab.emplace_back("\u2581" + std::to_string(id), id);
    }
    io::Json json = io::Json::parse(R"({"version": "1.0",
        "normalizer": {"type": "Prepend", "prepend": "\u2581"},
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "},
            {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}})",
                                    "tokenizer.json");
    json.set("model",
             io::Json::Object{
                 {"type", "BPE"}, {"vocab", std::move(vocab)}, {"merges", io::Json::Array{}}});
    return json.dump();
}

TEST_F(Generate, TheFirstNewWordKeepsItsSpace) {
    write_bytes(model_ + "/tokenizer.json", metaspace_tokenizer(272));
    const io::Json all = json({"-p", "w", "-n", "2", "--ignore-eos"});
    std::string expected;
    for (const io::Json& id : all.at("ids").as_array()) {
        ASSERT_GE(id.as_int(), 2);
        expected += " " + std::to_string(id.as_int());
    }
    EXPECT_EQ(all.at("text").as_string(), expected);

    const std::string first = " " + all.at("ids").as_array().front().dump();
    const io::Json stopped = json({"-p", "w", "-n", "2", "--ignore-eos", "--stop", first});
    EXPECT_EQ(stopped.at("finish_reason").as_string(), "stop");
    EXPECT_EQ(stopped.at("text").as_string(), "");
}

// As any other end: what was made is kept, the figures follow on a line of their own.
TEST_F(Generate, AnInterruptedTextEndsItsLineAndTellsItsFigures) {
    const std::string model = dir_ / "long", shown = dir_ / "shown";
    write_tiny_model(model, {.max_positions = 1 << 15});
    for (const auto& [signal, code] : {std::pair{SIGINT, 130}, {SIGTERM, 143}}) {
        write_bytes(shown, "");
        RunOptions options;
        options.stdout_path = shown;
        options.stop = Stop{.signal = signal, .is_due = [&] { return !read_bytes(shown).empty(); }};
        const Outcome outcome = run_program(
            {"generate", model, "-p", "abc", "--ignore-eos", "--progress", "none"}, options);
        EXPECT_EQ(outcome.exit_code, code) << outcome.err;
        EXPECT_TRUE(read_bytes(shown).ends_with('\n'));
        EXPECT_EQ(outcome.err.find("error"), std::string::npos) << outcome.err;
        EXPECT_NE(outcome.err.find("3 prompt tokens at "), std::string::npos) << outcome.err;
        EXPECT_NE(outcome.err.find(", ended by interrupt\n"), std::string::npos) << outcome.err;
    }
}

TEST_F(Generate, GivesThePromptTheNewTokensAndTheirText) {
    const io::Json json = this->json({"-p", "abc", "-n", "5", "--ignore-eos"});
    expect_document(json, "generate",
                    {"prompt_ids", "ids", "text", "finish_reason", "prompt_tokens_per_second",
                     "tokens_per_second"});
    EXPECT_EQ(json.at("prompt_ids").dump(-1), "[97,98,99]");
    EXPECT_EQ(json.at("ids").as_array().size(), 5u);
    EXPECT_EQ(json.at("finish_reason").as_string(), "length");
    EXPECT_GT(json.at("tokens_per_second").as_double(), 0.0);
}

TEST_F(Generate, OneTokenHasNoDecodingSpeed) {
    const io::Json json = this->json({"-p", "abc", "-n", "1", "--ignore-eos"});
    EXPECT_EQ(json.at("ids").as_array().size(), 1u);
    EXPECT_TRUE(json.at("tokens_per_second").is_null());
    const std::string err = run({"-p", "abc", "-n", "1", "--ignore-eos"}).err;
    EXPECT_NE(err.find("1 new tokens, ended by length"), std::string::npos) << err;
}

TEST_F(Generate, ShowsTheSameTextAsItTellsScripts) {
    const Words flags = {"-p", "abc", "-n", "12", "--ignore-eos"};
    EXPECT_EQ(run(flags).out, json(flags).at("text").as_string() + "\n");
}

TEST_F(Generate, RunsToTheContextsEndAndNoFurther) {
    const io::Json json = this->json({"-p", "abc", "--ignore-eos"});
    EXPECT_EQ(json.at("ids").as_array().size(), 256u - 3u);
    EXPECT_EQ(json.at("finish_reason").as_string(), "context");
    EXPECT_EQ(this->json({"-p", "abc", "--ignore-eos", "--ctx", "20"}).at("ids").as_array().size(),
              17u);
    const io::Json cut = this->json({"-p", "abc", "--ignore-eos", "-n", "9999"});
    EXPECT_EQ(cut.at("ids").as_array().size(), 253u);
    EXPECT_EQ(cut.at("finish_reason").as_string(), "context");
    const io::Json exact = this->json({"-p", "abc", "--ignore-eos", "-n", "253"});
    EXPECT_EQ(exact.at("finish_reason").as_string(), "length") << "all that was asked for";
}

TEST_F(Generate, EndsBeforeAnEndToken) {
    const io::Json free = this->json({"-p", "abc", "-n", "8", "--ignore-eos"});
    const int64_t third = free.at("ids").as_array().at(2).as_int();
    TinyModel model = make_tiny_model({});
    model.config.set("eos_token_id", third);
    write_model(model, dir_ / "ends");
    const io::Json json =
        run_program({"generate", dir_ / "ends", "-p", "abc", "-n", "8", "--json"}).json();
    EXPECT_EQ(json.at("finish_reason").as_string(), "eos");
    EXPECT_LE(json.at("ids").as_array().size(), 2u);
    for (const io::Json& id : json.at("ids").as_array()) EXPECT_NE(id.as_int(), third);
}

TEST_F(Generate, CutsTheTextBeforeAStopString) {
    const io::Json free = this->json({"-p", "abc", "-n", "30", "--ignore-eos", "--temp", "1"});
    const std::string text = free.at("text").as_string();
    // The first printable character that is not at the very beginning.
    size_t at = 1;
    while (at < text.size() && (text[at] <= ' ' || text[at] > '~')) ++at;
    ASSERT_LT(at, text.size()) << "choose another seed: " << text;
    const std::string stop(1, text[at]);
    const io::Json json = this->json({"-p", "abc", "-n", "30", "--ignore-eos", "--temp", "1",
                                      "--stop", "never in there", "--stop", stop});
    EXPECT_EQ(json.at("finish_reason").as_string(), "stop");
    EXPECT_EQ(json.at("text").as_string(), text.substr(0, text.find(stop)));
    EXPECT_LT(json.at("ids").as_array().size(), 30u);
}

TEST_F(Generate, ASeedFixesTheChoiceAndAnotherSeedChangesIt) {
    const auto ids = [&](const std::string& seed, const std::string& threads) {
        return json({"-p", "abc", "-n", "20", "--ignore-eos", "--temp", "1", "--seed", seed, "-t",
                     threads})
            .at("ids")
            .dump(-1);
    };
    EXPECT_EQ(ids("7", "1"), ids("7", "2"));
    EXPECT_NE(ids("7", "1"), ids("8", "1"));
}

TEST_F(Generate, ChoosingAmongOneIsGreedy) {
    const auto ids = [&](const Words& flags) {
        Words all = {"-p", "abc", "-n", "10", "--ignore-eos"};
        all.insert(all.end(), flags.begin(), flags.end());
        return json(all).at("ids").dump(-1);
    };
    const std::string greedy = ids({});
    EXPECT_EQ(ids({"--temp", "0"}), greedy);
    EXPECT_EQ(ids({"--temp", "5", "--top-k", "1", "--seed", "3"}), greedy);
    EXPECT_EQ(ids({"--temp", "5", "--min-p", "1", "--seed", "3"}), greedy);
    EXPECT_NE(ids({"--temp", "5", "--seed", "3"}), greedy);
}

TEST_F(Generate, AnEmptyPromptBeginsWithTheModelsFirstToken) {
    const Outcome outcome = run({"-p", "", "-n", "2", "--ignore-eos", "--json"});
    if (outcome.exit_code == 0) {
        EXPECT_EQ(outcome.json().at("prompt_ids").dump(-1), "[256]");
    } else {
        expect_failure(outcome, 2, {"prompt is empty"});
    }
}

TEST_F(Generate, WarnsOfAContextTheModelDoesNotHave) {
    const Outcome outcome = run({"-p", "abc", "-n", "2", "--ignore-eos", "--ctx", "1000"});
    expect_success(outcome);
    EXPECT_NE(outcome.err.find("warning: --ctx is 1000"), std::string::npos);
}

}  // namespace
}  // namespace quarot::test

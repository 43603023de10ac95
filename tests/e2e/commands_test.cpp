// Every command once on a small model: its JSON keys, its text, its flags from other places.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "e2e/expectations.h"
#include "e2e/model_surgery.h"
#include "e2e/program.h"
#include "io/hash.h"
#include "io/safetensors.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace quarot::test {
namespace {

class Commands : public testing::Test {
  protected:
    void SetUp() override {
        write_tiny_model(model_);
        write_bytes(text_, std::string(100, 'a') + "\n" + std::string(99, 'b'));
    }

    const TempDir dir_;
    const std::string model_ = dir_ / "model";
    const std::string text_ = dir_ / "text";
    const std::string out_ = dir_ / "out";
};

TEST_F(Commands, VersionTellsWhatItIs) {
    const Outcome outcome = run_program({"version", "--json"});
    expect_success(outcome);
    const io::Json json = outcome.json();
    expect_document(json, "version",
                    {"commit", "compiler", "isa", "isa_compiled", "cuda", "tls", "devices"});
    const io::Json& cuda = json.at("cuda");  // null in a build without it
    EXPECT_TRUE(cuda.is_null() || cuda.as_string().starts_with("13.")) << outcome.out;
    const io::Json& tls = json.at("tls");
    EXPECT_TRUE(tls.is_null() || tls.as_string().starts_with("OpenSSL ")) << outcome.out;
    const auto& compiled = json.at("isa_compiled").as_array();
    EXPECT_TRUE(std::any_of(compiled.begin(), compiled.end(), [&](const io::Json& tier) {
        return tier.as_string() == json.at("isa").as_string();
    }));
    EXPECT_EQ(run_program({"--version", "--json"}).json().dump(), json.dump());
}

TEST_F(Commands, VersionNamesTheTierThatWasAskedFor) {
    RunOptions options;
    options.environment = {{"QUAROT_ISA", "scalar"}};
    EXPECT_EQ(run_program({"version", "--json"}, options).json().at("isa").as_string(), "scalar");
}

TEST_F(Commands, InspectDescribesAnOrdinaryFolder) {
    const Outcome outcome = run_program({"inspect", "-m", model_, "--json", "--tensors"});
    expect_success(outcome);
    const io::Json json = outcome.json();
    expect_document(json, "inspect",
                    {"architecture", "parameters", "quantized", "recipe", "bits_per_weight",
                     "kv_bytes_per_token", "rotation", "tensors"});
    EXPECT_EQ(json.at("architecture").as_string(), "LlamaForCausalLM");
    EXPECT_FALSE(json.at("quantized").as_bool());
    EXPECT_TRUE(json.at("recipe").is_null());
    EXPECT_EQ(json.at("bits_per_weight").as_double(), 32.0);
    EXPECT_EQ(json.at("bits_per_activation").as_double(), 16.0);
    EXPECT_TRUE(json.at("activation_clips").is_null());
    // 2 layers of K and V with 2 heads of 8 floats.
    EXPECT_EQ(json.at("kv_bytes_per_token").as_int(), 2 * 2 * 2 * 8 * 4);
    EXPECT_EQ(json.at("rotation").at("R1").at("kind").as_string(), "none");
    EXPECT_EQ(json.at("tensors").as_array().size(), 21u);
    const io::Json& first = json.at("tensors").as_array().front();
    for (const char* key : {"name", "dtype", "shape", "bytes"}) EXPECT_TRUE(first.contains(key));
    EXPECT_FALSE(run_program({"inspect", model_, "--json"}).json().contains("tensors"));
}

TEST_F(Commands, PlanTellsWhatAJobTakesAndLeavesNothing) {
    const std::vector<std::string> before = listing(dir_.path());
    const Outcome outcome = run_program({"plan", model_, out_, "--recipe", "quarot-rtn", "--json"});
    expect_success(outcome);
    const io::Json json = outcome.json();
    expect_document(json, "plan", {"ram_bytes", "disk_bytes", "seconds", "layers", "problems"});
    EXPECT_GT(json.at("ram_bytes").as_int(), 0);
    EXPECT_GT(json.at("disk_bytes").as_int(), 0);
    EXPECT_GT(json.at("seconds").as_double(), 0.0);
    EXPECT_EQ(json.at("layers").as_int(), 2);
    EXPECT_TRUE(json.at("problems").as_array().empty());
    EXPECT_EQ(listing(dir_.path()), before);
}

TEST_F(Commands, PlanNamesEveryProblem) {
    const Outcome outcome = run_program({"plan", model_, model_, "--seqlen", "64", "--json"});
    expect_success(outcome);
    const io::Json json = outcome.json();
    const auto& problems = json.at("problems").as_array();
    ASSERT_GE(problems.size(), 2u);
    EXPECT_NE(problems[0].as_string().find("--calib"), std::string::npos);
    EXPECT_NE(problems[1].as_string().find(model_), std::string::npos);
    EXPECT_GT(json.at("ram_bytes").as_int(), 0) << "estimates need no text";
}

TEST_F(Commands, TokenizeGivesIdsAndTokens) {
    const Outcome outcome = run_program({"tokenize", "-m", model_, "-p", "a b", "--json"});
    expect_success(outcome);
    const io::Json json = outcome.json();
    expect_document(json, "tokenize", {"ids", "tokens"});
    EXPECT_EQ(json.at("ids").dump(-1), "[97,32,98]");
    EXPECT_EQ(json.at("tokens").as_array().at(1).as_string(), "\xC4\xA0");  // a space, as spelled
}

TEST_F(Commands, TokenizeTakesTextsThatLookLikeFlagsOrNothing) {
    const auto ids = [&](const std::string& text) {
        return run_program({"tokenize", model_, "-p", text, "--json"}).json().at("ids").dump(-1);
    };
    EXPECT_EQ(ids("--json"), "[45,45,106,115,111,110]");
    EXPECT_EQ(ids("-"), "[45]");
    EXPECT_EQ(ids("[1,2]"), "[91,49,44,50,93]");
    EXPECT_EQ(ids(""), "[]");
}

TEST_F(Commands, TokenizeReadsAFile) {
    write_bytes(text_, "ab\n");
    EXPECT_EQ(
        run_program({"tokenize", model_, "--text", text_, "--json"}).json().at("ids").dump(-1),
        "[97,98,10]");
}

TEST_F(Commands, PerplexityCountsWindowsAndTokens) {
    const Outcome outcome = run_program(
        {"perplexity", model_, "--text", text_, "--seqlen", "64", "--kl-base", model_, "--json"});
    expect_success(outcome);
    const io::Json json = outcome.json();
    expect_document(json, "perplexity",
                    {"perplexity", "standard_error", "window_nll", "seqlen", "windows", "tokens",
                     "seconds", "tokens_per_second", "kl_mean", "kl_p99", "same_top1"});
    EXPECT_EQ(json.at("seqlen").as_int(), 64);
    EXPECT_EQ(json.at("windows").as_int(), 3);
    EXPECT_EQ(json.at("tokens").as_int(), 200);
    EXPECT_EQ(json.at("kl_mean").as_double(), 0.0);
    EXPECT_EQ(json.at("same_top1").as_double(), 1.0);
    double sum = 0.0;
    for (const io::Json& nll : json.at("window_nll").as_array()) sum += nll.as_double();
    const double perplexity = json.at("perplexity").as_double();
    EXPECT_NEAR(perplexity, std::exp(sum / 3), 1e-9);
    double squares = 0.0;
    for (const io::Json& nll : json.at("window_nll").as_array()) {
        squares += (nll.as_double() - sum / 3) * (nll.as_double() - sum / 3);
    }
    EXPECT_NEAR(json.at("standard_error").as_double(), perplexity * std::sqrt(squares / 2 / 3),
                1e-9 * perplexity);
    EXPECT_NEAR(json.at("base_perplexity").as_double(), perplexity, 1e-9);
}

// A document that is found later says what was measured.
TEST_F(Commands, PerplexityNamesModelRecipeTextAndBackend) {
    const std::string four = dir_ / "four";
    expect_success(run_program({"quantize", model_, four, "--recipe", "quarot-rtn"}));
    const io::Json json = run_program({"perplexity", four, "--text", text_, "--seqlen", "64",
                                       "--a-bits", "8", "--kl-base", model_, "-t", "1", "--json"})
                              .json();
    EXPECT_EQ(json.at("model").as_string(), four);
    EXPECT_EQ(json.at("recipe").as_string(), "quarot-rtn");
    EXPECT_GT(json.at("bits").at("per_weight").as_double(), 4.0);
    EXPECT_EQ(json.at("bits").at("weights").as_int(), 4);
    EXPECT_EQ(json.at("bits").at("activations").as_int(), 8) << "as it ran";
    EXPECT_EQ(json.at("bits").at("k").as_int(), 4);
    EXPECT_EQ(json.at("text").at("sha256").as_string(), io::sha256_of_file(text_));
    EXPECT_EQ(json.at("text").at("file").as_string(), text_);
    EXPECT_EQ(json.at("backend").at("name").as_string(), "cpu");
    EXPECT_EQ(json.at("backend").at("threads").as_int(), 1);
    EXPECT_EQ(json.at("kl_base").as_string(), model_);
    const double alone =
        run_program({"perplexity", model_, "--text", text_, "--seqlen", "64", "-t", "1", "--json"})
            .json()
            .at("perplexity")
            .as_double();
    EXPECT_NEAR(json.at("base_perplexity").as_double(), alone, 1e-9 * alone);
    EXPECT_NE(json.at("perplexity").as_double(), alone);
}

TEST_F(Commands, PerplexityHasNoDivergenceWithoutABase) {
    const io::Json json = run_program({"perplexity", model_, "--text", text_, "--seqlen", "64",
                                       "--windows", "2", "--json"})
                              .json();
    EXPECT_EQ(json.at("windows").as_int(), 2);
    EXPECT_FALSE(json.contains("kl_mean"));
    EXPECT_FALSE(json.contains("base_perplexity"));
    EXPECT_TRUE(run_program({"perplexity", model_, "--text", text_, "--seqlen", "64", "--windows",
                             "1", "--json"})
                    .json()
                    .at("standard_error")
                    .is_null());
}

TEST_F(Commands, PerplexityByLlamaCppsProtocolScoresSecondHalves) {
    const io::Json json = run_program({"perplexity", model_, "--text", text_, "--seqlen", "64",
                                       "--protocol", "llamacpp", "--json"})
                              .json();
    EXPECT_EQ(json.at("protocol").as_string(), "llamacpp");
    EXPECT_EQ(json.at("windows").as_int(), 3);
    EXPECT_EQ(json.at("scored_tokens").as_int(), 3 * 31);
    EXPECT_GT(json.at("standard_error").as_double(), 0.0);
    EXPECT_FALSE(json.contains("word_perplexity"));
}

// Two pages, each of which is predicted from its first token on.
TEST_F(Commands, PerplexityOfPagesCountsTheirWordsAndBytes) {
    const std::string a = " = A = \n a , b \n", b = " = B = \n c";
    write_bytes(text_, a + "\n" + b);
    const std::vector<std::string> words = {"perplexity",    model_,           "--text",   text_,
                                            "--protocol",    "lmeval",         "--seqlen", "5",
                                            "--text-format", "wikitext-pages", "--json"};
    const Outcome nameless = run_program(words);
    EXPECT_EQ(nameless.exit_code, 4) << "no token to begin with";
    EXPECT_NE(nameless.err.find("no token that begins"), std::string::npos) << nameless.err;
    write_bytes(model_ + "/tokenizer_config.json", R"({"bos_token": "<s>"})");
    const io::Json json = run_program(words).json();
    EXPECT_EQ(json.at("documents").as_int(), 2);
    // One byte a token: " = A =\na, b\n" has 12, " = B =\nc" has 8.
    EXPECT_EQ(json.at("scored_tokens").as_int(), 12 + 8);
    EXPECT_EQ(json.at("windows").as_int(), 3 + 2);
    EXPECT_EQ(json.at("text").at("sha256").as_string(), io::sha256_of_file(text_));
    const double nll = 20 * std::log(json.at("perplexity").as_double());
    const auto bytes = static_cast<double>(a.size() + b.size());
    EXPECT_NEAR(json.at("byte_perplexity").as_double(), std::exp(nll / bytes), 1e-9);
    EXPECT_NEAR(json.at("bits_per_byte").as_double(), nll / bytes / std::log(2.0), 1e-9);
    // Of the originals, and with the empty words at their ends: 8 and 5.
    EXPECT_NEAR(std::log(json.at("word_perplexity").as_double()), nll / 13, 1e-9);
    EXPECT_GT(json.at("word_perplexity_stderr").as_double(), 0.0);
}

TEST_F(Commands, PerplexityOfPagesNeedsTheProtocolForThem) {
    write_bytes(text_, " = A = \n a \n = B = \n b");
    const Outcome outcome = run_program({"perplexity", model_, "--text", text_, "--seqlen", "4",
                                         "--text-format", "wikitext-pages", "--json"});
    EXPECT_EQ(outcome.exit_code, 2);
    EXPECT_NE(outcome.err.find("--protocol quarot takes one; lmeval takes many"), std::string::npos)
        << outcome.err;
}

TEST_F(Commands, PerplexityHasTheStatisticsOfADivergence) {
    const auto run = [&](std::vector<std::string> more) {
        std::vector<std::string> words = {"perplexity", model_, "--text",   text_, "--seqlen", "64",
                                          "--kl-base",  model_, "--a-bits", "3"};
        words.insert(words.end(), more.begin(), more.end());
        return run_program(words);
    };
    const io::Json json = run({"--json"}).json();
    const io::Json& divergence = json.at("divergence");
    EXPECT_EQ(divergence.at("positions").as_int(), 3 * 63);
    EXPECT_EQ(divergence.at("kl").as_double(), json.at("kl_mean").as_double());
    EXPECT_EQ(divergence.at("kl_spread").at("p99").as_double(), json.at("kl_p99").as_double());
    EXPECT_GE(divergence.at("kl_spread").at("maximum").as_double(),
              divergence.at("kl_spread").at("median").as_double());
    EXPECT_NEAR(divergence.at("perplexity").as_double(), json.at("perplexity").as_double(), 1e-9);
    EXPECT_NEAR(divergence.at("perplexity_ratio").as_double(),
                json.at("perplexity").as_double() / json.at("base_perplexity").as_double(), 1e-9);
    for (const char* key : {"kl_stderr", "same_top1_stderr", "delta_p_stderr", "rms_delta_p_stderr",
                            "ln_perplexity_ratio_stderr", "ln_perplexity_correlation"}) {
        EXPECT_GT(std::fabs(divergence.at(key).as_double()), 0.0) << key;
    }
    const std::string text = run({}).out;
    for (const char* word : {"ratio", "KL mean", "same top 1", "delta p RMS", "p99.9"}) {
        EXPECT_NE(text.find(word), std::string::npos) << word;
    }
}

TEST_F(Commands, PerplexityFormatsDifferInTheirNewlines) {
    const auto tokens = [&](const std::string& format) {
        return run_program({"perplexity", model_, "--text", text_, "--seqlen", "64",
                            "--text-format", format, "--json"})
            .json()
            .at("tokens")
            .as_int();
    };
    EXPECT_EQ(tokens("raw"), 200);
    EXPECT_EQ(tokens("wikitext-rows"), 201);
}

TEST_F(Commands, RunTimeFlagsQuantizeAFolderAsItIs) {
    const auto divergence = [&](std::vector<std::string> flags) {
        std::vector<std::string> arguments = {
            "perplexity", model_, "--text", text_, "--seqlen", "64", "--json", "--kl-base", model_};
        arguments.insert(arguments.end(), flags.begin(), flags.end());
        return run_program(arguments).json().at("kl_mean").as_double();
    };
    const double eight = divergence({"--a-bits", "8"});
    const double three = divergence({"--a-bits", "3"});
    EXPECT_GT(eight, 0.0);
    EXPECT_GT(three, eight);
    EXPECT_GT(divergence({"--kv-bits", "3"}), 0.0);
}

TEST_F(Commands, EveryRunNamesItsBackendInOneLine) {
    const Outcome outcome = run_program(
        {"logits", model_, "--ids", "1", "--out", out_, "--device", "reference", "-t", "1"});
    expect_success(outcome);
    EXPECT_EQ(outcome.err,
              "quarot: backend reference, tier scalar, 1 thread, recipe none W16A16K16V16\n");
}

TEST_F(Commands, LogitsAreWrittenForEveryPosition) {
    expect_success(run_program({"logits", "-m", model_, "--ids", "1,2,3", "--out", out_}));
    const io::SafetensorsFile file(out_);
    const io::TensorInfo& ids = file.tensors().at("input_ids");
    const io::TensorInfo& logits = file.tensors().at("logits");
    EXPECT_EQ(ids.dtype, DType::I32);
    EXPECT_EQ(ids.shape, (Shape{3}));
    EXPECT_EQ(logits.dtype, DType::F32);
    EXPECT_EQ(logits.shape, (Shape{3, 272}));
    std::vector<int32_t> values(3);
    file.read(ids, 0, std::as_writable_bytes(std::span(values)));
    EXPECT_EQ(values, (std::vector<int32_t>{1, 2, 3}));
}

TEST_F(Commands, LogitsAreTheSameForAnyThreadsAndReplaceAFileOnRequest) {
    const auto bytes_with = [&](const std::string& threads) {
        expect_success(run_program(
            {"logits", model_, "-p", "some text", "--out", out_, "-t", threads, "--overwrite"}));
        return read_bytes(out_);
    };
    EXPECT_EQ(bytes_with("1"), bytes_with("3"));
}

TEST_F(Commands, AFlagBeatsTheEnvironmentWhichBeatsTheConfigFile) {
    write_bytes(dir_ / "run.toml", "seqlen = 20\nwindows = 3\nthreads = 1\n");
    RunOptions options;
    options.environment = {{"QUAROT_SEQLEN", "30"}, {"QUAROT_WINDOWS", "2"}, {"QUAROT_JSON", "1"}};
    const Outcome outcome = run_program(
        {"perplexity", model_, "--text", text_, "--seqlen", "40", "--config", dir_ / "run.toml"},
        options);
    expect_success(outcome);
    EXPECT_EQ(outcome.json().at("seqlen").as_int(), 40);
    EXPECT_EQ(outcome.json().at("windows").as_int(), 2);
    EXPECT_NE(outcome.err.find("1 thread,"), std::string::npos);
}

TEST_F(Commands, ServeRefusesACacheThatIsLargerThanTheMemory) {
    for (const char* bytes : {"1000T", "8000000T"}) {
        const Outcome outcome = run_program({"serve", model_, "--port", "0", "--kv-mem", bytes});
        expect_failure(outcome, 6, {"the cache of --kv-mem needs", "are available"});
    }
}

TEST_F(Commands, ServeTakesACertificateWithItsKey) {
    expect_failure(run_program({"serve", model_, "--port", "0", "--tls-cert", text_}), 2,
                   {"--tls-cert is given without --tls-key"});
    expect_failure(run_program({"serve", model_, "--port", "0", "--tls-key", text_}), 2,
                   {"--tls-key is given without --tls-cert"});
    const Outcome outcome =
        run_program({"serve", model_, "--port", "0", "--tls-cert", text_, "--tls-key", text_});
    const bool has_tls = !run_program({"version", "--json"}).json().at("tls").is_null();
    expect_failure(outcome, has_tls ? 5 : 4,
                   {has_tls ? "is no certificate in PEM" : "was built without TLS"});
}

TEST_F(Commands, HelpComesInTwoSizes) {
    const Outcome overview = run_program({"--help"});
    expect_success(overview);
    for (const char* command :
         {"quantize", "perplexity", "generate", "inspect", "tokenize", "logits", "version"}) {
        EXPECT_NE(overview.out.find(command), std::string::npos);
        const Outcome first = run_program({command, "-h"});
        const Outcome full = run_program({command, "--help"});
        expect_success(first);
        expect_success(full);
        EXPECT_LE(std::count(first.out.begin(), first.out.end(), '\n'), 24) << command;
        EXPECT_NE(full.out.find("examples:"), std::string::npos) << command;
        EXPECT_GT(full.out.size(), first.out.size());
    }
    EXPECT_TRUE(run_program({"--version"}).out.starts_with("quarot "));
}

}  // namespace
}  // namespace quarot::test

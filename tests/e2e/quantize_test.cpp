// quarot quantize: recipe and flags in, a folder out that tells what it is.
#include <gtest/gtest.h>

#include <filesystem>

#include "e2e/expectations.h"
#include "e2e/model_surgery.h"
#include "e2e/program.h"
#include "e2e/quantize_fixture.h"
#include "io/hash.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace quarot::test {
namespace {

TEST_F(Quantize, AnAddedTokenWithoutAnEmbeddingIsNotedAndVerifiesAsANote) {
    edit_json(model_ + "/tokenizer.json", [](io::Json& json) {
        json.set("added_tokens",
                 io::Json::Array{io::Json::Object{{"id", 272}, {"content", "[PAD]"}}});
    });
    const std::string said = "\"[PAD]\" has id 272";
    const Outcome outcome = run_program({"quantize", model_, out_, "--recipe", "quarot-rtn"});
    expect_success(outcome);
    EXPECT_NE(outcome.err.find(said), std::string::npos) << outcome.err;

    const Outcome verified = run_program({"verify", out_, "--json"});
    expect_success(verified);
    const io::Json json = verified.json();
    const auto& notes = json.at("notes").as_array();
    ASSERT_EQ(notes.size(), 1u) << verified.out;
    EXPECT_NE(notes[0].as_string().find(said), std::string::npos) << verified.out;
}

TEST_F(Quantize, ATokenizerThatCannotBeReadIsSaidBeforehand) {
    write_bytes(model_ + "/tokenizer.json", "{}");
    const Outcome outcome = run_program({"quantize", model_, out_, "--recipe", "quarot-rtn"});
    expect_success(outcome);
    EXPECT_NE(outcome.err.find("will read no texts"), std::string::npos) << outcome.err;
}

TEST_F(Quantize, TellsRecipeBitsAndErrorOfEachLayer) {
    const io::Json json = run({});
    expect_document(
        json, "quantize",
        {"out", "recipe", "bits_per_weight", "size_bytes", "seconds", "peak_rss_bytes", "layers"});
    EXPECT_EQ(json.at("size_bytes").as_int(),
              static_cast<int64_t>(std::filesystem::file_size(out_ + "/model.safetensors")));
    EXPECT_EQ(json.at("out").as_string(), out_);
    EXPECT_GT(json.at("peak_rss_bytes").as_int(), 1 << 20);
    EXPECT_GT(json.at("bits_per_weight").as_double(), 4.0);
    EXPECT_GE(json.at("layers").as_array().size(), 14u);
    const io::Json& layer = json.at("layers").as_array().front();
    EXPECT_EQ(layer.at("name").as_string().substr(0, 15), "model.layers.0.");
    EXPECT_EQ(layer.at("bits").as_int(), 4);
    EXPECT_EQ(layer.at("group_size").as_int(), 0);
    EXPECT_EQ(layer.at("method").as_string(), "rtn");
    EXPECT_GT(layer.at("relative_error").as_double(), 0.0);
    EXPECT_LT(layer.at("relative_error").as_double(), 0.3);
}

TEST_F(Quantize, WritesAFolderThatInspectUnderstands) {
    const double bits = run({}).at("bits_per_weight").as_double();
    const io::Json json = inspect();
    EXPECT_TRUE(json.at("quantized").as_bool());
    EXPECT_DOUBLE_EQ(json.at("bits_per_weight").as_double(), bits);
    const io::Json stored = io::Json::parse_file(out_ + "/quarot.json").at("bits_per_value");
    EXPECT_EQ(stored.at("weights").as_double(), bits);
    EXPECT_EQ(stored.at("activations").as_double(), json.at("bits_per_activation").as_double());
    // 8 codes of 4 bits with a float scale and a zero point of 16.
    EXPECT_EQ(stored.at("k").as_double(), 4.0 + 48.0 / 8);
    EXPECT_EQ(stored.at("v").as_double(), json.at("bits_per_v").as_double());
    EXPECT_EQ(json.at("recipe").at("recipe").as_string(), "quarot-rtn");
    const io::Json& rotation = json.at("rotation");
    EXPECT_EQ(rotation.at("R1").at("kind").as_string(), "hadamard");
    EXPECT_EQ(rotation.at("R1").at("order").as_int(), 32);
    EXPECT_EQ(rotation.at("R2").at("order").as_int(), 8);
    EXPECT_EQ(rotation.at("R3").at("order").as_int(), 8);
    EXPECT_EQ(rotation.at("R4").at("order").as_int(), 48);
    EXPECT_FALSE(rotation.at("R4").at("decomposition").as_string().empty());
    EXPECT_EQ(rotation.at("head_mix").at("order").as_int(), 4);
    // 2 layers of K and V, 2 heads each: 8 codes of 4 bits, a float scale and a zero point of 16.
    EXPECT_EQ(json.at("kv_bytes_per_token").as_int(), 2 * 2 * 2 * (4 + 4 + 2));
}

TEST_F(Quantize, RotateNoneLeavesNothingRotatedAndNormsUnfolded) {
    run({"--rotate", "none"});
    const io::Json json = inspect();
    for (const auto& [name, rotation] : json.at("rotation").as_object()) {
        EXPECT_EQ(rotation.at("kind").as_string(), "none") << name;
    }
    EXPECT_FALSE(json.at("recipe").at("rotation").at("fold_norms").as_bool());
}

TEST_F(Quantize, RotateTakesSinglePartsAndInspectShowsThem) {
    run({"--rotate", "r4,heads"});
    const io::Json json = inspect();
    for (const auto& [name, rotation] : json.at("rotation").as_object()) {
        const bool there = name == "R4" || name == "head_mix";
        EXPECT_EQ(rotation.at("kind").as_string(), there ? "hadamard" : "none") << name;
    }
    EXPECT_FALSE(json.at("recipe").at("rotation").at("fold_norms").as_bool());
    EXPECT_EQ(json.at("recipe").at("recipe").as_string(), "custom");
    const Outcome shown = run_program({"inspect", out_});
    EXPECT_NE(shown.out.find("rtn, with --rotate r4,heads"), std::string::npos) << shown.out;
}

TEST_F(Quantize, TakesAnR1FromAFileAndKeepsItsDigest) {
    write_r1(dir_ / "r1", 1.0f);
    const std::string digest = io::sha256_of_file(dir_ / "r1");
    run({"--r1", dir_ / "r1", "--w-bits", "5"});
    const io::Json json = inspect();
    EXPECT_EQ(json.at("rotation").at("R1").at("kind").as_string(), "file");
    EXPECT_EQ(json.at("rotation").at("R2").at("kind").as_string(), "hadamard");
    const io::Json made = io::Json::parse_file(out_ + "/quarot.json");
    for (const io::Json* recipe : {&json.at("recipe"), &made.at("recipe")}) {
        EXPECT_EQ(recipe->at("rotation").at("residual_sha256").as_string(), digest);
    }
    expect_success(run_program({"verify", out_}));
    EXPECT_NE(run_program({"inspect", out_}).out.find(digest.substr(0, 12)), std::string::npos);
}

TEST_F(Quantize, RefusesAnR1ThatIsNoneForThisModel) {
    const auto refuse = [&](int code, const Words& words, const Words& flags) {
        Words all = {"quantize", model_, out_, "--recipe", "quarot-rtn", "--r1", dir_ / "r1"};
        all.insert(all.end(), flags.begin(), flags.end());
        expect_failure(run_program(all), code, words);
        all[0] = "plan";
        expect_failure(run_program(all), code, words);
        EXPECT_FALSE(std::filesystem::exists(out_));
    };
    refuse(3, {dir_ / "r1"}, {});
    write_r1(dir_ / "r1", 1.01f);
    refuse(5, {dir_ / "r1", "not orthogonal", "0.0201"}, {});
    std::filesystem::remove(dir_ / "r1");
    write_r1(dir_ / "r1", 1.0f);
    refuse(2, {"--rotate", "no R1"}, {"--rotate", "r2,r4"});
}

TEST_F(Quantize, RotateTurnsAnUnrotatedRecipeIntoARotatedOne) {
    run({"--recipe", "rtn", "--rotate", "random", "--seed", "5"});
    const io::Json json = inspect();
    EXPECT_EQ(json.at("rotation").at("R1").at("kind").as_string(), "random");
    EXPECT_EQ(json.at("rotation").at("head_mix").at("kind").as_string(), "hadamard");
    EXPECT_TRUE(json.at("recipe").at("rotation").at("fold_norms").as_bool());
    EXPECT_EQ(json.at("recipe").at("rotation").at("seed").as_int(), 5);
}

TEST_F(Quantize, FlagsOverrideTheRecipeInAnyOrder) {
    const io::Json recipe =
        run({"--k-bits",  "3",        "--kv-bits",   "5",        "--w-bits",
             "8",         "--recipe", "w4a8kv4",     "--a-clip", "0.75",
             "--kv-clip", "0.5",      "--v-clip",    "0.25",     "--no-w-clip-search",
             "--w-asym",  "--a-asym", "--down-bits", "6",        "--head-bits",
             "8",         "--dtype",  "f16"})
            .at("recipe");
    EXPECT_EQ(recipe.at("recipe").as_string(), "custom");
    EXPECT_EQ(recipe.at("weights").at("bits").as_int(), 8);
    EXPECT_FALSE(recipe.at("weights").at("clip_search").as_bool());
    EXPECT_FALSE(recipe.at("weights").at("symmetric").as_bool());
    EXPECT_EQ(recipe.at("activations").at("bits").as_int(), 8);
    EXPECT_FALSE(recipe.at("activations").at("symmetric").as_bool());
    EXPECT_EQ(recipe.at("activations").at("clip").as_double(), 0.75);
    EXPECT_EQ(recipe.at("k").at("bits").as_int(), 3);
    EXPECT_EQ(recipe.at("v").at("bits").as_int(), 5);
    EXPECT_EQ(recipe.at("k").at("clip").as_double(), 0.5);
    EXPECT_EQ(recipe.at("v").at("clip").as_double(), 0.25);
    EXPECT_EQ(recipe.at("down_bits").as_int(), 6);
    EXPECT_EQ(recipe.at("head_bits").as_int(), 8);
    EXPECT_EQ(recipe.at("storage").as_string(), "f16");
    EXPECT_EQ(inspect().at("recipe").dump(), recipe.dump());
}

// A tied model from quantizing to perplexity, as one small file.
TEST_F(Quantize, ATiedModelStaysOneSmallMatrixInEveryCommand) {
    const std::string tied = dir_ / "tied", text = dir_ / "text.txt";
    write_tiny_model(tied, {.hidden = 48, .tied = true});
    write_bytes(text, std::string(400, 'a') + " b c d");
    const auto folder_with = [&](const Words& flags) {
        Words words = {"quantize", tied, out_, "--overwrite", "--recipe", "quarot-rtn"};
        words.insert(words.end(), flags.begin(), flags.end());
        expect_success(run_program(words));
        return inspect();
    };
    const io::Json apart = folder_with({"--head-bits", "8"});
    const io::Json one = folder_with({"--head-bits", "8", "--embedding-bits", "8", "--keep-tied"});
    EXPECT_FALSE(apart.at("tied").as_bool());
    EXPECT_TRUE(one.at("tied").as_bool());
    // The embedding as F32 in the one, and scales in the other.
    const int64_t saved = apart.at("disk_bytes").as_int() - one.at("disk_bytes").as_int();
    EXPECT_EQ(saved, 272 * 48 * 4);
    const Outcome parted = run_program({"quantize", tied, out_ + "-parted", "--recipe",
                                        "quarot-rtn", "--head-bits", "8", "--keep-tied"});
    expect_success(parted);
    EXPECT_NE(parted.err.find("becomes two, since they have 16 and 8 bits"), std::string::npos)
        << parted.err;
    const Outcome text_of_two = run_program({"inspect", out_ + "-parted"});
    EXPECT_NE(text_of_two.out.find("32 and 8 bits"), std::string::npos) << text_of_two.out;
    const Outcome text_of = run_program({"inspect", out_});
    EXPECT_NE(text_of.out.find("one matrix of 8 bits, R1 applied as rows are read"),
              std::string::npos)
        << text_of.out;
    expect_success(run_program({"verify", out_}));
    expect_success(run_program({"generate", "-m", out_, "-p", "a", "-n", "4"}));
    const Outcome score =
        run_program({"perplexity", out_, "--text", text, "--seqlen", "64", "--json"});
    expect_success(score);
    EXPECT_GT(score.json().at("perplexity").as_double(), 1.0);
    expect_success(run_program({"bench", "-m", out_, "-p", "8", "-n", "2"}));
}

TEST_F(Quantize, ARecipeKeepsItsNameUnlessItsMethodChanges) {
    const auto name = [&](const Words& flags) {
        return run(flags).at("recipe").at("recipe").as_string();
    };
    EXPECT_EQ(name({"--recipe", "rtn", "--seed", "3", "--dtype", "bf16"}), "rtn");
    EXPECT_EQ(name({"--w-bits", "4", "--rotate", "hadamard"}), "quarot-rtn");
    EXPECT_EQ(name({"--nsamples", "5", "--seqlen", "64", "--calib-windows", "first"}),
              "quarot-rtn");
    EXPECT_EQ(name({"--calib-activations", "quantized"}), "custom");
    EXPECT_EQ(name({"--recipe", "rtn", "--w-bits", "5"}), "custom");
    EXPECT_EQ(name({"--recipe", "rtn", "--rotate", "hadamard"}), "quarot-rtn") << "its settings";
    EXPECT_EQ(name({"--w-bits", "8", "--a-bits", "8", "--kv-bits", "8"}), "quarot-rtn-w8a8kv8")
        << "a width flag moves no clip";
    expect_success(run_program({"generate", out_, "-p", "abc", "-n", "2"}));
}

// The name says what was chosen, not only that something was.
TEST_F(Quantize, TpMaxCutsWhatRanksShareIntoBlocks) {
    run({"--tp-max", "2"});
    const io::Json recipe = inspect().at("recipe");
    EXPECT_EQ(recipe.at("tp_max").as_int(), 2);
    EXPECT_EQ(recipe.at("rotation").at("heads_block").as_int(), 2);
    EXPECT_EQ(recipe.at("rotation").at("ffn_block").as_int(), 24);
    const Outcome inspected = run_program({"inspect", out_});
    EXPECT_NE(inspected.out.find("equal results on 1 to 2"), std::string::npos) << inspected.out;
    expect_success(run_program({"generate", "-m", out_, "-p", "abc", "-n", "3"}));
    expect_failure(run_program({"quantize", model_, out_, "--overwrite", "--recipe", "quarot-rtn",
                                "--tp-max", "3"}),
                   2, {"3 ranks", "4 heads"});
}

TEST_F(Quantize, TpMaxIsCalibratedForAsItWillRun) {
    const std::string text = dir_ / "text";
    std::string words;
    for (int i = 0; i < 400; ++i) words += static_cast<char>('a' + i * i % 26);
    write_bytes(text, words);
    run({"--recipe", "quarot", "--tp-max", "2", "--calib", text, "--nsamples", "2", "--seqlen",
         "32", "--calib-activations", "quantized"});
    expect_success(run_program({"generate", "-m", out_, "-p", "abc", "-n", "3"}));
}

TEST_F(Quantize, NamesWhatWasChangedOfARecipe) {
    const auto line = [&](const Words& flags) {
        Words words = {"quantize", model_, out_, "--overwrite"};
        words.insert(words.end(), flags.begin(), flags.end());
        return run_program(words).out;
    };
    const auto expect = [&](const Words& flags, const std::string& name) {
        const std::string out = line(flags);
        EXPECT_NE(out.find(" " + name + " W"), std::string::npos) << name << " in " << out;
    };
    expect({"--recipe", "w4a8kv4"}, "w4a8kv4");
    expect({"--recipe", "w4a8kv4", "--dtype", "bf16"}, "w4a8kv4, with --dtype bf16:");
    expect({"--recipe", "rtn", "--w-bits", "5", "--no-w-clip-search"},
           "rtn, with --w-bits 5, --no-w-clip-search:");
    EXPECT_NE(run_program({"inspect", out_}).out.find("rtn, with --w-bits 5"), std::string::npos);
    expect({"--recipe", "quarot-rtn", "--k-bias", "keep"}, "quarot-rtn, with --k-bias keep:");
    expect({"--recipe", "quarot-rtn", "--rotate", "r1,r4"}, "quarot-rtn, with --rotate r1,r4:");

    std::filesystem::remove_all(model_);
    write_tiny_model(model_, {.hidden = 64, .ffn = 128, .head_dim = 16});  // whole groups
    write_bytes(text_,
                "It was a dark and stormy night; the rain fell in torrents, except at times.");
    const auto expect_best = [&](const Words& flags, const std::string& name) {
        Words words = {"--calib", text_, "--nsamples", "4", "--seqlen", "16", "--recipe"};
        words.insert(words.end(), flags.begin(), flags.end());
        expect(words, name);
    };
    expect_best({"best4"}, "best4");
    expect_best({"best4.5"}, "best4.5");
    expect_best({"best4.5", "--no-align-values"}, "best4.5, with --no-align-values:");
    expect_best({"best4", "--a-first", "0"}, "best4, with --a-first 0:");
}

TEST_F(Quantize, RoundsWithoutATextAndSaysWhatThatCosts) {
    const Words words = {"quantize", model_, out_, "--recipe", "w4a8kv4", "--overwrite", "--json"};
    const Outcome rounded = run_program(words);
    expect_success(rounded);
    EXPECT_NE(rounded.err.find("without --calib rounds"), std::string::npos) << rounded.err;
    EXPECT_EQ(rounded.json().at("layers").as_array().front().at("method").as_string(), "rtn");
    EXPECT_EQ(rounded.json().at("recipe").at("recipe").as_string(), "w4a8kv4");
    EXPECT_EQ(rounded.json().at("recipe").at("activations").at("clip").as_double(), 1.0);
    const std::string text = dir_ / "calib.txt";
    write_bytes(text, std::string(300, 'x') + std::string(300, 'y'));
    Words calibrated = words;
    calibrated.insert(calibrated.end(), {"--calib", text, "--nsamples", "2", "--seqlen", "32"});
    const Outcome solved = run_program(calibrated);
    expect_success(solved);
    EXPECT_EQ(solved.err.find("rounds"), std::string::npos) << solved.err;
    EXPECT_EQ(solved.json().at("layers").as_array().front().at("method").as_string(), "gptq");
    EXPECT_EQ(solved.json().at("recipe").at("recipe").as_string(), "w4a8kv4");
}

TEST_F(Quantize, RotatedTensorsKeepTheirDtype) {
    write_tiny_model(dir_ / "half", {.dtype = DType::BF16});
    const std::string half = dir_ / "half";
    expect_success(run_program({"quantize", half, out_, "--recipe", "quarot-rtn", "--overwrite"}));
    const io::Json json = run_program({"inspect", out_, "--tensors", "--json"}).json();
    for (const io::Json& tensor : json.at("tensors").as_array()) {
        const std::string& name = tensor.at("name").as_string();
        if (name == "model.embed_tokens.weight" || name == "lm_head.weight") {
            EXPECT_EQ(tensor.at("dtype").as_string(), "BF16") << name;
        }
    }
}

TEST_F(Quantize, NamesSidesWithAZeroPointAndWidthsOfTheirOwn) {
    const Outcome outcome =
        run_program({"quantize", model_, out_, "--recipe", "quarot-rtn", "--w-asym", "--a-asym",
                     "--down-bits", "8", "--head-bits", "8"});
    expect_success(outcome);
    EXPECT_NE(outcome.out.find("quarot-rtn, with --w-asym, --a-asym, --down-bits 8, --head-bits "
                               "8: W4aA4aK4V4 down 8 head 8\n"),
              std::string::npos)
        << outcome.out;
    EXPECT_NE(outcome.out.find("R1 (hadamard), R2, R3, R4, head mix\n"), std::string::npos)
        << outcome.out;
}

TEST_F(Quantize, VariablesOfOtherCommandsDoNotDisturb) {
    RunOptions options;
    options.environment = {{"QUAROT_SEQLEN", "1024"}};
    expect_success(run_program({"quantize", model_, out_, "--recipe", "quarot-rtn"}, options));
}

TEST_F(Quantize, SaysWhenNothingGotSmallerOrTextsCannotBeRead) {
    std::filesystem::remove(model_ + "/tokenizer.json");
    const Outcome same =
        run_program({"quantize", model_, out_, "--recipe", "quarot-rtn", "--w-bits", "16"});
    expect_success(same);
    EXPECT_NE(same.err.find("--head-bits 8"), std::string::npos) << same.err;
    EXPECT_NE(same.err.find("warning: "), std::string::npos) << same.err;
    EXPECT_NE(same.err.find("no tokenizer.json"), std::string::npos) << same.err;
    const Outcome smaller =
        run_program({"quantize", model_, out_, "--recipe", "quarot-rtn", "--overwrite"});
    EXPECT_EQ(smaller.err.find("--head-bits 8"), std::string::npos) << smaller.err;
}

TEST_F(Quantize, SixteenBitsMeansNotQuantized) {
    run({"--w-bits", "16", "--a-bits", "16", "--kv-bits", "16"});
    const io::Json json = inspect();
    EXPECT_EQ(json.at("recipe").at("weights").at("bits").as_int(), 16);
    EXPECT_EQ(json.at("bits_per_weight").as_double(), 32.0);
}

TEST_F(Quantize, SplitsFilesThatWouldBeTooLarge) {
    run({"--shard-size", "20K"});
    EXPECT_TRUE(std::filesystem::exists(out_ + "/model.safetensors.index.json"));
    expect_success(run_program({"generate", out_, "-p", "abc", "-n", "2"}));
}

TEST_F(Quantize, GivesTheSameBytesForAnyNumberOfThreads) {
    const auto bytes = [&](const std::string& threads) {
        run({"-t", threads});
        std::string all;
        for (const std::string& path : listing(out_)) {
            if (path.ends_with(".safetensors")) all += read_bytes(path);
        }
        return all;
    };
    const std::string one = bytes("1");
    EXPECT_FALSE(one.empty());
    EXPECT_EQ(bytes("2"), one);
    EXPECT_EQ(bytes("5"), one);
}

TEST_F(Quantize, PrintsATableForPeople) {
    const Outcome outcome = run_program({"quantize", model_, out_, "--recipe", "quarot-rtn"});
    expect_success(outcome);
    for (const char* word : {"q_proj", "down_proj", "weight error", "bits per weight",
                             "peak memory", "quarot-rtn", "(was "}) {
        EXPECT_NE(outcome.out.find(word), std::string::npos) << word;
    }
    EXPECT_NE(outcome.err.find("recipe quarot-rtn W4A4K4V4"), std::string::npos);
}

TEST_F(Quantize, ModelsWithBiasesTiedHeadsAndOddWidthsRunToo) {
    TinyModelOptions options;
    options.tied = true;
    options.attention_bias = true;
    options.mlp_bias = true;
    options.ffn = 44;
    options.n_heads = 3;
    options.n_kv_heads = 1;
    options.hidden = 24;
    options.dtype = DType::BF16;
    write_tiny_model(dir_ / "odd", options, 2);
    const Outcome outcome =
        run_program({"quantize", dir_ / "odd", dir_ / "odd4", "--recipe", "quarot-rtn"});
    expect_success(outcome);
    EXPECT_EQ(outcome.out.find("head mix"), std::string::npos) << outcome.out;
    expect_success(run_program({"generate", dir_ / "odd4", "-p", "abc", "-n", "3"}));
    const io::Json rotation =
        run_program({"inspect", dir_ / "odd4", "--json"}).json().at("rotation");
    EXPECT_EQ(rotation.at("head_mix").at("kind").as_string(), "identity");
}

}  // namespace
}  // namespace quarot::test

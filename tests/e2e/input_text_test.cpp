// A text comes from a file, standard input or a pipe, whichever command reads it.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <thread>

#include "e2e/expectations.h"
#include "e2e/model_surgery.h"
#include "e2e/program.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace quarot::test {
namespace {

using Words = std::vector<std::string>;

// A command whose last word is to be the text, and what of its document the text decides.
struct TextReader {
    const char* name;
    Words words;  // MODEL and OUT stand for paths
    const char* key;
};

void PrintTo(const TextReader& reader, std::ostream* out) {
    *out << reader.name;
}

class InputText : public testing::TestWithParam<TextReader> {
  protected:
    void SetUp() override {
        write_tiny_model(dir_ / "model");
        write_bytes(dir_ / "text", text_);
    }

    std::string result(const std::string& source, const RunOptions& options = {}) {
        Words words;
        for (const std::string& word : GetParam().words) {
            words.push_back(word == "MODEL" ? dir_ / "model"
                            : word == "OUT" ? dir_ / "out" + std::to_string(++n_outputs_)
                                            : word);
        }
        words.push_back(source);
        const Outcome outcome = run_program(words, options);
        expect_success(outcome);
        return outcome.exit_code == 0 ? outcome.json().at(GetParam().key).dump() : "";
    }

    const TempDir dir_;
    const std::string text_ = std::string(100, 'a') + "\n" + std::string(99, 'b');
    int n_outputs_ = 0;
};

TEST_P(InputText, IsTheSameFromAFileFromStandardInputAndFromAPipe) {
    const std::string expected = result(dir_ / "text");
    EXPECT_NE(expected, "");

    RunOptions options;
    options.stdin_path = dir_ / "text";
    EXPECT_EQ(result("-", options), expected);

    const std::string pipe = dir_ / "pipe";
    ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
    std::jthread writer([&] { std::ofstream(pipe) << text_; });
    EXPECT_EQ(result(pipe), expected);
}

INSTANTIATE_TEST_SUITE_P(
    Commands, InputText,
    testing::Values(TextReader{"Perplexity",
                               {"perplexity", "MODEL", "--seqlen", "64", "--json", "--text"},
                               "window_nll"},
                    TextReader{"Quantize",
                               {"quantize", "MODEL", "OUT", "--seqlen", "32", "--nsamples", "2",
                                "--json", "--calib"},
                               "layers"},
                    TextReader{"Plan",
                               {"plan", "MODEL", "OUT", "--seqlen", "32", "--nsamples", "2",
                                "--json", "--calib"},
                               "ram_bytes"},
                    TextReader{"Generate",
                               {"generate", "MODEL", "-n", "2", "--ignore-eos", "--json", "--file"},
                               "prompt_ids"},
                    TextReader{"Tokenize", {"tokenize", "MODEL", "--json", "--text"}, "ids"}),
    [](const auto& test) { return std::string(test.param.name); });

TEST(InputTexts, StandardInputIsOneText) {
    expect_failure(run_program({"reproduce", "model", "--text", "-", "--calib", "-", "--out", "o"}),
                   2, {"--text", "--calib", "standard input"});
}

}  // namespace
}  // namespace quarot::test

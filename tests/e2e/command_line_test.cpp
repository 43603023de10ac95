// The command line as a table: flags, environment and file in; exit code, stdout and stderr out.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>

#include "e2e/command_line_cases.h"
#include "e2e/expectations.h"
#include "e2e/model_surgery.h"
#include "e2e/program.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace quarot::test {
namespace {

using Words = std::vector<std::string>;

// Logits overflow: every weight of the head is the largest float.
void write_hot_model(const std::string& folder) {
    TinyModel model = make_tiny_model({});
    StoredTensor& head = model.tensors.at("lm_head.weight");
    const std::vector<float> values(values_of(head).size(), 3.4e38f);
    head = make_stored_tensor(DType::F32, head.shape, values);
    write_model(model, folder);
}

// 128 KiB of cache for each of 16 million tokens.
void write_huge_model(const std::string& folder) {
    TinyModelOptions options;
    options.n_heads = options.n_kv_heads = 128;
    options.head_dim = 64;
    options.max_positions = int64_t{1} << 24;
    write_tiny_model(folder, options);
}

bool is_path(const std::string& word) {
    return !word.empty() &&
           std::all_of(word.begin(), word.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
}

// "MODEL/x" as "<folder>/model/x".
std::string with_path(const std::string& word, const TempDir& dir) {
    const std::string name = word.substr(0, word.find('/'));
    if (!is_path(name)) return word;
    std::string path = name;
    for (char& c : path) c = static_cast<char>(c - 'A' + 'a');
    return dir / (path + word.substr(name.size()));
}

class CommandLineTest : public testing::TestWithParam<CommandLine> {
  protected:
    void SetUp() override {
        const auto needs = [](const char* name) {
            const Words& words = GetParam().arguments;
            return std::count(words.begin(), words.end(), name) > 0;
        };
        write_tiny_model(dir_ / "model");
        write_bytes(dir_ / "text", std::string(100, 'a') + "\n" + std::string(99, 'b'));
        if (!GetParam().input.empty()) write_bytes(dir_ / "input", GetParam().input);
        if (!GetParam().config.empty()) write_bytes(dir_ / "config", GetParam().config);
        if (needs("HOT")) write_hot_model(dir_ / "hot");
        if (needs("HUGE")) write_huge_model(dir_ / "huge");
        if (needs("BROKEN")) {
            write_tiny_model(dir_ / "broken");
            write_bytes(dir_ / "broken/config.json", "{");
        }
        for (const char* name : {"QUANTIZED", "DAMAGED"}) {
            if (!needs(name)) continue;
            expect_success(run_program(
                {"quantize", dir_ / "model", with_path(name, dir_), "--recipe", "quarot-rtn"}));
        }
        if (needs("DAMAGED")) {
            const std::string file = dir_ / "damaged/tokenizer.json";
            write_bytes(file, read_bytes(file) + " ");
        }
    }

    Outcome run() const {
        Words arguments;
        for (const std::string& word : GetParam().arguments) {
            arguments.push_back(with_path(word, dir_));
        }
        RunOptions options;
        if (!GetParam().input.empty()) options.stdin_path = dir_ / "input";
        for (const auto& [name, value] : GetParam().environment) {
            options.environment[name] = value == "CONFIG" ? with_path(value, dir_) : value;
        }
        return run_program(arguments, options);
    }

    const TempDir dir_;
};

bool has_word(const std::string& text, const std::string& word) {
    return text.find(word) != std::string::npos;
}

// The last line of stderr says what is wrong, and it alone does.
void expect_one_error(const std::string& err) {
    ASSERT_TRUE(err.ends_with('\n')) << err;
    const size_t before = err.rfind('\n', err.size() - 2);
    const std::string last = before == std::string::npos ? err : err.substr(before + 1);
    EXPECT_TRUE(last.starts_with("quarot: error: ") || last.starts_with("{\"error\":")) << err;
    if (last.starts_with("{")) {
        EXPECT_NO_THROW(io::Json::parse(last, "stderr").at("error").at("message").as_string());
    }
    EXPECT_FALSE(has_word(err.substr(0, err.size() - last.size()), "error:")) << err;
}

TEST_P(CommandLineTest, GivesWhatTheTableSays) {
    const CommandLine& line = GetParam();
    const Outcome outcome = run();
    SCOPED_TRACE(outcome.command + "\nstdout: " + outcome.out + "\nstderr: " + outcome.err);
    EXPECT_EQ(outcome.exit_code, line.exit_code);
    EXPECT_EQ(outcome.out.empty(), line.out.empty());
    for (const std::string& word : line.out) EXPECT_TRUE(has_word(outcome.out, word)) << word;
    for (const std::string& word : line.err) EXPECT_TRUE(has_word(outcome.err, word)) << word;
    EXPECT_FALSE(has_word(outcome.out + outcome.err, "\x1b")) << "colours";
    if (line.exit_code != 0) {
        expect_one_error(outcome.err);
    } else if (outcome.out.starts_with("{")) {
        EXPECT_NO_THROW(outcome.json()) << "stdout is one document";
    }
}

std::string case_name(const testing::TestParamInfo<CommandLine>& test) {
    return test.param.name;
}

std::vector<CommandLine> all_lines() {
    std::vector<CommandLine> all;
    for (const auto lines :
         {number_precedence_lines, choice_precedence_lines, text_precedence_lines, spelling_lines,
          number_lines, source_lines, toml_lines, limit_lines, exit_code_lines, screen_lines,
          remark_lines}) {
        for (CommandLine& line : lines()) all.push_back(std::move(line));
    }
    return all;
}

INSTANTIATE_TEST_SUITE_P(Table, CommandLineTest, testing::ValuesIn(all_lines()), case_name);

TEST(CommandLineTable, HasAtLeastSixtyLines) {
    EXPECT_GE(all_lines().size(), 60u);
}

TEST(CommandLine, AClosedStandardOutputEndsQuietly) {
    RunOptions options;
    options.close_stdout = true;
    for (const Words& words : {Words{"man"}, {"completion", "zsh"}, {"generate", "--help"}}) {
        const Outcome outcome = run_program(words, options);
        EXPECT_EQ(outcome.exit_code, 141) << outcome.command;
        EXPECT_EQ(outcome.err, "") << outcome.command;
    }
}

TEST(CommandLine, AFullStandardOutputIsCode7) {
    RunOptions options;
    options.stdout_path = "/dev/full";
    for (const Words& words : {Words{"man"}, {"completion", "fish"}, {"version", "--json"}}) {
        const Outcome outcome = run_program(words, options);
        EXPECT_EQ(outcome.exit_code, 7) << outcome.command;
        expect_one_error(outcome.err);
    }
}

}  // namespace
}  // namespace quarot::test

// What the shells propose, asked of the shells themselves where they are installed.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <sstream>

#include "e2e/expectations.h"
#include "e2e/model_surgery.h"
#include "e2e/program.h"
#include "support/temp_dir.h"

namespace quarot::test {
namespace {

using Words = std::vector<std::string>;

Words lines_of(const std::string& text) {
    Words lines;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) lines.push_back(line);
    return lines;
}

bool has(const Words& words, const std::string& word) {
    return std::count(words.begin(), words.end(), word) > 0;
}

bool is_installed(const std::string& shell) {
    return std::filesystem::exists("/usr/bin/" + shell) || std::filesystem::exists("/bin/" + shell);
}

// The flags of a command as its help lists them.
Words flags_of(const std::string& command) {
    Words flags;
    for (const std::string& line : lines_of(run_program({command, "--help"}).out)) {
        if (!line.starts_with("  -")) continue;
        std::istringstream words(line);
        for (std::string word; words >> word && word.starts_with("-");) {
            flags.push_back(word.ends_with(",") ? word.substr(0, word.size() - 1) : word);
        }
    }
    return flags;
}

const Words kCommands = {"serve",    "quantize", "plan",      "perplexity", "eval",
                         "generate", "bench",    "reproduce", "stats",      "inspect",
                         "verify",   "tokenize", "logits",    "version",    "completion"};

class Completion : public testing::Test {
  protected:
    void write_script(const std::string& shell) {
        const Outcome outcome = run_program({"completion", shell});
        expect_success(outcome);
        write_bytes(script_, outcome.out);
    }

    // What a shell prints for a script of its own, run in the test's folder.
    Words ask(const std::string& shell, const std::string& lines) {
        write_bytes(dir_ / "question", "cd '" + dir_.path() + "'\n" + lines);
        const std::string command = shell + " '" + (dir_ / "question") + "' 2>&1";
        FILE* pipe = popen(command.c_str(), "r");
        std::string text;
        std::array<char, 4096> buffer{};
        for (size_t n = 0; (n = fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) {
            text.append(buffer.data(), n);
        }
        const int status = pclose(pipe);
        EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << text;
        return lines_of(text);
    }

    // What bash proposes for the last of these words.
    Words bash(const Words& words) {
        std::string list;
        for (const std::string& word : words) list += "'" + word + "' ";
        return ask("bash", "source '" + script_ + "'\nCOMP_WORDS=(" + list +
                               ")\nCOMP_CWORD=" + std::to_string(words.size() - 1) +
                               "\n_quarot\nprintf '%s\\n' \"${COMPREPLY[@]}\"\n");
    }
    Words fish(const std::string& line) {
        return ask("fish --no-config", "source '" + script_ + "'\ncomplete -C '" + line +
                                           "' | string replace -r '\\t.*' ''\ntrue\n");
    }

    const TempDir dir_;
    const std::string script_ = dir_ / "script";
};

TEST_F(Completion, BashProposesCommandsFlagsAndChoices) {
    if (!is_installed("bash")) GTEST_SKIP() << "MISSING bash: nothing was completed";
    write_script("bash");
    EXPECT_EQ(bash({"quarot", "gen"}), (Words{"generate"}));
    for (const std::string& command : kCommands) EXPECT_TRUE(has(bash({"quarot", ""}), command));
    EXPECT_EQ(bash({"quarot", "quantize", "--rot"}), (Words{"--rotate"}));
    EXPECT_EQ(bash({"quarot", "quantize", "--rotate", ""}),
              (Words{"hadamard", "random", "aligned", "none"}));
    EXPECT_EQ(bash({"quarot", "quantize", "--rotate", "=", "r"}), (Words{"random"}));
    EXPECT_EQ(bash({"quarot", "quantize", "--rotate=r"}), (Words{"--rotate=random"}));
    EXPECT_EQ(bash({"quarot", "plan", "--recipe", "quarot-r"}),
              (Words{"quarot-rtn", "quarot-rtn-w6a6kv6", "quarot-rtn-w8a8kv8", "quarot-random"}));
    EXPECT_EQ(bash({"quarot", "completion", ""}), (Words{"bash", "zsh", "fish"}));
    EXPECT_EQ(bash({"quarot", "generate", "-n", ""}), (Words{""})) << "nobody can guess a number";
}

TEST_F(Completion, BashProposesFilesAndFolders) {
    if (!is_installed("bash")) GTEST_SKIP() << "MISSING bash: nothing was completed";
    write_script("bash");
    std::filesystem::create_directory(dir_ / "a folder");
    write_bytes(dir_ / "a file.txt", "x");
    EXPECT_EQ(bash({"quarot", "quantize", "--work-dir", "a"}), (Words{"a folder"}));
    EXPECT_EQ(bash({"quarot", "quantize", "--work-dir=a"}), (Words{"--work-dir=a folder"}));
    // A model may be either.
    for (const Words& words : {Words{"perplexity", "--text", "a"}, Words{"inspect", "a"},
                               Words{"generate", "-m", "a"}}) {
        Words line = {"quarot"};
        line.insert(line.end(), words.begin(), words.end());
        const Words files = bash(line);
        EXPECT_TRUE(has(files, "a folder") && has(files, "a file.txt")) << words[0];
    }
}

TEST_F(Completion, FishProposesTheSame) {
    if (!is_installed("fish")) GTEST_SKIP() << "MISSING fish: nothing was completed";
    write_script("fish");
    EXPECT_TRUE(has(fish("quarot gen"), "generate"));
    EXPECT_TRUE(has(fish("quarot quantize --rot"), "--rotate"));
    const Words choices = fish("quarot quantize --rotate ");
    for (const char* choice : {"hadamard", "random", "none"}) EXPECT_TRUE(has(choices, choice));
    const Words described =
        ask("fish --no-config",
            "source '" + script_ + "'\ncomplete -C 'quarot quantize --rotate '\ntrue\n");
    EXPECT_TRUE(has(described, "random")) << "a choice does not carry its flag's description";
}

TEST_F(Completion, ZshAcceptsItsScript) {
    if (!is_installed("zsh")) GTEST_SKIP() << "MISSING zsh: its script was not read";
    write_script("zsh");
    EXPECT_EQ(ask("zsh -f", "zsh -f -n '" + script_ +
                                "' && autoload -U compinit && compinit -D -u && source '" +
                                script_ + "' && print ${_comps[quarot]}\n"),
              (Words{"_quarot"}));
}

// So that neither can fall behind.
TEST_F(Completion, EveryFlagOfEveryHelpIsInEveryScriptAndTheManualPage) {
    const std::string bash = run_program({"completion", "bash"}).out;
    const std::string zsh = run_program({"completion", "zsh"}).out;
    const std::string fish = run_program({"completion", "fish"}).out;
    const std::string man = run_program({"man"}).out;
    for (const std::string& command : kCommands) {
        const Words flags = flags_of(command);
        ASSERT_GE(flags.size(), 5u) << command;
        for (const std::string& flag : flags) {
            const std::string name = flag.substr(flag.find_first_not_of('-'));
            std::string escaped;
            for (const char c : flag) escaped += c == '-' ? "\\-" : std::string(1, c);
            const std::string fish_flag = (flag.starts_with("--") ? " -l " : " -s ") + name + " ";
            EXPECT_NE(bash.find(flag), std::string::npos) << flag;
            EXPECT_NE(zsh.find(flag), std::string::npos) << flag;
            EXPECT_NE(fish.find(fish_flag), std::string::npos) << flag;
            EXPECT_NE(man.find(escaped), std::string::npos) << flag;
        }
    }
}

TEST_F(Completion, ShortHelpFitsOneScreenAndFullHelpHasExamples) {
    for (const std::string& command : kCommands) {
        const std::string first = run_program({command, "-h"}).out;
        EXPECT_LE(std::count(first.begin(), first.end(), '\n'), 24) << command;
        const std::string full = run_program({command, "--help"}).out;
        EXPECT_NE(full.find("examples:\n  "), std::string::npos) << command;
    }
}

}  // namespace
}  // namespace quarot::test

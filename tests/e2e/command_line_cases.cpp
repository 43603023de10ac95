#include "e2e/command_line_cases.h"

namespace quarot::test {

namespace {

using Words = std::vector<std::string>;

// Command lines that are right but for what follows.
Words perplexity(const Words& flags) {
    Words words = {"perplexity", "MODEL", "--text", "TEXT", "--json", "-v"};
    words.insert(words.end(), flags.begin(), flags.end());
    return words;
}
Words generate(const Words& flags) {
    Words words = {"generate", "-m", "MODEL", "-p", "abc", "-n", "2", "--ignore-eos", "--json"};
    words.insert(words.end(), flags.begin(), flags.end());
    return words;
}
Words tokenize(const Words& flags) {
    Words words = {"tokenize", "MODEL", "--json"};
    words.insert(words.end(), flags.begin(), flags.end());
    return words;
}
Words plan(const Words& flags) {
    Words words = {"plan", "MODEL", "--recipe", "quarot-rtn", "--json"};
    words.insert(words.end(), flags.begin(), flags.end());
    return words;
}

constexpr const char* kSixteen = "seqlen = 16\nwindows = 2\n";

}  // namespace

// A flag beats a variable, which beats a file, which beats the default: for numbers, texts,
// switches, choices, sizes and lists.
std::vector<CommandLine> number_precedence_lines() {
    return {
        {"DefaultsAreTold",
         generate({"-v"}),
         0,
         {"\"temperature\": 0.0"},
         {"--temp is 0, the default", "--file is not given", "--ctx is what the model has"}},
        {"NumberFromTheFile",
         perplexity({"--config", "CONFIG"}),
         0,
         {"\"seqlen\": 16"},
         {"--seqlen is 16, from ", "/config: seqlen"},
         {},
         kSixteen},
        {"NumberFromTheEnvironmentBeatsTheFile",
         perplexity({"--config", "CONFIG"}),
         0,
         {"\"seqlen\": 32", "\"windows\": 2"},
         {"--seqlen is 32, from QUAROT_SEQLEN"},
         {{"QUAROT_SEQLEN", "32"}},
         kSixteen},
        {"NumberFromTheFlagBeatsBoth",
         perplexity({"--config", "CONFIG", "--seqlen", "64"}),
         0,
         {"\"seqlen\": 64"},
         {"--seqlen is 64, from the command line"},
         {{"QUAROT_SEQLEN", "32"}},
         kSixteen},
        {"ShortNameBeatsTheVariableOfTheLongOne",
         generate({"-t", "1"}),
         0,
         {"ids"},
         {" 1 thread,"},
         {{"QUAROT_THREADS", "2"}}},
        {"ConfigPathFromTheEnvironment",
         {"perplexity", "MODEL", "--text", "TEXT", "--json"},
         0,
         {"\"seqlen\": 16"},
         {},
         {{"QUAROT_CONFIG", "CONFIG"}},
         kSixteen},
    };
}

std::vector<CommandLine> choice_precedence_lines() {
    return {
        {"SwitchFromTheFile",
         {"version", "--config", "CONFIG"},
         0,
         {"quarot.version/1"},
         {},
         {},
         "json = true\n"},
        {"SwitchFromTheEnvironmentBeatsTheFile",
         {"version", "--config", "CONFIG"},
         0,
         {"compiler  "},
         {},
         {{"QUAROT_JSON", "off"}},
         "json = true\n"},
        {"SwitchFromTheFlagBeatsBoth",
         {"version", "--config", "CONFIG", "--json"},
         0,
         {"quarot.version/1"},
         {},
         {{"QUAROT_JSON", "off"}},
         "json = false\n"},
        {"ChoiceFromTheFile",
         perplexity({"--seqlen", "64", "--config", "CONFIG"}),
         0,
         {"\"tokens\": 201"},
         {"--text-format is wikitext-rows, from "},
         {},
         "text-format = \"wikitext-rows\"\n"},
        {"ChoiceFromTheEnvironmentBeatsTheFile",
         perplexity({"--seqlen", "64", "--config", "CONFIG"}),
         0,
         {"\"tokens\": 200"},
         {"--text-format is raw, from QUAROT_TEXT_FORMAT"},
         {{"QUAROT_TEXT_FORMAT", "raw"}},
         "text-format = \"wikitext-rows\"\n"},
    };
}

std::vector<CommandLine> text_precedence_lines() {
    return {
        {"FractionFromTheFile",
         generate({"--config", "CONFIG"}),
         0,
         {"\"temperature\": 0.5", "\"seed\": 9"},
         {},
         {},
         "temp = 0.5\nseed = 9\n"},
        {"FractionFromTheFlag",
         generate({"--config", "CONFIG", "--temp", "0.25"}),
         0,
         {"\"temperature\": 0.25", "\"seed\": 8"},
         {},
         {{"QUAROT_TEMP", "0.75"}, {"QUAROT_SEED", "8"}},
         "temp = 0.5\nseed = 9\n"},
        {"TextFromTheEnvironment", tokenize({}), 0, {"97", "98"}, {}, {{"QUAROT_PROMPT", "ab"}}},
        {"ListFromTheFile",
         generate({"--config", "CONFIG", "-v"}),
         0,
         {"ids"},
         {"--stop is one, two, from "},
         {},
         "stop = [\"one\", \"two\"]\n"},
        {"ListFromTheFlagReplacesTheFiles",
         generate({"--config", "CONFIG", "-v", "--stop", "three"}),
         0,
         {"ids"},
         {"--stop is three, from the command line"},
         {},
         "stop = [\"one\", \"two\"]\n"},
        {"EmptyVariableIsNone",
         perplexity({"--config", "CONFIG"}),
         0,
         {"\"seqlen\": 16"},
         {},
         {{"QUAROT_SEQLEN", ""}},
         kSixteen},
        {"VariablesOfOtherFlagsAreNobodysBusiness",
         {"version"},
         0,
         {"commit"},
         {},
         {{"QUAROT_SEQLEN", "many"}, {"QUAROT_NOTHING", "x"}}},
        {"HiddenFlagsHaveNoVariable", generate({}), 0, {"ids"}, {}, {{"QUAROT_W_BITS", "4"}}},
    };
}

std::vector<CommandLine> spelling_lines() {
    return {
        {"ValueAfterAnEqualsSign", perplexity({"--seqlen=16"}), 0, {"\"seqlen\": 16"}},
        {"ValueThatHoldsEqualsSigns", tokenize({"--prompt=a=b"}), 0, {"97", "61", "98"}},
        {"ValueThatLooksLikeAFlag", tokenize({"-p", "--json"}), 0, {"45", "106"}},
        {"EmptyText", tokenize({"-p", ""}), 0, {"\"ids\": []"}},
        {"EmptyNumber", perplexity({"--seqlen", ""}), 2, {}, {"--seqlen is ''"}},
        {"EmptyModel", {"inspect", "-m", ""}, 2, {}, {"-m"}},
        {"EmptyChoice", generate({"--progress", ""}), 2, {}, {"--progress", "auto, json, none"}},
        {"LastOfTwoNumbersCounts",
         perplexity({"--seqlen", "32", "--seqlen", "16"}),
         0,
         {"\"seqlen\": 16"}},
        {"LastOfTwoSwitchesCounts", {"version", "--json", "--json=false"}, 0, {"compiler  "}},
        {"SwitchSpelledOut", {"version", "--json=yes"}, 0, {"quarot.version/1"}},
        {"SwitchMisspelled", {"version", "--json=perhaps"}, 2, {}, {"--json is 'perhaps'"}},
        {"ModelGivenTwice", {"inspect", "MODEL", "-m", "MODEL"}, 2, {}, {"model is given twice"}},
        {"DoubleDashEndsTheFlags", {"inspect", "--json", "--", "MODEL"}, 0, {"quarot.inspect/1"}},
        {"DoubleDashMakesAFlagAFolder", {"inspect", "--", "--json"}, 3, {}, {"--json"}},
        {"TooManyWords", {"inspect", "MODEL", "TEXT"}, 2, {}, {"argument ", "was not expected"}},
    };
}

std::vector<CommandLine> number_lines() {
    return {
        {"NumberWithALetter", perplexity({"--seqlen", "64k"}), 2, {}, {"--seqlen is '64k'"}},
        {"NumberWithASpace", perplexity({"--seqlen", " 64"}), 2, {}, {"--seqlen is ' 64'"}},
        {"NumberWithAPlus", perplexity({"--seqlen", "+64"}), 2, {}, {"--seqlen is '+64'"}},
        {"NumberBeyondInt64",
         generate({"-n", "9223372036854775808"}),
         2,
         {},
         {"--max-tokens is '9223372036854775808'"}},
        {"NumberInHexadecimal", generate({"--seed", "0x10"}), 2, {}, {"--seed is '0x10'"}},
        {"FractionForAWholeNumber", generate({"-n", "2.5"}), 2, {}, {"--max-tokens is '2.5'"}},
        {"InfiniteFraction", generate({"--temp", "inf"}), 2, {}, {"--temp is 'inf'", "0 to 10"}},
        {"FractionThatIsNoNumber", generate({"--top-p", "nan"}), 2, {}, {"--top-p is 'nan'"}},
        {"FractionBeyondFloat", generate({"--temp", "1e99"}), 2, {}, {"--temp is '1e99'"}},
        {"TemperatureAboveTheLimit", generate({"--temp", "10.1"}), 2, {}, {"--temp", "0 to 10"}},
        {"PenaltyAboveTheLimit",
         generate({"--repetition-penalty", "11"}),
         2,
         {},
         {"--repetition-penalty is '11'"}},
    };
}

std::vector<CommandLine> limit_lines() {
    return {
        {"StopStringTooLong",
         generate({"--stop", std::string(257, 'x')}),
         2,
         {},
         {"257 bytes, expected at most 256"}},
        {"StopStringThatIsNotUtf8", generate({"--stop", "\xC3"}), 2, {}, {"\\xc3 is not UTF-8"}},
        {"SystemWithoutChat", generate({"--system", "x"}), 2, {}, {"--system", "--chat"}},
        {"HugeCountOfTokensIsAsMuchAsFits",
         generate({"-n", "9223372036854775807"}),
         0,
         {"\"finish_reason\": \"length\""}},
        {"HugeTopKIsAll", generate({"--temp", "1", "--top-k", "9223372036854775807"}), 0, {"ids"}},
        {"HugeContextIsTheModels",
         generate({"--ctx", "9223372036854775807"}),
         0,
         {"ids"},
         {"warning: --ctx is 9223372036854775807"}},
        {"HugeCountOfWindowsIsAllThereAre",
         perplexity({"--seqlen", "64", "--windows", "9223372036854775807"}),
         0,
         {"\"windows\": 3"}},
        {"HugeCalibrationIsRefusedBeforeItIsMade",
         {"quantize", "MODEL", "OUT", "--method", "gptq", "--calib", "TEXT", "--seqlen", "128",
          "--nsamples", "1048576"},
         2,
         {},
         {"--nsamples", "1048576"}},
        {"HugeShardSize", plan({"--shard-size", "999999T"}), 0, {"ram_bytes"}},
        {"NegatedSwitchWithAHugeNumber",
         plan({"--no-w-clip-search=99999999999999999999"}),
         2,
         {},
         {"--no- flag"}},
        {"ShardSizeBeyondInt64", plan({"--shard-size", "9999999999T"}), 2, {}, {"--shard-size"}},
    };
}

std::vector<CommandLine> exit_code_lines() {
    return {
        {"Code0WithADocument", {"inspect", "MODEL", "--json"}, 0, {"quarot.inspect/1"}},
        {"Code0WithAText", {"inspect", "MODEL"}, 0, {"architecture"}},
        {"Code0OfVerify", {"verify", "QUANTIZED", "--json"}, 0, {"\"ok\": true"}},
        {"Code2AsAnObject",
         {"version", "--loud", "--json-errors"},
         2,
         {},
         {R"({"error":{"code":2,"message":"quarot version has no flag --loud)"}},
        {"Code2AsAnObjectByVariable",
         {"version", "--loud"},
         2,
         {},
         {R"({"error":{"code":2,)"},
         {{"QUAROT_JSON_ERRORS", "1"}}},
        {"Code3", {"inspect", "MISSING"}, 3, {}, {"missing"}},
        {"Code3OfAConfigFile", generate({"--config", "MISSING"}), 3, {}, {"--config", "missing"}},
        {"Code3AsAnObject",
         {"inspect", "MISSING", "--json", "--json-errors"},
         3,
         {},
         {R"({"error":{"code":3,)"}},
        {"Code4", perplexity({"--protocol", "llamacpp"}), 4, {}, {"--protocol llamacpp"}},
        {"Code5", {"inspect", "BROKEN"}, 5, {}, {"config.json"}},
        {"Code6", {"generate", "HUGE", "-p", "abc"}, 6, {}, {"GB of memory"}},
        {"Code7", {"logits", "MODEL", "--ids", "1", "--out", "MISSING/l"}, 7, {}, {"missing"}},
        {"Code8", {"generate", "HOT", "-p", "abc", "-n", "1"}, 8, {}, {"NaN or Inf"}},
        {"Code9", {"verify", "DAMAGED"}, 9, {"CHANGED"}, {"error: "}},
        {"Code10", generate({"--device", "cuda:1"}), 10, {}, {"cuda:1"}},
    };
}

std::vector<CommandLine> screen_lines() {
    return {
        {"Overview", {"--help"}, 0, {"usage: quarot COMMAND", "completion", "quantize"}},
        {"OverviewInShort", {"-h"}, 0, {"usage: quarot COMMAND"}},
        {"OverviewAsACommand", {"help"}, 0, {"usage: quarot COMMAND"}},
        {"Version", {"--version"}, 0, {"quarot 0"}},
        {"VersionForScripts", {"--version", "--json"}, 0, {"quarot.version/1"}},
        {"HelpInShort", {"generate", "-h"}, 0, {"usage: quarot generate MODEL [flags]", "--temp"}},
        {"HelpInFull", {"generate", "--help"}, 0, {"--min-p", "examples:", "QUAROT_THREADS=2"}},
        {"HelpBeatsMissingArguments", {"quantize", "--help"}, 0, {"usage: quarot quantize IN OUT"}},
        {"NothingAtAll", {}, 2, {}, {"no command is given; see quarot --help"}},
        {"CommandMistyped", {"genrate"}, 2, {}, {"did you mean generate?"}},
        {"CommandWithControlCharacters", {"\x1b[31m\n"}, 2, {}, {"'\\x1b[31m\\x0a'"}},
        {"HiddenCommandsAreNotProposed", {"mann"}, 2, {}, {"see quarot --help"}},
        {"FlagMistyped", generate({"--tmep", "1"}), 2, {}, {"did you mean --temp?"}},
        {"FlagOfAnotherCommand", {"inspect", "MODEL", "--temp", "1"}, 2, {}, {"no flag --temp"}},
        {"NoColourIsAskedForAndNoneComes",
         {"inspect", "MISSING"},
         3,
         {},
         {"error: "},
         {{"NO_COLOR", "1"}}},
        {"CompletionOfBash", {"completion", "bash"}, 0, {"complete -F _quarot quarot"}},
        {"CompletionOfNothing", {"completion"}, 2, {}, {"bash, zsh or fish"}},
        {"CompletionOfAnotherShell", {"completion", "tcsh"}, 2, {}, {"SHELL is 'tcsh'"}},
        {"ManualPage", {"man"}, 0, {".TH QUAROT 1", "\\-\\-repetition\\-penalty"}},
        {"OriginsGoToStandardError",
         {"version", "-v"},
         0,
         {"compiler"},
         {"--json is not given", "--progress is auto, the default"}},
    };
}

std::vector<CommandLine> remark_lines() {
    return {
        {"VersionInShort", {"-V"}, 0, {"quarot 0"}},
        {"VersionAfterAnotherFlag", {"--json", "--version"}, 0, {"quarot.version/1"}},
        {"HelpOfACommand", {"help", "generate"}, 0, {"usage: quarot generate", "examples:"}},
        {"HelpOfACommandByFlag", {"--help", "plan"}, 0, {"usage: quarot plan", "`problems`"}},
        {"HelpOfNoCommand", {"help", "genrate"}, 2, {}, {"did you mean generate?"}},
        {"FlagAfterADoubleDash", generate({"--", "-p", "a"}), 2, {}, {"-p stands after --"}},
        {"RecipeMistyped",
         {"plan", "MODEL", "--recipe", "quarto"},
         2,
         {},
         {"quarot-rtn", "did you mean quarot?"}},
        {"RecipeThatIsNearNone", {"plan", "MODEL", "--recipe", "best"}, 2, {}, {"quarot-rtn"}},
        {"SeedTooLarge",
         generate({"--seed", "99999999999999999999999"}),
         2,
         {},
         {"at most 9223372036854775807; it is too large"}},
        {"IsaThatIsNone",
         {"version"},
         2,
         {},
         {"is foo, expected one of scalar"},
         {{"QUAROT_ISA", "foo"}}},
        {"GreedyWithTopP",
         generate({"--top-p", "0.9", "--seed", "3"}),
         0,
         {"\"temperature\": 0.0"},
         {"--top-p, --seed without a temperature: the most likely token"}},
        {"ParentOfTheOutputMissing",
         {"quantize", "MODEL", "MISSING/out", "--recipe", "quarot-rtn"},
         7,
         {},
         {"missing", "mkdir -p"}},
        {"ParentOfTheFileMissing",
         {"logits", "MODEL", "--ids", "1", "--out", "MISSING/l"},
         7,
         {},
         {"missing", "mkdir -p"}},
        {"TextFromStandardInput",
         tokenize({"--text", "-"}),
         0,
         {"97,\n    98\n"},
         {},
         {},
         {},
         "ab"},
        {"PromptFromStandardInput",
         {"generate", "MODEL", "-f", "-", "-n", "1", "--ignore-eos", "--json"},
         0,
         {"97,\n    98\n"},
         {},
         {},
         {},
         "ab"},
    };
}

}  // namespace quarot::test

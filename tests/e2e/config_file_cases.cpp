// What the values of variables and of a file of --config may be, and what not.
#include "e2e/command_line_cases.h"
#include "e2e/command_words.h"

namespace quarot::test {

namespace {

CommandLine tokenized(const char* name, const std::string& config, const std::string& ids) {
    return {name, tokenize({"--config", "CONFIG"}), 0, {"\"ids\": " + ids}, {}, {}, config};
}
CommandLine refused(const char* name, const std::string& config, const Words& why) {
    return {name, generate({"--config", "CONFIG"}), 2, {}, why, {}, config};
}

std::string repeated(const std::string& text, int times) {
    std::string whole;
    for (int i = 0; i < times; ++i) whole += text;
    return whole;
}

}  // namespace

std::vector<CommandLine> source_lines() {
    return {
        {"BadValueOfAVariable",
         generate({}),
         2,
         {},
         {"QUAROT_TOP_K is 'all'"},
         {{"QUAROT_TOP_K", "all"}}},
        {"BadValueOfAFile",
         generate({"--config", "CONFIG"}),
         2,
         {},
         {"/config: top-k is 'all'"},
         {},
         "top-k = \"all\"\n"},
        {"UnknownKey",
         perplexity({"--config", "CONFIG"}),
         2,
         {},
         {"no flag --windws; did you mean windows?"},
         {},
         "windws = 3\n"},
        {"SectionInTheFile",
         perplexity({"--config", "CONFIG"}),
         2,
         {},
         {"line 1, column 1: a section, expected flags alone"},
         {},
         "[model]\nseqlen = 3\n"},
        {"FileThatIsNoToml",
         perplexity({"--config", "MODEL/model.safetensors"}),
         2,
         {},
         {"not UTF-8"}},
        {"DocumentThatIsNoToml",
         perplexity({"--config", "MODEL/config.json"}),
         2,
         {},
         {"config.json, line 1, column 1: '{' stands where a flag's name should"}},
    };
}

std::vector<CommandLine> toml_lines() {
    const CommandLine folder = {
        "FolderForAFile", generate({"--config", "MODEL"}), 3, {}, {"--config: ", "regular file"}};
    const CommandLine list = {"ListOfNumbersAndTexts",
                              generate({"--config", "CONFIG", "-v"}),
                              0,
                              {"ids"},
                              {"--stop is 1, true, a"},
                              {},
                              "stop = [1, true,\n  \"a\",  # last\n]\n"};
    const CommandLine verbose = {"VerboseFromTheFile", {"version", "--config", "CONFIG"}, 0,
                                 {"compiler"},         {"--json is not given"},           {},
                                 "verbose = true\n"};
    CommandLine large =
        refused("FileTooLarge", std::string((1 << 20) + 1, '\n'), {"1048577 bytes"});
    large.exit_code = 5;
    return {
        folder,
        list,
        verbose,
        large,
        tokenized("HashInAText", "prompt = \"a # b\"  # not this\n", "[\n    97,\n    32,\n    35"),
        tokenized("EscapesInAText", "prompt = \"\\u0061\\n\"\n", "[\n    97,\n    10\n"),
        tokenized("NoEscapesInALiteral", "prompt = 'a\\n'\n", "[\n    97,\n    92,\n    110\n"),
        tokenized("LinesInAText", "prompt = \"\"\"\na\nb\"\"\"\n", "[\n    97,\n    10,\n    98\n"),
        tokenized("QuotesAtTheEndOfLines", "prompt = \"\"\"a\"\"\"\"\n", "[\n    97,\n    34\n"),
        tokenized("LinesThatGoOn", "prompt = \"\"\"a\\\r\n  b\"\"\"\r\n", "[\n    97,\n    98\n"),
        tokenized("QuotedName", "\xEF\xBB\xBF\"prompt\" = 'a' # \n", "[\n    97\n"),
        {"NumbersOfAFile",
         generate({"--config", "CONFIG"}),
         0,
         {"\"temperature\": 0.5", "\"top_k\": 31", "\"seed\": 1000", "\"top_p\": 0.25"},
         {},
         {},
         "temp = +0.5\ntop-k = 0x1_F\nseed = 1_000\ntop-p = 25e-2"},
        tokenized("EmptyTextOfAFile", "prompt = \"\"\n", "[]"),
        refused("UnclosedText", "prompt = \"a\n",
                {"/config, line 1, column 10: ", "without the quote"}),
        refused("UnclosedLines", "seed = 1\nprompt = '''a\n''", {"line 2", "three quotes"}),
        refused("UnclosedList", "stop = [1, # 2]\n", {"line 2", "the file ends"}),
        refused("ListWithoutCommas", "stop = [1 2]\n", {"column 11", "expected , or ]"}),
        refused("UnknownEscape", "stop = \"\\q\"\n", {"column 10", "\\q is no escape"}),
        refused("EscapedLineEnd", "stop = \"\\\nq\"\n", {"column 10", "\\ is no escape"}),
        refused("EscapedLetterOfTwoBytes", "stop = \"\\\u00E9\"\n",
                {"column 10", "\\ is no escape"}),
        refused("SurrogateEscape", "stop = \"\\ud800\"\n", {"hexadecimal digits"}),
        refused("ControlCharacter", "stop = \"a\x1b\"\n", {"column 10", "\\x1b"}),
        refused("TwoOnALine", "seed = 1 temp = 2\n", {"column 10", "the end of the line"}),
        refused("NoValue", "seed =\n", {"column 7", "the line ends where a value should"}),
        refused("NoName", "= 1\n", {"column 1", "where a flag's name should"}),
        refused("DottedKey", "seed.x = 1\n", {"seed.x is no flag's name"}),
        refused("LeadingZero", "seed = 01\n", {"'01', expected"}),
        refused("StrayUnderscore", "seed = 1__0\n", {"'1__0', expected"}),
        refused("FractionWithoutDigits", "temp = 1.\n", {"'1.', expected"}),
        refused("BareWord", "temp = 1\ndevice = cpu\n", {"line 2, column 10", "text in quotes"}),
        refused("BareWords", "stop = one, two\n",
                {"line 1, column 8", "'one', expected a text in quotes"}),
        refused("KeyTwice", "seed = 1\nseed = 2\n", {"line 2, column 1", "seed is there twice"}),
        refused("NotUtf8", "stop = \"\xff\"\n", {"line 1, column 9", "not UTF-8"}),
        refused("DateForAValue", "stop = 1979-05-27\n", {"'1979-05-27', expected a text"}),
        refused("NestedList", "stop = [[\"a\"]]\n", {"'[' stands where a value should"}),
        refused("InlineTable", "stop = {a = 1}\n", {"'{' stands where a value should"}),
        refused("ListOfTables", "[[stop]]\na = 1\n", {"a section, expected flags alone"}),
        refused("InfiniteNumber", "temp = inf\n", {"line 1, column 8: 'inf', expected"}),
        refused("NotANumber", "temp = nan\n", {"'nan', expected"}),
        refused("WholeNumberBeyond64Bits", "seed = 99999999999999999999\n",
                {"seed is '99999999999999999999'"}),
        refused("FractionForAWholeNumberOfAFile", "seed = 16.0\n", {"seed is '16.0'"}),
        refused("ListForOneValue", "seed = [1, 2]\n", {"seed is a list, expected one value"}),
        refused("ZeroByteInAText", "model = \"a\\u0000b\"\n",
                {"line 1, column 13", "other than zero"}),
        refused("HelpInTheFile", "help = true\n", {"help cannot be set in a file"}),
        refused("ConfigInTheFile", "config = \"x\"\n", {"config cannot be set in a file"}),
        refused("VersionInTheFile", "version = true\n", {"version cannot be set in a file"}),
        refused("SectionWithoutAName", "[=]\n", {"a section"}),
        refused("DeepDottedKey", repeated("a.", 500000) + "a=1\n",
                {"line 1, column 1", "is no flag's name"}),
        refused("DeepList", "stop = " + repeated("[", 1000000),
                {"'[' stands where a value should"}),
    };
}

}  // namespace quarot::test

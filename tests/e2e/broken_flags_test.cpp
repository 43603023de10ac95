// Command lines that cannot be meant: the exit code, one line that names the flag, nothing left.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "e2e/expectations.h"
#include "e2e/model_surgery.h"
#include "e2e/program.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace quarot::test {
namespace {

using Words = std::vector<std::string>;
using Environment = std::map<std::string, std::string>;

struct BrokenLine {
    const char* name;
    Words arguments;  // MODEL, OTHER, TEXT, SHORT, OUT and MISSING stand for paths
    int exit_code;
    Words words;  // the message names these
    Environment environment = {};
};

void PrintTo(const BrokenLine& line, std::ostream* out) {
    *out << line.name;
}

// Command lines that are right but for what follows.
Words quantize(const Words& flags) {
    Words words = {"quantize", "MODEL", "OUT", "--recipe", "quarot-rtn"};
    words.insert(words.end(), flags.begin(), flags.end());
    return words;
}
Words gptq(const Words& flags) {
    Words words = quantize({"--method", "gptq"});
    words.insert(words.end(), flags.begin(), flags.end());
    return words;
}
Words perplexity(const Words& flags) {
    Words words = {"perplexity", "MODEL", "--text", "TEXT", "--seqlen", "16"};
    words.insert(words.end(), flags.begin(), flags.end());
    return words;
}
Words generate(const Words& flags) {
    Words words = {"generate", "-m", "MODEL", "-p", "abc", "-n", "2"};
    words.insert(words.end(), flags.begin(), flags.end());
    return words;
}
Words logits(const Words& flags) {
    Words words = {"logits", "-m", "MODEL", "--out", "OUT"};
    words.insert(words.end(), flags.begin(), flags.end());
    return words;
}

const std::vector<BrokenLine> kOfAnyCommand = {
    {"NoCommand", {}, kUsage, {"--help"}},
    {"UnknownCommand", {"dance"}, kUsage, {"dance"}},
    {"MistypedCommand", {"quantise"}, kUsage, {"quantise", "did you mean quantize"}},
    {"FlagBeforeTheCommand", {"--json", "version"}, kUsage, {"--json"}},
    {"UnknownFlag", {"version", "--loud"}, kUsage, {"--loud"}},
    {"MistypedFlag", perplexity({"--window", "2"}), kUsage, {"--window", "did you mean --windows"}},
    {"UnknownShortFlag", generate({"-z"}), kUsage, {"-z"}},
    {"ValueMissing", {"perplexity", "MODEL", "--text"}, kUsage, {"--text"}},
    {"ArgumentTooMany", quantize({"extra"}), kUsage, {"extra"}},
    {"SwitchWithAStrangeValue", {"version", "--json=maybe"}, kUsage, {"--json", "maybe"}},
    {"ConfigMissing", perplexity({"--config", "MISSING"}), kNotFound, {"--config", "missing"}},
    {"ConfigWithUnknownKey", perplexity({"--config", "SHORT"}), kUsage, {"short"}},
    {"VariableWithABadValue",
     {"perplexity", "MODEL", "--text", "TEXT"},
     kUsage,
     {"QUAROT_SEQLEN", "many"},
     {{"QUAROT_SEQLEN", "many"}}},
    {"ModelMissing", {"inspect"}, kUsage, {"-m"}},
    {"ThreadsZero", generate({"-t", "0"}), kUsage, {"--threads", "0"}},
    {"ThreadsText", generate({"--threads", "all"}), kUsage, {"--threads", "all"}},
    {"ThreadsAbsurd", generate({"-t", "99999999999999999999"}), kUsage, {"--threads"}},
    {"DeviceUnknown", generate({"--device", "abacus"}), kUsage, {"abacus"}},
    {"DeviceNotInThisBuild", generate({"--device", "cuda:1"}), kDevice, {"cuda:1"}},
    {"DeviceOfQuantizeUnknown", quantize({"--device", "abacus"}), kUsage, {"abacus"}},
    {"DeviceOfQuantizeNotThere", quantize({"--device", "cuda:77"}), kDevice, {"cuda:77"}},
    {"DeviceOfGptqNotThere",
     gptq({"--calib", "TEXT", "--seqlen", "16", "--device", "cuda:77"}),
     kDevice,
     {"cuda:77"}},
    {"QuantizeRunsOnNoReference",
     quantize({"--device", "reference"}),
     kUsage,
     {"--device", "reference"}},
    {"ModelTwice", {"inspect", "MODEL", "-m", "OTHER"}, kUsage, {"model is given twice"}},
    {"PromptFlagTwice", generate({"-p", "more"}), kUsage, {"prompt is given twice"}},
    {"PromptWithoutValue",
     {"generate", "-m", "MODEL", "-p"},
     kUsage,
     {"--prompt is given without a value"}},
    {"ChatWithoutTemplate", generate({"--chat"}), kUnsupported, {"model", "chat template"}},
    {"ChatWithTokenizerBos",
     generate({"--chat", "--tokenizer-bos", "on"}),
     kUsage,
     {"--tokenizer-bos", "--chat"}},
    {"WeightBitsOfARun", perplexity({"--w-bits", "4"}), kUsage, {"--w-bits", "when quantizing"}},
    {"InstructionSetUnknown", generate({}), kUsage, {"mmx"}, {{"QUAROT_ISA", "mmx"}}},
    {"ProgressUnknown", generate({"--progress", "loud"}), kUsage, {"--progress", "loud"}},
};

const std::vector<BrokenLine> kQuantize = {
    {"OutMissing", {"quantize", "MODEL"}, kUsage, {"OUT"}},
    {"RecipeUnknown", quantize({"--recipe", "magic"}), kUsage, {"magic", "quarot-rtn"}},
    {"DefaultRecipeWithoutText", {"quantize", "MODEL", "OUT"}, kUsage, {"--calib", "quarot"}},
    {"MethodGptqWithoutText", quantize({"--method", "gptq"}), kUsage, {"--calib", "gptq"}},
    {"OutliersWithoutText",
     quantize({"--recipe", "quik-4b"}),
     kUsage,
     {"quik-4b keeps apart", "--calib", "--recipe rtn"}},
    {"SmoothingWithoutText",
     quantize({"--recipe", "smoothquant"}),
     kUsage,
     {"smoothquant smooths", "--calib", "--recipe rtn"}},
    {"MethodUnknown", quantize({"--method", "guess"}), kUsage, {"--method", "guess"}},
    {"WeightBitsOne", quantize({"--w-bits", "1"}), kUsage, {"--w-bits", "1"}},
    {"WeightBitsNine", quantize({"--w-bits", "9"}), kUsage, {"--w-bits", "9"}},
    {"ActivationBitsText", quantize({"--a-bits", "four"}), kUsage, {"--a-bits", "four"}},
    {"KeyBitsZero", quantize({"--k-bits", "0"}), kUsage, {"--k-bits"}},
    {"ValueBitsNegative", quantize({"--v-bits", "-4"}), kUsage, {"--v-bits", "-4"}},
    {"CacheBitsFraction", quantize({"--kv-bits", "3.5"}), kUsage, {"--kv-bits", "3.5"}},
    {"DownBitsSeventeen", quantize({"--down-bits", "17"}), kUsage, {"--down-bits"}},
    {"HeadBitsEmpty", quantize({"--head-bits", ""}), kUsage, {"--head-bits"}},
    {"ActivationClipZero", quantize({"--a-clip", "0"}), kUsage, {"--a-clip"}},
    {"KeyBlockAcrossPages", quantize({"--k-block", "48"}), kUsage, {"--k-block", "16, 32 or 64"}},
    {"KeyBlockOfKeysByToken",
     quantize({"--k-block", "32"}),
     kUsage,
     {"--k-block", "--k-axis", "channel"}},
    {"KeyAxisUnknown", quantize({"--k-axis", "head"}), kUsage, {"--k-axis", "channel"}},
    {"KeyClipAboveOne", quantize({"--k-clip", "1.01"}), kUsage, {"--k-clip", "1.01"}},
    {"ValueClipNan", quantize({"--v-clip", "nan"}), kUsage, {"--v-clip", "nan"}},
    {"CacheClipNegative", quantize({"--kv-clip", "-0.5"}), kUsage, {"--kv-clip"}},
    {"RotationUnknown", quantize({"--rotate", "diagonal"}), kUsage, {"--rotate", "diagonal"}},
    {"SeedNegative", quantize({"--seed", "-1"}), kUsage, {"--seed", "-1"}},
    {"SeedTooLarge", quantize({"--seed", "4294967296"}), kUsage, {"--seed"}},
    {"DtypeUnknown", quantize({"--dtype", "f8"}), kUsage, {"--dtype", "f8"}},
    {"HadamardTypeUnknown", quantize({"--hadamard-dtype", "bf16"}), kUsage, {"--hadamard-dtype"}},
    {"GroupsThatDoNotDivide",
     quantize({"--group-size", "20"}),
     kUsage,
     {"--group-size is 20", "32 inputs", "sizes that divide"}},
    {"ActivationGroupsThatDoNotDivide",
     quantize({"--a-group-size", "64"}),
     kUsage,
     {"--a-group-size is 64", "sizes that divide"}},
    {"GroupOfSix", quantize({"--group-size", "6"}), kUsage, {"multiple of 4"}},
    {"GroupNegative", quantize({"--group-size", "-64"}), kUsage, {"--group-size"}},
    {"RealZeroOfSymmetricCodes", quantize({"--a-zero", "real"}), kUsage, {"--a-asym"}},
    {"ZeroUnknown", quantize({"--a-asym", "--a-zero", "none"}), kUsage, {"--a-zero"}},
    {"CalibrationTextMissing", gptq({"--calib", "MISSING"}), kNotFound, {"missing"}},
    {"CalibrationTextTooShort",
     gptq({"--calib", "SHORT", "--seqlen", "64"}),
     kUsage,
     {"calibration text", "64"}},
    {"CalibrationTextTooShortForAllWindows",
     gptq(
         {"--calib", "TEXT", "--seqlen", "16", "--nsamples", "100000", "--calib-windows", "first"}),
     kUsage,
     {"100000 consecutive windows"}},
    {"CalibrationWindowsLongerThanTheModel",
     gptq({"--calib", "TEXT", "--seqlen", "100000"}),
     kUsage,
     {"100000"}},
    {"SamplesZero", gptq({"--nsamples", "0"}), kUsage, {"--nsamples"}},
    {"DampAboveOne", gptq({"--damp", "2"}), kUsage, {"--damp"}},
    {"GroupScalesUnknown", gptq({"--group-scales", "old"}), kUsage, {"--group-scales"}},
    {"ScaleSearchUnknown", gptq({"--scale-search", "mse"}), kUsage, {"--scale-search"}},
    {"ScaleSearchByInputsOfNoText",
     quantize({"--scale-search", "hessian"}),
     kUsage,
     {"--scale-search", "--method"}},
    {"TargetUnknown", gptq({"--target", "best"}), kUsage, {"--target"}},
    {"RefitShareOfStoredWeights",
     gptq({"--refit-share", "0.5"}),
     kUsage,
     {"--refit-share", "--target", "refit"}},
    {"RefitShareZero",
     gptq({"--target", "refit", "--refit-share", "0"}),
     kUsage,
     {"--refit-share", "--target"}},
    {"RefitOnFullPrecision",
     gptq({"--target", "refit"}),
     kUsage,
     {"--target", "--calib-activations", "quantized"}},
    {"AlignedWithoutGroups",
     gptq({"--rotate", "aligned"}),
     kUsage,
     {"--rotate aligned", "--a-group-size", "hadamard"}},
    {"AlignedWithoutAText",
     quantize({"--rotate", "aligned", "--a-group-size", "16"}),
     kUsage,
     {"--calib", "--recipe quarot-rtn"}},
    {"AlignedValuesWithoutR2",
     gptq({"--rotate", "r1,r4", "--align-values"}),
     kUsage,
     {"--align-values", "--rotate"}},
    {"BlocksOfR4ThatDoNotDivide", quantize({"--r4-block", "7"}), kUsage, {"blocks of 7"}},
    {"BlocksBesideThoseOfRanks",
     quantize({"--r4-block", "16", "--tp-max", "2"}),
     kUsage,
     {"--r4-block", "--tp-max"}},
    {"BalanceBeyondOne", gptq({"--balance-up", "1.5"}), kUsage, {"--balance-up"}},
    {"CalibrationWindowsUnknown", gptq({"--calib-windows", "last"}), kUsage, {"--calib-windows"}},
    {"CalibrationActivationsUnknown",
     gptq({"--calib-activations", "half"}),
     kUsage,
     {"--calib-activations"}},
    {"WorkFolderIsAFile", quantize({"--work-dir", "TEXT"}), kUsage, {"text"}},
    {"WorkFolderOfSomebodyElse", quantize({"--work-dir", "OTHER"}), kUsage, {"other"}},
    {"ShardSizeZero", quantize({"--shard-size", "0"}), kUsage, {"--shard-size"}},
    {"ShardSizeUnitUnknown", quantize({"--shard-size", "5X"}), kUsage, {"--shard-size", "5X"}},
    {"ShardSizeOverflows", quantize({"--shard-size", "99999999999T"}), kUsage, {"--shard-size"}},
    {"OutExists",
     {"quantize", "MODEL", "OTHER", "--recipe", "rtn"},
     kUsage,
     {"other", "--overwrite"}},
    {"OutIsTheModel",
     {"quantize", "MODEL", "MODEL", "--overwrite", "--recipe", "rtn"},
     kUsage,
     {"model"}},
    {"OutInsideTheModel",
     {"quantize", "MODEL", "MODEL/out", "--recipe", "rtn"},
     kUsage,
     {"model/out"}},
    {"OutUnderAFile", {"quantize", "MODEL", "TEXT/out", "--recipe", "rtn"}, kIo, {"text"}},
    {"OutUnderAMissingFolder",
     {"quantize", "MODEL", "MISSING/out", "--recipe", "rtn"},
     kIo,
     {"missing"}},
};

const std::vector<BrokenLine> kRuns = {
    {"PerplexityWithoutText", {"perplexity", "MODEL"}, kUsage, {"--text"}},
    {"TextMissing", {"perplexity", "MODEL", "--text", "MISSING"}, kNotFound, {"missing"}},
    {"TextIsAFolder", {"perplexity", "MODEL", "--text", "OTHER"}, kNotFound, {"other"}},
    {"TextTooShort",
     {"perplexity", "MODEL", "--text", "SHORT", "--seqlen", "64"},
     kUsage,
     {"the text", "64", "--seqlen"}},
    {"TextFormatUnknown", perplexity({"--text-format", "pdf"}), kUsage, {"--text-format", "pdf"}},
    {"SeqlenOne", perplexity({"--seqlen", "1"}), kUsage, {"--seqlen"}},
    {"SeqlenBeyondTheModel", perplexity({"--seqlen", "1000"}), kUsage, {"--seqlen", "1000", "256"}},
    {"WindowsZero", perplexity({"--windows", "0"}), kUsage, {"--windows"}},
    {"ProtocolUnknown", perplexity({"--protocol", "exl"}), kUsage, {"--protocol", "exl"}},
    {"WindowOfLlamaCppTooShort",
     {"perplexity", "MODEL", "--text", "TEXT", "--protocol", "llamacpp", "--seqlen", "2"},
     kUsage,
     {"--seqlen", "2", "at least 3"}},
    {"PagesForOneText", perplexity({"--text-format", "wikitext-jsonl"}), kCorrupt, {"text:1"}},
    {"BaseMissing", perplexity({"--kl-base", "MISSING"}), kNotFound, {"missing"}},
    {"BaseOfAnotherVocabulary",
     perplexity({"--kl-base", "OTHER"}),
     kUsage,
     {"--kl-base", "280", "272"}},
    {"BosUnknown", perplexity({"--tokenizer-bos", "perhaps"}), kUsage, {"--tokenizer-bos"}},
    {"RunTimeBitsNine", perplexity({"--a-bits", "9"}), kUsage, {"--a-bits", "9"}},
    {"RunTimeClipTwo", perplexity({"--kv-clip", "2"}), kUsage, {"--kv-clip", "2"}},
    {"PromptMissing", {"generate", "-m", "MODEL"}, kUsage, {"-p"}},
    {"PromptTwice", generate({"-f", "TEXT"}), kUsage, {"--prompt", "--file"}},
    {"PromptFileMissing", {"generate", "-m", "MODEL", "-f", "MISSING"}, kNotFound, {"missing"}},
    {"PromptLongerThanTheContext",
     {"generate", "-m", "MODEL", "-f", "TEXT"},
     kUsage,
     {"prompt", "256"}},
    {"PromptLongerThanCtx", generate({"--ctx", "2"}), kUsage, {"3", "2", "--ctx"}},
    {"TokensZero", generate({"-n", "0"}), kUsage, {"--max-tokens"}},
    {"TemperatureNegative", generate({"--temp", "-1"}), kUsage, {"--temp", "-1"}},
    {"TemperatureNan", generate({"--temp", "nan"}), kUsage, {"--temp", "nan"}},
    {"TopKNegative", generate({"--top-k", "-5"}), kUsage, {"--top-k"}},
    {"TopPBelowZero", generate({"--top-p", "-0.1"}), kUsage, {"--top-p"}},
    {"MinPAboveOne", generate({"--min-p", "1.5"}), kUsage, {"--min-p", "1.5"}},
    {"RepetitionPenaltyZero",
     generate({"--repetition-penalty", "0"}),
     kUsage,
     {"--repetition-penalty"}},
    {"SeedText", generate({"--seed", "lucky"}), kUsage, {"--seed", "lucky"}},
    {"LogitsWithoutOut", {"logits", "-m", "MODEL", "--ids", "1"}, kUsage, {"--out"}},
    {"LogitsWithoutTokens", logits({}), kUsage, {"-p"}},
    {"LogitsOfBoth", logits({"--ids", "1", "-p", "a"}), kUsage, {"--ids"}},
    {"IdsWithAHole", logits({"--ids", "1,,2"}), kUsage, {"--ids", "1,,2"}},
    {"IdsNegative", logits({"--ids", "-1"}), kUsage, {"--ids", "-1"}},
    {"IdsText", logits({"--ids", "one"}), kUsage, {"--ids", "one"}},
    {"IdsBeyondTheVocabulary", logits({"--ids", "1,272"}), kUsage, {"--ids", "272"}},
    {"IdsBeyondInt", logits({"--ids", "4294967297"}), kUsage, {"--ids"}},
    {"LogitsFileExists",
     {"logits", "-m", "MODEL", "--ids", "1", "--out", "TEXT"},
     kUsage,
     {"--out", "--overwrite"}},
    {"LogitsUnderAMissingFolder",
     {"logits", "-m", "MODEL", "--ids", "1", "--out", "MISSING/l"},
     kIo,
     {"missing"}},
    {"TokenizeNothing", {"tokenize", "-m", "MODEL"}, kUsage, {"-p"}},
    {"TokenizeTwice",
     {"tokenize", "-m", "MODEL", "-p", "a", "--text", "TEXT"},
     kUsage,
     {"--prompt", "--text"}},
};

// Two models that differ in their vocabulary, a text of 600 tokens and one of 5.
class BrokenLineTest : public testing::TestWithParam<BrokenLine> {
  protected:
    void SetUp() override {
        write_tiny_model(dir_ / "model");
        TinyModelOptions other;
        other.vocab = 280;
        write_tiny_model(dir_ / "other", other);
        write_bytes(dir_ / "text", std::string(600, 'x'));
        write_bytes(dir_ / "short", "a = 1");
    }

    std::string with_paths(std::string word) const {
        const std::map<std::string, std::string> paths = {
            {"MODEL", "model"}, {"OTHER", "other"}, {"TEXT", "text"},
            {"SHORT", "short"}, {"OUT", "out"},     {"MISSING", "missing"}};
        const std::string name = word.substr(0, word.find('/'));
        const auto path = paths.find(name);
        return path == paths.end() ? word : dir_ / (path->second + word.substr(name.size()));
    }

    const TempDir dir_;
};

TEST_P(BrokenLineTest, IsRefusedInOneLine) {
    Words arguments;
    for (const std::string& word : GetParam().arguments) arguments.push_back(with_paths(word));
    const std::vector<std::string> before = listing(dir_.path());
    RunOptions options;
    options.environment = GetParam().environment;
    expect_failure(run_program(arguments, options), GetParam().exit_code, GetParam().words);
    EXPECT_EQ(listing(dir_.path()), before);
}

std::string line_name(const testing::TestParamInfo<BrokenLine>& info) {
    return info.param.name;
}

INSTANTIATE_TEST_SUITE_P(Commands, BrokenLineTest, testing::ValuesIn(kOfAnyCommand), line_name);
INSTANTIATE_TEST_SUITE_P(Quantize, BrokenLineTest, testing::ValuesIn(kQuantize), line_name);
INSTANTIATE_TEST_SUITE_P(Runs, BrokenLineTest, testing::ValuesIn(kRuns), line_name);

TEST(BrokenLine, IsAnObjectWithJsonErrors) {
    const Outcome outcome = run_program({"inspect", "/no/such/folder", "--json", "--json-errors"});
    EXPECT_EQ(outcome.exit_code, kNotFound);
    EXPECT_EQ(outcome.out, "");
    ASSERT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1);
    const io::Json error = io::Json::parse(outcome.err, "stderr").at("error");
    EXPECT_EQ(error.at("code").as_int(), kNotFound);
    EXPECT_NE(error.at("message").as_string().find("/no/such/folder"), std::string::npos);
}

TEST(BrokenLine, ControlCharactersDoNotReachTheTerminal) {
    const Outcome outcome = run_program({"inspect", "no\nsuch\x1b[31mfolder"});
    EXPECT_EQ(outcome.exit_code, kNotFound);
    EXPECT_EQ(outcome.err.find('\x1b'), std::string::npos);
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1);
}

}  // namespace
}  // namespace quarot::test

#include "apps/synonyms.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "apps/near_miss.h"

namespace quarot::apps {

namespace {

struct Synonym {
    std::string_view theirs, ours;
};

constexpr auto kFlagSynonyms = std::to_array<Synonym>({
    {"--temperature", "--temp"},
    {"--n-predict", "--max-tokens"},
    {"--max-new-tokens", "--max-tokens"},
    {"--num-tokens", "--max-tokens"},
    {"--repeat-penalty", "--repetition-penalty"},
    {"--ctx-size", "--ctx"},
    {"--context", "--ctx"},
    {"--max-model-len", "--ctx"},
    {"--system-prompt", "--system"},
    {"--conversation", "--chat"},
    {"--stop-string", "--stop"},
    {"--reverse-prompt", "--stop"},
    {"--num-threads", "--threads"},
    {"--calibration", "--calib"},
    {"--calib-data", "--calib"},
    {"--dataset", "--calib"},
    {"--n-samples", "--nsamples"},
    {"--num-samples", "--nsamples"},
    {"--seq-len", "--seqlen"},
    {"--sequence-length", "--seqlen"},
    {"--bits", "--w-bits"},
    {"--wbits", "--w-bits"},
    {"--abits", "--a-bits"},
    {"--groupsize", "--group-size"},
    {"--actorder", "--act-order"},
    {"--desc-act", "--act-order"},
    {"--percdamp", "--damp"},
    {"--force", "--overwrite"},
    {"--outtype", "--dtype"},
    {"--chunks", "--windows"},
    {"--task", "--tasks"},
    {"--data-dir", "--data"},
    {"--log-samples", "--log-items"},
    {"--kl-divergence-base", "--kl-base"},
    {"--verbosity", "--verbose"},
});

constexpr auto kCommandSynonyms = std::to_array<Synonym>({
    {"run", "generate"},
    {"infer", "generate"},
    {"complete", "generate"},
    {"convert", "quantize"},
    {"quant", "quantize"},
    {"ppl", "perplexity"},
    {"evaluate", "eval"},
    {"lm-eval", "eval"},
    {"info", "inspect"},
    {"show", "inspect"},
    {"check", "verify"},
    {"encode", "tokenize"},
});

// The separators that programs do not agree on.
std::string with_dashes(std::string word) {
    std::replace(word.begin(), word.end(), '_', '-');
    return word;
}

bool is_known(std::string_view word, const std::vector<std::string>& known) {
    return std::find(known.begin(), known.end(), word) != known.end();
}

}  // namespace

std::string meant_flag(const std::string& word, const std::vector<std::string>& known) {
    std::string dashed = with_dashes(word);
    if (is_known(dashed, known)) return dashed;
    for (const Synonym& synonym : kFlagSynonyms) {
        if (dashed == synonym.theirs && is_known(synonym.ours, known)) {
            return std::string(synonym.ours);
        }
    }
    return near_miss(word, known);
}

std::string meant_command(const std::string& word, const std::vector<std::string>& known) {
    for (const Synonym& synonym : kCommandSynonyms) {
        if (word == synonym.theirs && !is_known(word, known)) return std::string(synonym.ours);
    }
    return near_miss(word, known);
}

}  // namespace quarot::apps

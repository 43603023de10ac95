// Which commands are there? The one table; help, completion and the manual page follow it.
#include "apps/commands.h"

namespace quarot::apps {

namespace {

constexpr Command kCommands[] = {
    {"quantize", "rotate and quantize a model folder", quantize_command},
    {"plan", "say what a quantize job will take, and what stands in its way", plan_command},
    {"perplexity", "measure how well a model predicts a text", perplexity_command},
    {"eval", "measure how well a model answers questions, by zero-shot tasks", eval_command},
    {"generate", "continue a prompt", generate_command},
    {"chat", "hold a conversation in the terminal", chat_command},
    {"serve", "answer clients of OpenAI's interface over HTTP", serve_command},
    {"bench", "measure how fast a model runs, or a shape without any file", bench_command},
    {"reproduce", "measure every row of the paper's tables on one model", reproduce_command},
    {"stats", "tell how values are spread before and after rotation", stats_command},
    {"plot", "draw what stats, perplexity, reproduce and bench measured", plot_command},
    {"inspect", "tell what a model folder holds, from its headers alone", inspect_command},
    {"verify", "check every file of a model folder against its format and digests", verify_command},
    {"tokenize", "turn a text into token ids", tokenize_command},
    {"logits", "write the logits of every position of a prompt to a file", logits_command},
    {"version", "tell what this program is and which machine features it uses", version_command},
    {"completion", "write a script that completes command lines in your shell", completion_command},
    {"man", "write the manual page", man_command, true},
};

}  // namespace

std::span<const Command> commands() {
    return kCommands;
}

}  // namespace quarot::apps

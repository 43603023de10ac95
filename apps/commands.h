// The commands, one file each. Each declares its flags and gives back its work, so that help,
// completion and the manual page can read the flags of commands that never run.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "apps/args.h"

namespace quarot::apps {

// What a command does after its flags are parsed; failures are thrown. It holds the flags' values.
using Work = std::function<void()>;

struct Command {
    const char* name;
    const char* summary;
    Work (*declare)(Args& args);
    bool is_hidden = false;  // not for people
};

// In the order in which the overview lists them.
std::span<const Command> commands();

Work bench_command(Args& args);
Work chat_command(Args& args);
Work completion_command(Args& args);
Work eval_command(Args& args);
Work generate_command(Args& args);
Work inspect_command(Args& args);
Work logits_command(Args& args);
Work man_command(Args& args);
Work perplexity_command(Args& args);
Work plan_command(Args& args);
Work plot_command(Args& args);
Work quantize_command(Args& args);
Work reproduce_command(Args& args);
Work serve_command(Args& args);
Work stats_command(Args& args);
Work tokenize_command(Args& args);
Work verify_command(Args& args);
Work version_command(Args& args);

}  // namespace quarot::apps

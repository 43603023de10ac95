// The commands, one file each. Each declares its flags, parses them and does its work; failures are
// thrown.
#pragma once

#include <string>
#include <vector>

namespace quarot::apps {

using Words = std::vector<std::string>;  // what follows the command's name

void generate_command(const Words& words);
void inspect_command(const Words& words);
void logits_command(const Words& words);
void perplexity_command(const Words& words);
void plan_command(const Words& words);
void quantize_command(const Words& words);
void reproduce_command(const Words& words);
void tokenize_command(const Words& words);
void version_command(const Words& words);

}  // namespace quarot::apps

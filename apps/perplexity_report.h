// Perplexity and divergence as documents and as tables for people.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "eval/perplexity.h"
#include "io/json.h"

namespace quarot::apps {

using Pairs = std::vector<std::pair<std::string, std::string>>;

// "44.7912 +- 0.6712"
std::string with_error(const eval::Mean& mean, int digits = 4);

// Sets name and name_stderr (null where there is none).
void set_mean(io::Json& json, const std::string& name, const eval::Mean& mean);

io::Json divergence_to_json(const eval::Divergence& divergence);
std::string divergence_table(const eval::Divergence& divergence);

}  // namespace quarot::apps

// How is the next token chosen: by the flags, else by the folder, else greedily?
#include "apps/sampling_flags.h"

#include <fmt/format.h>

#include <limits>
#include <utility>

#include "apps/arg_values.h"
#include "core/log.h"
#include "model/limits.h"

namespace quarot::apps {

namespace {

constexpr int64_t kAnyNumber = std::numeric_limits<int64_t>::max();

// Sets `to` by the flag, or by the folder, which is then noted under the value's name.
template <typename T>
void choose(T& to, const std::optional<T>& flag, const std::optional<T>& folder, const char* name,
            std::string& from_folder) {
    if (flag) {
        to = *flag;
    } else if (folder) {
        to = *folder;
        if (!from_folder.empty()) from_folder += ", ";
        from_folder += fmt::format("{} {}", name, *folder);
    }
}

}  // namespace

void SamplingFlags::declare(Args& args) {
    args_ = &args;
    const auto add = [&args](Flag flag) {
        flag.told_by_command = true;
        args.add(std::move(flag));
    };
    add({"--temp", "T", "temperature; 0 takes the most likely token [0]",
         [this](const Given& g) {
             given_.temperature = as_number(g, 0.0f, limits::kMaxTemperature);
         },
         Shown::First});
    args.add({"--seed", "N", "of the random choice [0]",
              [this](const Given& g) {
                  seed = static_cast<uint64_t>(as_integer(g, 0, kAnyNumber));
                  has_seed_ = true;
              },
              Shown::First});
    add({"--top-k", "N", "choose among the N most likely, 0: all [0]",
         [this](const Given& g) { given_.top_k = as_integer(g, 0, kAnyNumber); }});
    add({"--top-p", "P", "choose among those that make up the share P [1]",
         [this](const Given& g) { given_.top_p = as_number(g, 0.0f, 1.0f); }});
    add({"--min-p", "P", "drop those less likely than P times the best [0]",
         [this](const Given& g) { given_.min_p = as_number(g, 0.0f, 1.0f); }});
    add({"--repetition-penalty", "R", "make tokens that came already less likely [1]",
         [this](const Given& g) {
             given_.repetition_penalty = as_number(g, 0.0f, limits::kMaxRepetitionPenalty, true);
         }});
}

Sampling SamplingFlags::resolve(const folder::GenerationDefaults& folder) const {
    Sampling sampling;
    runtime::SamplingOptions& to = sampling.options;
    std::string& noted = sampling.from_folder;
    choose(to.temperature, given_.temperature, folder.temperature, "temperature", noted);
    choose(to.top_k, given_.top_k, folder.top_k, "top-k", noted);
    choose(to.top_p, given_.top_p, folder.top_p, "top-p", noted);
    choose(to.min_p, given_.min_p, folder.min_p, "min-p", noted);
    choose(to.repetition_penalty, given_.repetition_penalty, folder.repetition_penalty,
           "repetition penalty", noted);
    if (args_ != nullptr && args_->verbose()) tell(to, folder);
    if (to.temperature == 0.0f && !given_.temperature) remark_on_greedy();
    return sampling;
}

void SamplingFlags::tell(const runtime::SamplingOptions& options,
                         const folder::GenerationDefaults& folder) const {
    const auto line = [](const char* flag, const auto& given, const auto& proposed, auto value) {
        if (given) return;  // told already
        log_info("{} is {}, {}", flag, value,
                 proposed ? "from generation_config.json" : "the default");
    };
    line("--temp", given_.temperature, folder.temperature, options.temperature);
    line("--top-k", given_.top_k, folder.top_k, options.top_k);
    line("--top-p", given_.top_p, folder.top_p, options.top_p);
    line("--min-p", given_.min_p, folder.min_p, options.min_p);
    line("--repetition-penalty", given_.repetition_penalty, folder.repetition_penalty,
         options.repetition_penalty);
}

// Of flags that shape a random choice where there is none.
void SamplingFlags::remark_on_greedy() const {
    std::string names;
    const auto add = [&names](bool given, const char* name) {
        if (given) names += (names.empty() ? "" : ", ") + std::string(name);
    };
    add(given_.top_k.has_value(), "--top-k");
    add(given_.top_p.has_value(), "--top-p");
    add(given_.min_p.has_value(), "--min-p");
    add(has_seed_, "--seed");
    if (names.empty()) return;
    log_info("{} without a temperature: the most likely token is taken; sample with --temp 0.8",
             names);
}

}  // namespace quarot::apps

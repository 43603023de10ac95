// How is the next token chosen: by the flags, else by the folder, else greedily?
#include "apps/sampling_flags.h"

#include <fmt/format.h>

#include <limits>

#include "apps/arg_values.h"
#include "core/limits.h"

namespace quarot::apps {

namespace {

constexpr int64_t kAnyCount = std::numeric_limits<int64_t>::max();

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
    args.add({"--temp", "T", "temperature; 0 takes the most likely token [0]",
              [this](const Given& g) {
                  given_.temperature = as_number(g, 0.0f, limits::kMaxTemperature);
              },
              Shown::First});
    args.add({"--seed", "N", "of the random choice [0]",
              [this](const Given& g) { seed = static_cast<uint64_t>(as_integer(g, 0, kAnyCount)); },
              Shown::First});
    args.add({"--top-k", "N", "choose among the N most likely, 0: all [0]",
              [this](const Given& g) { given_.top_k = as_integer(g, 0, kAnyCount); }});
    args.add({"--top-p", "P", "choose among those that make up the share P [1]",
              [this](const Given& g) { given_.top_p = as_number(g, 0.0f, 1.0f, true); }});
    args.add({"--min-p", "P", "drop those less likely than P times the best [0]",
              [this](const Given& g) { given_.min_p = as_number(g, 0.0f, 1.0f); }});
    args.add({"--repetition-penalty", "R", "make tokens that came already less likely [1]",
              [this](const Given& g) {
                  given_.repetition_penalty =
                      as_number(g, 0.0f, limits::kMaxRepetitionPenalty, true);
              }});
}

Sampling SamplingFlags::resolve(const model::GenerationDefaults& folder) const {
    Sampling sampling;
    runtime::SamplingOptions& to = sampling.options;
    std::string& noted = sampling.from_folder;
    choose(to.temperature, given_.temperature, folder.temperature, "temperature", noted);
    choose(to.top_k, given_.top_k, folder.top_k, "top-k", noted);
    choose(to.top_p, given_.top_p, folder.top_p, "top-p", noted);
    choose(to.min_p, given_.min_p, folder.min_p, "min-p", noted);
    choose(to.repetition_penalty, given_.repetition_penalty, folder.repetition_penalty,
           "repetition penalty", noted);
    return sampling;
}

}  // namespace quarot::apps

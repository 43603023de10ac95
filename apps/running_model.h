// What runs of a model have in common: saying what runs, and whether the model has room for it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "folder/source_model.h"
#include "io/json.h"
#include "kernels/backend.h"
#include "kernels/group.h"
#include "recipe/settings.h"
#include "runtime/model_group.h"

namespace quarot::apps {

// "quarot-rtn W4A4K4V4"; "custom W4aA4aK4V4 down 8 head 8", where "a" is a side with a zero point;
// "none W16A16K16V16" for an ordinary folder.
std::string describe(const Recipe& recipe);
// Error{Corrupt} if tokenizer.json gave an id that the model has no embedding for.
void require_vocabulary(const folder::SourceModel& source, std::span<const int32_t> ids);

// Widths of a run, as documents have them, and where it ran.
io::Json bits_to_json(const Recipe& recipe, double bits_per_weight);
io::Json backend_to_json(const kernels::BackendInfo& info);

std::string describe_threads(int n_threads);  // "1 thread", "2 threads"

// Says on stderr which backend, tier, threads, ranks and recipe a run uses, and `more` if there is
// any.
void log_run(const kernels::Backend& backend, const Recipe& recipe, const std::string& more = {});
void log_run(const std::vector<kernels::Rank>& group, const Recipe& recipe,
             const std::string& more = {});

// The folder on all ranks, as folder::load_weights does it on one.
runtime::ModelGroup load_group(std::vector<kernels::Rank> group, const folder::SourceModel& source,
                               const SettingChanges& changes, int64_t n_positions);

// As many positions as --ctx asks for, else as the model has and memory has room for, which is said
// if it is less.
int64_t context_that_fits(const folder::SourceModel& source, std::optional<int64_t> asked,
                          const SettingChanges& changes, const std::vector<kernels::Rank>& group);

// Error{Usage} naming both numbers if the model has fewer positions. `what` asks for them.
void require_positions(const folder::SourceModel& source, const std::string& what,
                       int64_t n_positions);

}  // namespace quarot::apps

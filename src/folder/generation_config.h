// How does the maker of a model want its texts sampled? As generation_config.json says.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "io/json.h"

namespace quarot::folder {

// What the file says; empty where it says nothing.
struct GenerationDefaults {
    std::optional<float> temperature;  // 0: greedy
    std::optional<int64_t> top_k;
    std::optional<float> top_p;
    std::optional<float> min_p;
    std::optional<float> repetition_penalty;
};

// do_sample false is temperature 0, whatever temperature the file names beside it; true, or nothing
// beside a value that shapes the choice (temperature, top_k, top_p, min_p), is temperature 1 unless
// the file names another. null counts as nothing. Error{Corrupt} for a value out of the range that
// its flag has.
GenerationDefaults read_generation_defaults(const io::Json& generation);

// Of a model folder; all empty without a generation_config.json.
GenerationDefaults generation_defaults_of(const std::string& folder);

}  // namespace quarot::folder

// Which RoPE a config.json asks for, in either of its two spellings.
#pragma once

#include <cstdint>
#include <string_view>

#include "io/json.h"
#include "model/config.h"

namespace quarot::folder {

// What else of a config its RoPE depends on.
struct RopeReading {
    int64_t head_dim = 0;
    int64_t max_positions = 0;  // "max_position_embeddings"
    double theta = 10000.0;     // where the file has none
    double rotary_part = 1.0;   // "partial_rotary_factor" where the file has none
    // Where rope_parameters has an object for each kind of layer: which of them.
    std::string_view layer_type = {};
};

// Reads rope_theta (rotary_emb_base) with rope_scaling, rope_parameters, or both if they agree;
// partial_rotary_factor (rotary_pct) and original_max_position_embeddings stand beside these
// objects or in them, the latter wins beside. Error{Corrupt} where they do not agree, or for values
// out of range; Error{Unsupported} naming types and settings that we lack.
model::RopeConfig read_rope(const io::Json& config, const RopeReading& reading);

// The config with `scaling`, an object like rope_scaling, in the place of what it says of RoPE's
// type; theta and partial rotation stay. Error{Unsupported} where kinds of layers have RoPE of
// their own.
io::Json with_rope_scaling(io::Json config, const io::Json& scaling);

// How long a session may be: RoPE that is stretched reaches further than the
// max_position_embeddings of a file that names the original context there.
int64_t positions_with(const model::RopeConfig& rope, int64_t max_positions);

}  // namespace quarot::folder

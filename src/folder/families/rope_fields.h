// Which RoPE a config.json asks for, in either of its two spellings.
#pragma once

#include "io/json.h"
#include "model/config.h"

namespace quarot::folder {

// Reads rope_theta with rope_scaling, rope_parameters, or both if they agree. Error{Corrupt} if
// they do not, or for values out of range; Error{Unsupported} for types other than default, linear
// and llama3.
model::RopeConfig read_rope(const io::Json& config);

}  // namespace quarot::folder

// Do a model's own weights come from 4-bit codes, so that some quantizers find their work done?
#pragma once

#include "folder/source_model.h"

namespace quarot::reproduce {

// True if, of a sample of rows from the first and the last layer, nearly every group of 32 weights
// holds at most 16 different values: what rounding in such groups leaves.
bool weights_lie_on_4_bit_grids(const folder::SourceModel& source);

}  // namespace quarot::reproduce

// quarot bench --ops: single operations of a step, beside the same in 16 bits.
#pragma once

#include "apps/bench_flags.h"

namespace quarot::apps {

// Prints the table or the document.
void measure_operations(const BenchFlags& flags);

}  // namespace quarot::apps

// quarot bench --paper: the paper's tables 14 to 17 on this machine.
#pragma once

#include "apps/bench_flags.h"

namespace quarot::apps {

// Prints the tables or the document.
void measure_paper(const BenchFlags& flags);

}  // namespace quarot::apps

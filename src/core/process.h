// What the operating system says of this process.
#pragma once

#include <cstdint>

namespace quarot {

// High-water mark of resident memory, mapped pages counted.
int64_t peak_rss_bytes();

// Installs handlers that remember SIGINT and SIGTERM; a second signal ends the process at once.
void install_interrupt_handlers();

// Throws Error{Interrupted or Terminated} if a signal came; long loops call it between steps.
void throw_if_interrupted();

}  // namespace quarot

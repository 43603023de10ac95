// What the operating system says of this process.
#pragma once

#include <cstdint>
#include <ctime>
#include <optional>

namespace quarot {

// High-water mark of resident memory, mapped pages counted.
int64_t peak_rss_bytes();

// Makes the present resident memory, unused pages given back first, the mark that
// recent_peak_rss_bytes() begins at. False where the system cannot.
bool restart_recent_peak_rss();
// High-water mark since then; empty where the system does not tell.
std::optional<int64_t> recent_peak_rss_bytes();

// The wall clock of the place where the process runs.
std::tm local_time();
// Processor time of the calling thread, so that a busy machine ends nothing early.
int64_t thread_cpu_milliseconds();

// Installs handlers that remember SIGINT and SIGTERM; a second signal ends the process at once.
void install_interrupt_handlers();

// Ends the process with an exit code; streams are flushed, but no library's own ending is run:
// OpenBLAS waits in its one for threads that may never have got memory to begin with.
[[noreturn]] void end_process(int exit_code);

// After an interruption that only ended a part of the work: the next signal counts as the first.
// SIGTERM is not forgotten.
void forget_interruption();

// Throws Error{Interrupted or Terminated} if a signal came or the thread's Watch says so; long
// loops call it between steps.
void throw_if_interrupted();

}  // namespace quarot

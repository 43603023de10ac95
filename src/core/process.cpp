#include "core/process.h"

#include <sys/resource.h>
#include <unistd.h>

#include <csignal>

#include "core/error.h"

namespace quarot {

namespace {

volatile std::sig_atomic_t pending_signal = 0;

void remember_signal(int signal) {
    if (pending_signal != 0) _exit(128 + signal);
    pending_signal = signal;
}

}  // namespace

int64_t peak_rss_bytes() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return static_cast<int64_t>(usage.ru_maxrss) * 1024;
}

void install_interrupt_handlers() {
    struct sigaction action {};
    action.sa_handler = remember_signal;
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);
    std::signal(SIGXFSZ, SIG_IGN);  // a file size limit becomes a write error with a message
    std::signal(SIGPIPE, SIG_IGN);
}

void throw_if_interrupted() {
    if (pending_signal == 0) return;
    if (pending_signal == SIGTERM) throw Error(ErrorCode::Terminated, "terminated by a signal");
    throw Error(ErrorCode::Interrupted, "interrupted");
}

}  // namespace quarot

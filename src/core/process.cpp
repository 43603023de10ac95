// Memory from getrusage and /proc; signals are remembered, since a handler may do little.
#include "core/process.h"

#include <fcntl.h>
#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include "core/error.h"
#include "core/watch.h"

// Of the address sanitizer, which asks at the end of a process that end_process() leaves out.
extern "C" __attribute__((weak)) void __lsan_do_leak_check();

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

bool restart_recent_peak_rss() {
    malloc_trim(0);
    const int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    if (fd < 0) return false;
    const bool done = write(fd, "5", 1) == 1;
    close(fd);
    return done;
}

std::optional<int64_t> recent_peak_rss_bytes() {
    const std::string label = "VmHWM:";
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);) {
        if (!line.starts_with(label)) continue;
        const size_t digits = line.find_first_of("0123456789");
        if (digits == std::string::npos) return std::nullopt;
        int64_t kib = 0;
        std::from_chars(line.data() + digits, line.data() + line.size(), kib);
        return kib * 1024;
    }
    return std::nullopt;
}

std::tm local_time() {
    const std::time_t now = std::time(nullptr);
    std::tm time{};
    localtime_r(&now, &time);
    return time;
}

int64_t thread_cpu_milliseconds() {
    std::timespec spent{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
    return int64_t{spent.tv_sec} * 1000 + spent.tv_nsec / 1'000'000;
}

void install_interrupt_handlers() {
    struct sigaction action {};
    action.sa_handler = remember_signal;
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);
    std::signal(SIGXFSZ, SIG_IGN);  // a file size limit becomes a write error with a message
    std::signal(SIGPIPE, SIG_IGN);
}

void end_process(int exit_code) {
    std::fflush(nullptr);
    if (__lsan_do_leak_check != nullptr) __lsan_do_leak_check();
    std::_Exit(exit_code);
}

void forget_interruption() {
    if (pending_signal == SIGINT) pending_signal = 0;
}

void throw_if_interrupted() {
    ask_watch();
    if (pending_signal == 0) return;
    if (pending_signal == SIGTERM) throw Error(ErrorCode::Terminated, "terminated by a signal");
    throw Error(ErrorCode::Interrupted, "interrupted");
}

}  // namespace quarot

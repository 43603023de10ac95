#include "e2e/program.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <string_view>

#include "core/error.h"

namespace quarot::test {

namespace {

constexpr auto kLongestRun = std::chrono::minutes(2);

struct Pipe {
    int read_end = -1;
    int write_end = -1;
    Pipe() {
        std::array<int, 2> ends{};
        if (pipe2(ends.data(), O_CLOEXEC) != 0) fail(ErrorCode::Io, "cannot make a pipe");
        read_end = ends[0];
        write_end = ends[1];
    }
};

std::vector<std::string> child_environment(const RunOptions& options) {
    std::vector<std::string> variables;
    for (char** entry = environ; *entry != nullptr; ++entry) {
        const std::string name(*entry, std::string_view(*entry).find('='));
        if (name.starts_with("QUAROT_") || options.environment.contains(name)) continue;
        variables.emplace_back(*entry);
    }
    for (const auto& [name, value] : options.environment) variables.push_back(name + "=" + value);
    return variables;
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
    std::vector<char*> list;
    for (std::string& text : strings) list.push_back(text.data());
    list.push_back(nullptr);
    return list;
}

// After fork(): only calls that are safe there.
[[noreturn]] void become_program(char* const* arguments, char* const* environment, int in, int out,
                                 int err, const RunOptions& options) {
    if (in >= 0) dup2(in, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    if (options.max_file_bytes) {
        const auto bytes = static_cast<rlim_t>(*options.max_file_bytes);
        const rlimit limit = {bytes, bytes};
        setrlimit(RLIMIT_FSIZE, &limit);
    }
    execve(options.program.empty() ? QUAROT_PROGRAM : options.program.c_str(), arguments,
           environment);
    _exit(127);
}

// Interferes once, when it is due.
class Stopper {
  public:
    Stopper(pid_t child, const std::optional<Stop>& stop) : child_(child), stop_(stop) {}
    int poll_milliseconds() const { return stop_ ? 1 : 1000; }
    void look() {
        if (!stop_ || !stop_->is_due()) return;
        if (stop_->signal != 0) kill(child_, stop_->signal);
        if (stop_->max_file_bytes) {
            const auto bytes = static_cast<rlim_t>(*stop_->max_file_bytes);
            const rlimit limit = {bytes, bytes};
            prlimit(child_, RLIMIT_FSIZE, &limit, nullptr);
        }
        stop_.reset();
    }

  private:
    pid_t child_;
    std::optional<Stop> stop_;
};

// Reads both until they end or the time is over; false then.
bool drain(int out_fd, int err_fd, Stopper stopper, Outcome& outcome) {
    const auto deadline = std::chrono::steady_clock::now() + kLongestRun;
    std::array<pollfd, 2> fds = {pollfd{out_fd, POLLIN, 0}, pollfd{err_fd, POLLIN, 0}};
    const std::array<std::string*, 2> texts = {&outcome.out, &outcome.err};
    std::array<char, 65536> buffer{};
    while (fds[0].fd >= 0 || fds[1].fd >= 0) {
        if (std::chrono::steady_clock::now() > deadline) return false;
        poll(fds.data(), fds.size(), stopper.poll_milliseconds());
        stopper.look();
        for (size_t i = 0; i < fds.size(); ++i) {
            if (fds[i].fd < 0 || fds[i].revents == 0) continue;
            const ssize_t n = read(fds[i].fd, buffer.data(), buffer.size());
            if (n > 0) texts[i]->append(buffer.data(), static_cast<size_t>(n));
            if (n <= 0) fds[i].fd = -1;
        }
    }
    return true;
}

int wait_for(pid_t child) {
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

}  // namespace

io::Json Outcome::json() const {
    return io::Json::parse(out, "stdout of " + command);
}

Outcome run_program(const std::vector<std::string>& arguments, const RunOptions& options) {
    std::vector<std::string> words = {"quarot"};
    words.insert(words.end(), arguments.begin(), arguments.end());
    Outcome outcome;
    for (const std::string& word : words) outcome.command += word + " ";
    std::vector<std::string> environment = child_environment(options);
    const std::vector<char*> argument_list = pointers(words);
    const std::vector<char*> environment_list = pointers(environment);

    const Pipe out, err;
    const int input =
        options.stdin_path.empty() ? -1 : open(options.stdin_path.c_str(), O_RDONLY | O_CLOEXEC);
    const int file =
        options.stdout_path.empty() ? -1 : open(options.stdout_path.c_str(), O_WRONLY | O_CLOEXEC);
    if (options.close_stdout) close(out.read_end);
    const pid_t child = fork();
    if (child < 0) fail(ErrorCode::Internal, "cannot fork");
    if (child == 0) {
        become_program(argument_list.data(), environment_list.data(), input,
                       file >= 0 ? file : out.write_end, err.write_end, options);
    }
    close(out.write_end);
    close(err.write_end);
    if (file >= 0) close(file);
    if (input >= 0) close(input);
    const bool in_time = drain(options.close_stdout ? -1 : out.read_end, err.read_end,
                               Stopper(child, options.stop), outcome);
    if (!in_time) kill(child, SIGKILL);
    outcome.exit_code = wait_for(child);
    if (!options.close_stdout) close(out.read_end);
    close(err.read_end);
    return outcome;
}

}  // namespace quarot::test

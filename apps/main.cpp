// The program: which command is meant, and what becomes of its failure.
#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <new>
#include <span>
#include <string>
#include <system_error>
#include <vector>

#include "apps/args.h"
#include "apps/commands.h"
#include "apps/flag_error.h"
#include "apps/flag_names.h"
#include "apps/help.h"
#include "apps/report.h"
#include "apps/setting_flags.h"
#include "apps/synonyms.h"
#include "build_info.h"
#include "core/error.h"
#include "core/log.h"
#include "core/process.h"
#include "io/text.h"

namespace quarot::apps {

namespace {

using Words = std::vector<std::string>;

[[noreturn]] void refuse(const std::string& name) {
    std::vector<std::string> names;
    for (const Command& command : commands()) {
        if (!command.is_hidden) names.emplace_back(command.name);
    }
    const std::string near = meant_command(name, names);
    fail(ErrorCode::Usage, "'{}' is not a command of quarot; {}", io::printable(name),
         near.empty() ? "see quarot --help" : "did you mean " + near + "?");
}

void run_command(const std::string& name, const Words& words) {
    for (const Command& command : commands()) {
        if (name != command.name) continue;
        Args args(command.name, command.summary);
        const Work work = command.declare(args);
        if (args.parse(words)) work();
        return;
    }
    refuse(name);
}

bool is_version(const std::string& word) {
    return word == "--version" || word == "-V";
}

// Among flags alone, in any order.
bool asks_for_version(const Words& words) {
    return words.front().starts_with("-") && std::any_of(words.begin(), words.end(), is_version);
}

Words without_version(Words words) {
    std::erase_if(words, is_version);
    return words;
}

void dispatch(const Words& words) {
    if (words.empty()) fail(ErrorCode::Usage, "no command is given; see quarot --help");
    const std::string& name = words.front();
    const Words rest(words.begin() + 1, words.end());
    if (name == "--help" || name == "-h" || name == "help") {
        const bool of_one = !rest.empty() && !rest.front().starts_with("-");
        return of_one ? run_command(rest.front(), {"--help"}) : print_result(overview());
    }
    if (asks_for_version(words)) {
        if (rest.empty()) return print_result(fmt::format("quarot {}\n", QUAROT_VERSION));
        return run_command("version", without_version(words));
    }
    run_command(name, rest);
}

bool wants_json_errors(const Words& words) {
    const std::string variable = environment("QUAROT_JSON_ERRORS");
    return std::count(words.begin(), words.end(), "--json-errors") > 0 ||
           (!variable.empty() && variable != "0" && variable != "false");
}

constexpr int kClosedPipe = 141;  // as of a program that SIGPIPE ends

// `flag` is the one to look at, or empty.
int report(ErrorCode code, const std::string& message, bool as_json, const std::string& flag = "") {
    const int exit_code = static_cast<int>(code);
    if (!as_json) {
        log_line(LogLevel::Error, message);
        return exit_code;
    }
    io::Json error = io::Json::Object{{"code", exit_code}, {"message", message}};
    if (!flag.empty()) error.set("flag", flag);
    fmt::print(stderr, "{}\n", io::Json(io::Json::Object{{"error", error}}).dump(-1));
    return exit_code;
}

// The border where every failure becomes one line and an exit code.
int run(const Words& words) {
    const bool json_errors = wants_json_errors(words);
    try {
        install_interrupt_handlers();
        dispatch(words);
        return 0;
    } catch (const ClosedPipe&) {
        return kClosedPipe;
    } catch (const Interrupted& interrupted) {
        return interrupted.exit_code;
    } catch (const FlagError& error) {
        return report(error.code(), in_flags(error.what()), json_errors, error.flag());
    } catch (const Error& error) {
        return report(error.code(), in_flags(error.what()), json_errors, flag_of(error.setting()));
    } catch (const std::bad_alloc&) {
        return report(ErrorCode::OutOfMemory, "out of memory", json_errors);
    } catch (const std::system_error& error) {
        const bool limit = error.code() == std::errc::resource_unavailable_try_again;
        return report(limit ? ErrorCode::OutOfMemory : ErrorCode::Internal, error.what(),
                      json_errors);
    } catch (const std::exception& error) {
        return report(ErrorCode::Internal, fmt::format("internal error: {}", error.what()),
                      json_errors);
    }
}

}  // namespace

}  // namespace quarot::apps

int main(int argc, char** argv) {
    const std::span<char*> all(argv, static_cast<size_t>(argc));
    const size_t skipped = std::min<size_t>(1, all.size());
    quarot::end_process(
        quarot::apps::run({all.begin() + static_cast<std::ptrdiff_t>(skipped), all.end()}));
}

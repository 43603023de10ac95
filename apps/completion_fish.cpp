// Completion for fish: one `complete` line for each flag as declared.
#include <fmt/format.h>

#include "apps/command_list.h"
#include "apps/completion.h"
#include "apps/report.h"

namespace quarot::apps {

namespace {

// In single quotes, where fish knows \' and \\ alone.
std::string quoted(const std::string& text) {
    std::string out = "'";
    for (const char c : text) {
        if (c == '\'' || c == '\\') out += '\\';
        out += c;
    }
    return out + "'";
}

// What may stand as the flag's value.
std::string arguments_of(const Flag& flag) {
    if (!proposed_values(flag).empty()) return " -a " + quoted(joined(proposed_values(flag), " "));
    return flag.value == "FOLDER" ? " -a '(__fish_complete_directories)'" : "";
}

std::string flag_line(const std::string& begin, const Flag& flag) {
    std::string line = begin;
    for (const std::string& name : dashed_names(flag)) {
        const bool is_long = name.starts_with("--");
        line += fmt::format(" {} {}", is_long ? "-l" : "-s", name.substr(is_long ? 2 : 1));
    }
    const std::string described = " -d " + quoted(flag.help) + "\n";
    if (flag.value.empty()) return line + described;
    if (names_a_file(flag)) return line + " -r -F" + described;
    // On a line of their own, or each would have the flag's description; the flag itself takes the
    // last line's.
    const std::string arguments = arguments_of(flag);
    const std::string values = arguments.empty() ? "" : line + " -x" + arguments + "\n";
    return values + line + " -x" + described;
}

std::string command_lines(const Args& args) {
    const std::string begin = fmt::format("complete -c quarot -n {}",
                                          quoted("__fish_seen_subcommand_from " + args.command()));
    std::string text;
    for (const Flag* flag : dashed_flags(args)) text += flag_line(begin, *flag);
    const Flag* plain = positional(args);
    if (plain != nullptr) text += begin + arguments_of(*plain) + "\n";
    return text;
}

}  // namespace

std::string fish_completion() {
    std::string text =
        "# Completes quarot in fish; written by: quarot completion fish\n"
        "complete -c quarot -f\n"
        "complete -c quarot -n __fish_use_subcommand -l help -d 'all commands'\n"
        "complete -c quarot -n __fish_use_subcommand -l version -d 'the version alone'\n";
    const auto commands = declared_commands();
    for (const auto& args : commands) {
        text += fmt::format("complete -c quarot -n __fish_use_subcommand -a {} -d {}\n",
                            args->command(), quoted(args->summary()));
    }
    for (const auto& args : commands) text += command_lines(*args);
    return text;
}

}  // namespace quarot::apps

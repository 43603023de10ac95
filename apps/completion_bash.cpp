// Completion for bash: a function of the flags as declared.
#include <fmt/format.h>

#include <string>
#include <vector>

#include "apps/command_list.h"
#include "apps/completion.h"
#include "apps/report.h"

namespace quarot::apps {

namespace {

// In the script `place` says what a word may be: a file, a folder, one of `values`, or a text that
// nobody can guess.
std::string place_of(const Flag& flag) {
    if (!proposed_values(flag).empty()) {
        return fmt::format("place=values values='{}'", joined(proposed_values(flag), " "));
    }
    if (names_a_file(flag)) return "place=file";
    return flag.value == "FOLDER" ? "place=folder" : "place=text";
}

std::string case_of_bash(const Args& args) {
    std::vector<std::string> all;
    std::string cases;
    for (const Flag* flag : dashed_flags(args)) {
        const std::vector<std::string> names = dashed_names(*flag);
        all.insert(all.end(), names.begin(), names.end());
        if (flag->value.empty()) continue;
        cases += fmt::format("        {}) {} ;;\n", joined(names, "|"), place_of(*flag));
    }
    const Flag* plain = positional(args);
    return fmt::format(
        "    {})\n        flags='{}'\n        {}\n        [[ $word == -* ]] && place=flags\n"
        "        case $previous in\n{}        esac ;;\n",
        args.command(), joined(all, " "), plain == nullptr ? "place=flags" : place_of(*plain),
        cases);
}

// A shell hands over --flag=value as three words, or as one if its COMP_WORDBREAKS has no =.
constexpr const char* kBashBegin = R"(# Completes quarot in bash; written by: quarot completion bash
_quarot() {
    local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}
    local flags='' values='' place=flags before=''
    COMPREPLY=()
    if [[ $word == --*=* ]]; then
        before=${word%%=*}= previous=${word%%=*} word=${word#*=}
    elif [[ $word == '=' ]]; then
        word=''
    elif [[ $previous == '=' ]]; then
        previous=${COMP_WORDS[COMP_CWORD-2]}
    fi
)";

constexpr const char* kBashEnd = R"(    esac
    case $place in
    flags) mapfile -t COMPREPLY < <(compgen -W "$flags" -- "$word") ;;
    values) mapfile -t COMPREPLY < <(compgen -W "$values" -- "$word") ;;
    file) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
    folder) mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
    esac
    if [[ -n $before ]]; then COMPREPLY=("${COMPREPLY[@]/#/$before}"); fi
    if [[ $place == file || $place == folder ]]; then compopt -o filenames 2>/dev/null; fi
}
complete -F _quarot quarot
)";

}  // namespace

std::string bash_completion() {
    std::string names, cases;
    for (const auto& args : declared_commands()) {
        names += args->command() + " ";
        cases += case_of_bash(*args);
    }
    return kBashBegin +
           fmt::format(
               "    if ((COMP_CWORD == 1)); then\n"
               "        mapfile -t COMPREPLY < <(compgen -W '{}--help --version' -- \"$word\")\n"
               "        return\n    fi\n    case ${{COMP_WORDS[1]}} in\n",
               names) +
           cases + kBashEnd;
}

}  // namespace quarot::apps

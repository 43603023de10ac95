// Completion for zsh: an _arguments specification of the flags as declared.
#include <fmt/format.h>

#include "apps/command_list.h"
#include "apps/completion.h"
#include "apps/report.h"

namespace quarot::apps {

namespace {

// For a description within single quotes, in brackets and between colons.
std::string escaped(const std::string& text) {
    std::string out;
    for (const char c : text) {
        if (c == '\'') {
            out += "'\\''";
            continue;
        }
        if (c == '[' || c == ']' || c == ':' || c == '\\') out += '\\';
        out += c;
    }
    return out;
}

std::string action_of(const Flag& flag) {
    if (!proposed_values(flag).empty()) {
        return fmt::format("({})", joined(proposed_values(flag), " "));
    }
    if (names_a_file(flag)) return "_files";
    return flag.value == "FOLDER" ? "_files -/" : "";
}

// One specification of _arguments for each name of the flag: '(-t --threads)-t[help]:N:'
std::string specifications(const Flag& flag) {
    const std::vector<std::string> names = dashed_names(flag);
    const bool again = flag.repeated == Repeated::AllCount;
    const std::string excluded = again              ? "*"
                                 : names.size() > 1 ? fmt::format("({})", joined(names, " "))
                                                    : "";
    std::string text;
    for (const std::string& name : names) {
        const bool joins = !flag.value.empty() && name.starts_with("--");  // --flag=value too
        text += fmt::format(" \\\n            '{}{}{}[{}]", excluded, name, joins ? "=" : "",
                            escaped(flag.help));
        if (!flag.value.empty()) text += fmt::format(":{}:{}", flag.value, action_of(flag));
        text += "'";
    }
    return text;
}

std::string case_of_zsh(const Args& args) {
    std::string text = fmt::format("    {})\n        _arguments", args.command());
    for (const Flag* flag : dashed_flags(args)) text += specifications(*flag);
    if (const Flag* plain = positional(args)) {
        text += fmt::format(" \\\n            '*:{}:{}'", plain->value, action_of(*plain));
    }
    return text + " ;;\n";
}

constexpr const char* kZshBegin = R"(#compdef quarot
# Completes quarot in zsh; written by: quarot completion zsh
_quarot() {
    local -a commands
    commands=(
)";

constexpr const char* kMiddle = R"(    )
    if ((CURRENT == 2)); then
        _describe command commands
        return
    fi
    local command=$words[2]
    shift words
    ((CURRENT--))
    case $command in
)";

// The file is either a function that zsh found by itself, or read by `source`.
constexpr const char* kZshEnd = R"(    esac
}
if [[ ${funcstack[1]-} == _quarot ]]; then
    _quarot "$@"
elif (($+functions[compdef])); then
    compdef _quarot quarot
fi
)";

}  // namespace

std::string zsh_completion() {
    std::string names, cases;
    for (const auto& args : declared_commands()) {
        names += fmt::format("        '{}:{}'\n", args->command(), escaped(args->summary()));
        cases += case_of_zsh(*args);
    }
    names += "        '--help:all commands'\n        '--version:the version alone'\n";
    return kZshBegin + names + kMiddle + cases + kZshEnd;
}

}  // namespace quarot::apps

// Which flags does each command that is shown have? All are declared, and none is run.
#include "apps/command_list.h"

#include <utility>

#include "apps/commands.h"
#include "apps/flag_names.h"

namespace quarot::apps {

std::vector<std::unique_ptr<const Args>> declared_commands() {
    std::vector<std::unique_ptr<const Args>> list;
    for (const Command& command : commands()) {
        if (command.is_hidden) continue;
        auto args = std::make_unique<Args>(command.name, command.summary);
        command.declare(*args);
        list.push_back(std::move(args));
    }
    return list;
}

std::vector<const Flag*> dashed_flags(const Args& args) {
    std::vector<const Flag*> flags;
    for (const Flag& flag : args.flags()) {
        if (flag.shown != Shown::Hidden && !dashed_names(flag).empty()) flags.push_back(&flag);
    }
    return flags;
}

std::vector<std::string> dashed_names(const Flag& flag) {
    std::vector<std::string> names = split_names(flag.names);
    std::erase_if(names, [](const std::string& name) { return !name.starts_with("-"); });
    return names;
}

const Flag* positional(const Args& args) {
    for (const Flag& flag : args.flags()) {
        if (dashed_names(flag).size() < split_names(flag.names).size()) return &flag;
    }
    return nullptr;
}

bool names_a_file(const Flag& flag) {
    return flag.value == "FILE" || flag.value == "MODEL";
}

const std::vector<std::string>& proposed_values(const Flag& flag) {
    return flag.choices.empty() ? flag.likely : flag.choices;
}

}  // namespace quarot::apps

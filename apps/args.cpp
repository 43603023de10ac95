// How do the words of a command line become the values of its flags?
#include "apps/args.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <stdexcept>
#include <utility>

#include "apps/arg_values.h"
#include "apps/flag_error.h"
#include "apps/flag_names.h"
#include "apps/help.h"
#include "apps/near_miss.h"
#include "apps/report.h"
#include "apps/synonyms.h"
#include "core/error.h"
#include "core/log.h"
#include "io/text.h"

namespace quarot::apps {

namespace {

// "did you mean --x?", or where to look.
std::string advice(const std::string& command, const std::string& near) {
    return near.empty() ? "see quarot " + command + " --help" : "did you mean " + near + "?";
}

// For -v: one line a flag.
void tell_origin(const Flag& flag, const std::string& source,
                 const std::vector<std::string>& values) {
    const std::string name = long_name(flag.names);
    const std::string initial = default_of(flag);
    if (!values.empty()) {
        const bool from_command_line = source == name;
        log_info("{} is {}, from {}", name, joined(values, ", "),
                 from_command_line ? "the command line" : source);
    } else if (initial.empty()) {
        log_info("{} is not given", name);
    } else {
        log_info("{} is {}, the default", name, initial);
    }
}

}  // namespace

std::string default_of(const Flag& flag) {
    const size_t open = flag.help.rfind('[');
    if (open == std::string::npos || !flag.help.ends_with(']')) return "";
    return flag.help.substr(open + 1, flag.help.size() - open - 2);
}

Args::Args(std::string command, std::string summary)
    : command_(std::move(command)), summary_(std::move(summary)) {
    add({"--config", "FILE", "take flags that are not given from a TOML file (see below)",
         [this](const Given& given) { config_path_ = given.value; }});
    add({"-v,--verbose", "", "say on stderr where each flag's value came from",
         [this](const Given& given) { verbose_ = as_switch(given); }});
    add({"-h", "", "the most used flags", [this](const Given&) { help_ = Help::Short; }});
    add({"--help", "", "all flags and examples", [this](const Given&) { help_ = Help::Full; }});
}

Flag& Args::add(Flag flag) {
    flags_.push_back(std::move(flag));
    return flags_.back();
}

void Args::example(const std::string& line, const std::string& what) {
    examples_.push_back({line, what});
}

void Args::note(const std::string& sentence) {
    notes_.push_back(sentence);
}

bool Args::parse(const std::vector<std::string>& words) {
    const std::vector<Values> on_command_line = split_words(words);
    for (size_t i = 0; i < kBuiltIn; ++i) {
        take(flags_[i], find(flags_[i], on_command_line[i], {}));
    }
    if (help_ != Help::None) {
        print_result(help_text(*this, help_ == Help::Full));
        return false;
    }
    const ConfigFile config = config_path_.empty() ? ConfigFile() : read_config_file(config_path_);
    check_config_keys(config);
    take(flags_[kVerbose], find(flags_[kVerbose], on_command_line[kVerbose], config));
    for (size_t i = kBuiltIn; i < flags_.size(); ++i) {
        const Found found = find(flags_[i], on_command_line[i], config);
        const bool quiet = flags_[i].shown == Shown::Hidden || flags_[i].told_by_command;
        if (verbose_ && (!quiet || !found.values.empty()))
            tell_origin(flags_[i], found.source, found.values);
        take(flags_[i], found);
    }
    return true;
}

std::vector<Args::Values> Args::split_words(const Values& words) const {
    CLI::App app;
    app.set_help_flag();
    app.allow_extras();
    std::vector<CLI::Option*> options;
    for (const Flag& flag : flags_) {
        CLI::Option* option = flag.value.empty()
                                  ? app.add_flag(flag.names)
                                  : app.add_option(flag.names)->expected(flag.n_values);
        options.push_back(option->multi_option_policy(CLI::MultiOptionPolicy::TakeAll));
    }
    try {
        app.parse(std::vector<std::string>(words.rbegin(), words.rend()));
    } catch (const CLI::ArgumentMismatch& error) {
        const std::string text = error.what();
        fail(ErrorCode::Usage, "{} is given without a value; see quarot {} --help",
             io::printable(text.substr(0, text.find(':'))), command_);
    } catch (const CLI::ParseError& error) {
        const std::string text = error.what();
        fail(ErrorCode::Usage, "{}; see quarot {} --help",
             io::printable(text.substr(0, text.find('\n'))), command_);
    } catch (const std::logic_error&) {  // CLI11 takes the value of a --no- flag for a number
        fail(ErrorCode::Usage,
             "a --no- flag has a number for its value, expected none; see quarot {} --help",
             command_);
    }
    Values leftovers = app.remaining();
    std::erase(leftovers, "--");  // which ends the flags, and is none
    check_leftovers(leftovers);
    std::vector<Values> values;
    values.reserve(options.size());
    for (const CLI::Option* option : options) values.push_back(option->results());
    return values;
}

// The first of command line, environment and file that has the flag.
Args::Found Args::find(const Flag& flag, const Values& on_command_line,
                       const ConfigFile& config) const {
    if (!on_command_line.empty()) return {long_name(flag.names), on_command_line};
    const std::string variable = flag.shown == Shown::Hidden ? "" : environment_name(flag.names);
    const std::string value = environment(variable);
    if (!value.empty()) return {variable, {value}};
    const auto entry = config.find(config_key(flag.names));
    if (entry == config.end()) return {};
    return {config_path_ + ": " + entry->first, values_in(entry->second, flag)};
}

Args::Values Args::values_in(const ConfigValue& value, const Flag& flag) const {
    if (value.is_list && flag.repeated != Repeated::AllCount) {
        fail(ErrorCode::Usage, "{}: {} is a list, expected one value", config_path_,
             config_key(flag.names));
    }
    return value.texts;
}

void Args::take(const Flag& flag, const Found& found) const {
    Values values = found.values;
    if (values.empty()) return;
    try {
        if (flag.repeated == Repeated::Refused && values.size() > 1) {
            fail(ErrorCode::Usage, "{} is given twice, '{}' and '{}', expected one",
                 config_key(flag.names), io::printable(values[0]), io::printable(values[1]));
        }
        if (flag.repeated != Repeated::AllCount) values = {values.back()};
        for (const std::string& value : values) {
            const Given given = {found.source, value};
            if (!flag.choices.empty()) as_choice(given, flag.choices);
            flag.set(given);
        }
    } catch (const Error& error) {
        throw FlagError(error, long_name(flag.names));
    }
}

void Args::check_leftovers(const Values& leftovers) const {
    if (leftovers.empty()) return;
    const std::string& word = leftovers.front();
    if (!word.starts_with("-")) {
        fail(ErrorCode::Usage, "argument '{}' was not expected; see quarot {} --help",
             io::printable(word), command_);
    }
    std::vector<std::string> known;
    for (const Flag& flag : flags_) {
        if (flag.shown == Shown::Hidden) continue;
        for (const std::string& name : split_names(flag.names)) known.push_back(name);
    }
    const std::string flag = word.substr(0, word.find('='));
    if (std::count(known.begin(), known.end(), flag) > 0) {
        fail(ErrorCode::Usage, "{} stands after --, which ends the flags; see quarot {} --help",
             flag, command_);
    }
    fail(ErrorCode::Usage, "quarot {} has no flag {}; {}", command_, io::printable(flag),
         advice(command_, meant_flag(flag, known)));
}

void Args::check_config_keys(const ConfigFile& config) const {
    const std::vector<std::string> too_late = {"config", "h", "help", "version", "json-errors"};
    std::vector<std::string> known;
    for (const Flag& flag : flags_) {
        const std::string key = config_key(flag.names);
        const bool is_key = std::count(too_late.begin(), too_late.end(), key) == 0;
        if (is_key && long_name(flag.names).starts_with("-")) known.push_back(key);
    }
    for (const auto& [key, value] : config) {
        if (std::count(too_late.begin(), too_late.end(), key) > 0) {
            fail(ErrorCode::Usage, "{}: {} cannot be set in a file, only on the command line",
                 config_path_, key);
        }
        if (std::find(known.begin(), known.end(), key) != known.end()) continue;
        fail(ErrorCode::Usage, "{}: quarot {} has no flag --{}; {}", config_path_, command_,
             io::printable(key), advice(command_, near_miss(key, known)));
    }
}

}  // namespace quarot::apps

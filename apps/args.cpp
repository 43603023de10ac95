#include "apps/args.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <map>
#include <utility>

#include "apps/help.h"
#include "apps/near_miss.h"
#include "apps/report.h"
#include "core/error.h"

namespace quarot::apps {

namespace {

std::string first_line(const std::string& text) {
    return text.substr(0, text.find('\n'));
}

// Values of a TOML file by flag name without dashes.
std::map<std::string, std::vector<std::string>> read_config(const std::string& path) {
    std::map<std::string, std::vector<std::string>> values;
    try {
        for (const CLI::ConfigItem& item : CLI::ConfigTOML().from_file(path)) {
            if (!item.parents.empty()) {
                fail(ErrorCode::Usage, "{}: section [{}] is not known, expected keys alone", path,
                     item.parents.front());
            }
            values[item.name] = item.inputs;
        }
    } catch (const CLI::FileError&) {
        fail(ErrorCode::NotFound, "--config: cannot read {}", path);
    } catch (const CLI::ParseError& error) {
        fail(ErrorCode::Usage, "{}: {}", path, first_line(error.what()));
    }
    return values;
}

}  // namespace

std::vector<std::string> split_names(const std::string& names) {
    std::vector<std::string> parts;
    for (size_t start = 0; start <= names.size();) {
        const size_t comma = std::min(names.find(',', start), names.size());
        const std::string name = names.substr(start, comma - start);
        parts.push_back(name.starts_with("!") ? name.substr(1) : name);
        start = comma + 1;
    }
    return parts;
}

std::string long_name(const std::string& names) {
    const std::vector<std::string> parts = split_names(names);
    for (const std::string& part : parts) {
        if (part.starts_with("--")) return part;
    }
    return parts.front();
}

std::string environment_name(const std::string& names) {
    const std::string name = long_name(names);
    if (!name.starts_with("-")) return "";
    std::string variable = "QUAROT_";
    for (const char c : name.substr(name.find_first_not_of('-'))) {
        variable += c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    }
    return variable;
}

std::string environment(const std::string& variable) {
    const char* value = variable.empty() ? nullptr : std::getenv(variable.c_str());
    return value == nullptr ? "" : value;
}

Args::Args(std::string command, std::string summary, std::vector<std::string> words)
    : command_(std::move(command)), summary_(std::move(summary)), words_(std::move(words)) {
    add({"--config", "FILE", "take flags that are not given from a TOML file",
         [this](const Given& given) { config_path_ = given.value; }});
    add({"-h", "", "the most used flags", [this](const Given&) { help_ = Help::Short; }});
    add({"--help", "", "all flags and examples", [this](const Given&) { help_ = Help::Full; }});
}

void Args::add(Flag flag) {
    flags_.push_back(std::move(flag));
}

void Args::example(const std::string& line, const std::string& what) {
    examples_.push_back({line, what});
}

bool Args::parse() {
    const std::vector<Values> on_command_line = parse_words();
    for (size_t i = 0; i < kBuiltIn; ++i) take(flags_[i], on_command_line[i], {});
    if (help_ != Help::None) {
        print_result(help_text(command_, summary_, flags_, examples_, help_ == Help::Full));
        return false;
    }
    const Config config = config_path_.empty() ? Config() : read_config(config_path_);
    check_config_keys(config);
    for (size_t i = kBuiltIn; i < flags_.size(); ++i) take(flags_[i], on_command_line[i], config);
    return true;
}

std::vector<Args::Values> Args::parse_words() const {
    CLI::App app;
    app.set_help_flag();
    app.allow_extras();
    std::vector<CLI::Option*> options;
    for (const Flag& flag : flags_) {
        CLI::Option* option =
            flag.value.empty() ? app.add_flag(flag.names) : app.add_option(flag.names)->expected(1);
        options.push_back(option->multi_option_policy(CLI::MultiOptionPolicy::TakeAll));
    }
    try {
        app.parse(std::vector<std::string>(words_.rbegin(), words_.rend()));
    } catch (const CLI::ArgumentMismatch& error) {
        const std::string text = error.what();
        fail(ErrorCode::Usage, "{} is given without a value; see quarot {} --help",
             text.substr(0, text.find(':')), command_);
    } catch (const CLI::ParseError& error) {
        fail(ErrorCode::Usage, "{}; see quarot {} --help", first_line(error.what()), command_);
    }
    check_leftovers(app.remaining());
    std::vector<Values> values;
    for (const CLI::Option* option : options) values.push_back(option->results());
    return values;
}

// The first of command line, environment and file that has the flag.
void Args::take(const Flag& flag, const Values& on_command_line, const Config& config) const {
    const std::string name = long_name(flag.names);
    std::string source = name;
    Values values = on_command_line;
    if (flag.repeated == Repeated::Refused && values.size() > 1) {
        fail(ErrorCode::Usage, "{} is given twice, '{}' and '{}', expected one",
             name.substr(name.find_first_not_of('-')), values[0], values[1]);
    }
    const std::string variable = flag.shown == Shown::Hidden ? "" : environment_name(flag.names);
    if (values.empty() && !environment(variable).empty()) {
        source = variable;
        values = {environment(variable)};
    }
    const auto entry = config.find(name.substr(std::min(name.find_first_not_of('-'), name.size())));
    if (values.empty() && entry != config.end()) {
        source = config_path_ + ": " + entry->first;
        values = entry->second;
    }
    if (values.empty()) return;
    if (flag.repeated != Repeated::AllCount) values = {values.back()};
    for (const std::string& value : values) flag.set({source, value});
}

void Args::check_leftovers(const Values& leftovers) const {
    if (leftovers.empty()) return;
    const std::string& word = leftovers.front();
    if (!word.starts_with("-")) {
        fail(ErrorCode::Usage, "argument '{}' was not expected; see quarot {} --help", word,
             command_);
    }
    std::vector<std::string> known;
    for (const Flag& flag : flags_) {
        if (flag.shown == Shown::Hidden) continue;
        for (const std::string& name : split_names(flag.names)) known.push_back(name);
    }
    const std::string flag = word.substr(0, word.find('='));
    const std::string near = near_miss(flag, known);
    fail(ErrorCode::Usage, "quarot {} has no flag {}; {}", command_, flag,
         near.empty() ? "see quarot " + command_ + " --help" : "did you mean " + near + "?");
}

void Args::check_config_keys(const Config& config) const {
    for (const auto& [key, values] : config) {
        const bool known = std::any_of(flags_.begin(), flags_.end(), [&](const Flag& flag) {
            const std::string name = long_name(flag.names);
            return name.starts_with("-") && name.substr(name.find_first_not_of('-')) == key;
        });
        if (!known) {
            fail(ErrorCode::Usage, "{}: quarot {} has no flag --{}", config_path_, command_, key);
        }
    }
}

}  // namespace quarot::apps

// The command line of one command: which flags there are and where each value came from.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "apps/config_file.h"
#include "apps/given.h"

namespace quarot::apps {

// On the screen of -h, only on that of --help, or nowhere. A hidden flag has no variable either.
enum class Shown { First, Full, Hidden };

// What a flag given several times on the command line means.
enum class Repeated { LastCounts, AllCount, Refused };

// Of a positional argument: as many values as there are.
inline constexpr int kUnlimited = -1;

struct Flag {
    std::string names;  // as "-t,--threads"; a name without dashes is a positional argument
    std::string value;  // what stands for the value in the help; FILE, FOLDER and MODEL (either)
                        // are completed as such; empty: a switch
    std::string help;   // ends with "[the default]" where there is one
    std::function<void(const Given&)> set;  // not called if nobody gave the flag
    Shown shown = Shown::Full;
    Repeated repeated = Repeated::LastCounts;
    std::vector<std::string> choices = {};  // other values are refused, unless there are none here
    std::vector<std::string> likely = {};   // for completion alone, where other values exist too
    bool told_by_command = false;  // -v leaves its default to the command, which knows it later
    int n_values = 1;              // that follow it; with several, all count
};

struct Example {
    std::string line;
    std::string what;
};

// Flags are declared first, then parse() fills them. A flag beats the environment variable
// QUAROT_<FLAG>, which beats the file of --config (TOML, keys are the flags' names).
class Args {
  public:
    Args(std::string command, std::string summary);
    Args(const Args&) = delete;
    Args& operator=(const Args&) = delete;

    // The flag as declared, so that .choices or .likely can follow; valid until the next add().
    Flag& add(Flag flag);
    void example(const std::string& line, const std::string& what);
    void note(const std::string& sentence);  // below the flags

    // words: what follows the command's name. Calls `set` of what was given, in the order of
    // declaration. False if help was asked for; it has been printed then. Error{Usage} naming the
    // flag.
    bool parse(const std::vector<std::string>& words);

    bool verbose() const { return verbose_; }
    const std::string& command() const { return command_; }
    const std::string& summary() const { return summary_; }
    const std::vector<Flag>& flags() const { return flags_; }
    const std::vector<Example>& examples() const { return examples_; }
    const std::vector<std::string>& notes() const { return notes_; }

  private:
    using Values = std::vector<std::string>;
    // What was given for one flag, and by whom.
    struct Found {
        std::string source;
        Values values;  // empty: nothing
    };
    enum class Help { None, Short, Full };
    static constexpr size_t kBuiltIn = 4;  // --config, -v, -h, --help come first
    static constexpr size_t kVerbose = 1;

    std::vector<Values> split_words(const Values& words) const;  // by flag
    Found find(const Flag& flag, const Values& on_command_line, const ConfigFile& config) const;
    void take(const Flag& flag, const Found& found) const;
    void check_leftovers(const Values& leftovers) const;
    Values values_in(const ConfigValue& value, const Flag& flag) const;
    void check_config_keys(const ConfigFile& config) const;

    std::string command_;
    std::string summary_;
    std::vector<Flag> flags_;
    std::vector<Example> examples_;
    std::vector<std::string> notes_;
    std::string config_path_;
    bool verbose_ = false;
    Help help_ = Help::None;
};

// What stands in brackets at the end of a flag's help; empty if nothing does.
std::string default_of(const Flag& flag);

}  // namespace quarot::apps

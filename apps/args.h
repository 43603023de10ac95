// The command line of one command: which flags there are and where each value came from.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace quarot::apps {

// One value somebody gave.
struct Given {
    std::string source;  // for messages: "--seqlen", "QUAROT_SEQLEN" or "run.toml: seqlen"
    std::string value;   // of a switch: "true" or "false"
};

// On the screen of -h, only on that of --help, or nowhere. A hidden flag has no variable either.
enum class Shown { First, Full, Hidden };

// What a flag given several times on the command line means.
enum class Repeated { LastCounts, AllCount, Refused };

struct Flag {
    std::string names;  // as "-t,--threads"; a name without dashes is a positional argument
    std::string value;  // what stands for the value in the help; empty: a switch
    std::string help;
    std::function<void(const Given&)> set;  // not called if nobody gave the flag
    Shown shown = Shown::Full;
    Repeated repeated = Repeated::LastCounts;
};

struct Example {
    std::string line;
    std::string what;
};

// Flags are declared first, then parse() fills them. A flag beats the environment variable
// QUAROT_<FLAG>, which beats the file of --config (TOML, keys are the flags' names).
class Args {
  public:
    // words: what follows the command's name.
    Args(std::string command, std::string summary, std::vector<std::string> words);
    Args(const Args&) = delete;
    Args& operator=(const Args&) = delete;

    void add(Flag flag);
    void example(const std::string& line, const std::string& what);

    // Calls `set` of what was given. False if help was asked for; it has been printed then.
    // Error{Usage} naming the flag.
    bool parse();

  private:
    using Values = std::vector<std::string>;
    using Config = std::map<std::string, Values>;
    enum class Help { None, Short, Full };
    static constexpr size_t kBuiltIn = 3;  // --config, -h, --help come first

    std::vector<Values> parse_words() const;  // by flag
    void take(const Flag& flag, const Values& on_command_line, const Config& config) const;
    void check_leftovers(const Values& leftovers) const;
    void check_config_keys(const Config& config) const;

    std::string command_;
    std::string summary_;
    std::vector<std::string> words_;
    std::vector<Flag> flags_;
    std::vector<Example> examples_;
    std::string config_path_;
    Help help_ = Help::None;
};

// The names of a flag; "!--no-x" as "--no-x".
std::vector<std::string> split_names(const std::string& names);
// "--w-bits" of "-w,--w-bits"; the short or positional name if there is no long one.
std::string long_name(const std::string& names);
// "QUAROT_W_BITS"; empty for a positional argument.
std::string environment_name(const std::string& names);
// The variable's value; empty if it is not set.
std::string environment(const std::string& variable);

}  // namespace quarot::apps

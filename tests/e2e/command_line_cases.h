// The table of command lines: what is given by flag, environment and file, and what must come out.
#pragma once

#include <map>
#include <ostream>
#include <string>
#include <vector>

namespace quarot::test {

// Words in capitals stand for paths: MODEL and TEXT are fine, QUANTIZED is MODEL quantized, DAMAGED
// is that with a changed byte, BROKEN has a config.json that is none, HOT has weights that
// overflow, HUGE wants more memory than there is, CONFIG holds `config`, OUT and MISSING are not
// there.
struct CommandLine {
    const char* name;
    std::vector<std::string> arguments;
    int exit_code = 0;
    std::vector<std::string> out = {};  // stdout has these words; none: it is empty
    std::vector<std::string> err = {};  // stderr has these words
    std::map<std::string, std::string> environment = {};
    std::string config = {};  // a TOML file, in place of CONFIG
    std::string input = {};   // standard input
};

inline void PrintTo(const CommandLine& line, std::ostream* out) {
    *out << line.name;
}

// A flag beats a variable, which beats a file, which beats the default.
std::vector<CommandLine> number_precedence_lines();
std::vector<CommandLine> choice_precedence_lines();  // and switches
std::vector<CommandLine> text_precedence_lines();    // fractions, texts, lists, what is no value
// Values
std::vector<CommandLine> spelling_lines();   // how they are written and repeated
std::vector<CommandLine> number_lines();     // that are none, or out of range
std::vector<CommandLine> source_lines();     // bad ones of variables and files
std::vector<CommandLine> toml_lines();       // what a file of --config may hold, and what not
std::vector<CommandLine> limit_lines();      // too large, or as much as there is
std::vector<CommandLine> exit_code_lines();  // every code that can be brought about
std::vector<CommandLine> screen_lines();     // help, versions, completion, what comes near
std::vector<CommandLine> remark_lines();     // hints, remarks, standard input

}  // namespace quarot::test

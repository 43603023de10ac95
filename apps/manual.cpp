// quarot man: the manual page, for whoever packs the program.
#include "apps/manual.h"

#include <fmt/format.h>

#include "apps/command_list.h"
#include "apps/commands.h"
#include "apps/help.h"
#include "apps/report.h"
#include "build_info.h"

namespace quarot::apps {

namespace {

// Backslashes, dashes that are to be typed, and lines that would be read as requests.
std::string roff(const std::string& text) {
    std::string out;
    for (const char c : text) {
        const bool begins_line = out.empty() || out.back() == '\n';
        if (begins_line && (c == '.' || c == '\'')) out += "\\&";
        if (c == '\\') {
            out += "\\e";
        } else {
            out += c == '-' ? "\\-" : std::string(1, c);
        }
    }
    return out;
}

std::string entry(const std::string& term, const std::string& text) {
    return fmt::format(".TP\n.B {}\n{}\n", roff(term), roff(text));
}

std::string command_section(const Args& args) {
    std::string text =
        fmt::format(".SS \"{}\"\n{}.\n", roff(usage_line(args)), roff(args.summary()));
    for (const Shown shown : {Shown::First, Shown::Full}) {
        for (const Flag& flag : args.flags()) {
            if (flag.shown == shown) text += entry(flag_synopsis(flag), flag.help);
        }
    }
    for (const std::string& note : args.notes()) text += fmt::format(".PP\n{}\n", roff(note));
    for (const Example& example : args.examples()) {
        text += fmt::format(".PP\n{}:\n.PP\n.nf\n.RS\n{}\n.RE\n.fi\n", roff(example.what),
                            roff(example.line));
    }
    return text;
}

std::string exit_status() {
    const std::pair<const char*, const char*> codes[] = {
        {"0", "all is well"},
        {"1", "an error of the program itself"},
        {"2", "a command line that cannot be meant"},
        {"3", "an input is missing or cannot be read"},
        {"4", "a model or feature that this version does not have"},
        {"5", "a file that breaks its format"},
        {"6", "out of memory, or beyond a limit"},
        {"7",
         "reading or writing failed, the disk is full, or another process works in the folder"},
        {"8", "a number that is none arose while computing"},
        {"9", "a check failed"},
        {"10", "a device is missing or failed"},
        {"130, 143", "interrupted or terminated by a signal; a quantize job can be resumed"},
        {"141", "nobody reads standard output any more"}};
    std::string text = ".SH EXIT STATUS\n";
    for (const auto& [code, meaning] : codes) text += entry(code, meaning);
    return text;
}

std::string files_section() {
    return ".SH FILES\n" +
           entry("FILE of --config",
                 "TOML without sections, of at most 1 MiB. A line is the name of a flag without "
                 "its dashes, =, and a text in quotes, a number, true, false, or a list of these "
                 "in brackets for a flag that may be given several times: threads = 2, method = "
                 "\"gptq\", json = true, stop = [\"one\", \"two\"]. Flags and variables of the "
                 "environment come before it.");
}

std::string environment_section() {
    return ".SH ENVIRONMENT\n" +
           entry("QUAROT_<FLAG>",
                 "Sets a flag that is not on the command line: QUAROT_THREADS=2 is --threads 2. "
                 "The file of --config comes after it.") +
           entry("QUAROT_ISA",
                 "scalar, avx2, avx512vnni or amx: the instructions of the cpu device.");
}

}  // namespace

std::string manual_page() {
    std::string text = fmt::format(
        ".TH QUAROT 1 \"\" \"quarot {}\"\n.SH NAME\nquarot \\- rotate, quantize to 4 bits and run "
        "large language models\n.SH SYNOPSIS\n.B quarot\n.I COMMAND\n[flags]\n.SH DESCRIPTION\n"
        "Takes a model folder as model hubs publish them, rotates it so that no channel has "
        "outliers, quantizes weights, activations and cache to 4 bits, and runs it with integer "
        "arithmetic. Results go to standard output, everything else to standard error.\n"
        ".SH COMMANDS\n",
        QUAROT_VERSION);
    for (const auto& args : declared_commands()) text += command_section(*args);
    return text + exit_status() + environment_section() + files_section();
}

Work man_command(Args& args) {
    args.example("quarot man > quarot.1", "as installed");
    return [] { print_result(manual_page()); };
}

}  // namespace quarot::apps

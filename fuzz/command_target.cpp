// A TOML file of --config, then the words of a command line, one a line, for flags of every kind.
#include <limits>
#include <sstream>
#include <variant>

#include "apps/arg_values.h"
#include "apps/args.h"
#include "apps/commands.h"
#include "fuzz/target.h"
#include "recipe/settings.h"

namespace quarot::apps {

// The flags stand here alone, without the program's commands.
std::span<const Command> commands() {
    return {};
}

}  // namespace quarot::apps

namespace quarot::fuzz {
namespace {

using apps::Given;

// Words that would open a file or print pages of help.
bool acts_at_once(const std::string& word) {
    const bool is_short = word.size() > 1 && word[0] == '-' && word[1] != '-';
    return word.starts_with("--config") || word.starts_with("--help") ||
           word.starts_with("--verbose") ||
           (is_short && word.find_first_of("hv") != std::string::npos);
}

std::vector<std::string> words_of(std::string_view text) {
    std::vector<std::string> words;
    std::istringstream lines{std::string(text)};
    for (std::string line; std::getline(lines, line);) {
        if (!acts_at_once(line)) words.push_back(line);
    }
    return words;
}

void declare(apps::Args& args) {
    args.add(
        {"MODEL", "FOLDER", "", [](const Given&) {}, apps::Shown::First, apps::Repeated::Refused});
    args.add({"-t,--threads", "N", "", [](const Given& given) {
                  const int64_t n = apps::as_integer(given, 1, 64);
                  expect(n >= 1 && n <= 64, "an integer beyond its range");
              }});
    args.add({"--temp", "T", "", [](const Given& given) {
                  const float t = apps::as_number(given, 0.0f, 10.0f);
                  expect(t >= 0.0f && t <= 10.0f, "a number beyond its range");
              }});
    args.add({"--json,!--no-json", "", "", [](const Given& given) { apps::as_switch(given); }});
    args.add({"--w-bits", "N", "", [](const Given& given) {
                  const SettingField& field = recipe_setting("weights.bits").field;
                  const auto bits = std::get<int64_t>(apps::as_setting(given, field));
                  expect((bits >= 2 && bits <= 8) || bits == 16, "a width that does not exist");
              }});
    args.add({"--shard-size", "SIZE", "", [](const Given& given) {
                  expect(apps::as_byte_count(given) > 0, "a size that is not above 0");
              }});
    args.add({"--ids", "IDS", "", [](const Given& given) {
                  for (const int32_t id : apps::as_ids(given)) expect(id >= 0, "an id below 0");
              }});
    args.add(
        {"--stop", "TEXT", "", [](const Given&) {}, apps::Shown::Full, apps::Repeated::AllCount});
    args.add({"--method", "NAME", "", [](const Given& given) {
                  apps::as_choice(given, {"rtn", "gptq"});
              }});
}

void run(std::string_view input) {
    apps::parse_config_file(take_segment(input), "run.toml");
    apps::Args args("generate", "Continue a prompt.");
    declare(args);
    args.parse(words_of(input));
}

std::vector<std::string> seeds() {
    const auto line = [](const std::string& words) { return join_segments({"", words}); };
    return {join_segments({"threads = 2\ntemp = 0.5\nstop = [\"a\", \"b\"]\n", "model\n--json"}),
            "[section]\nthreads = 2\n",
            "a = \"b\nc",
            "threads = [1, 2\n# comment\n",
            "x.y = 1\n",
            "= = =\n",
            "prompt = \"a # b\"  # c\n",
            "prompt = \"unclosed",
            "a = \"b\\\nc",
            line("m\n--no-json=99999999999999999999"),
            "a = \"\\\u00e9\"",
            "prompt = '''\na\tb'''\nother = \"\\u0041\\n\\u0000\"",
            "a = bare",
            "[=]",
            "[[#]]",
            "a = 1\na = 2",
            "a = [[1], {b = 2}]",
            "a = 1979-05-27T07:32:00Z\nb = inf",
            "a = 1e400\nb = 99999999999999999999\nc = 0xFF\nd = 1_000\ne = -0.0",
            "[[a]]\n[a.b]\n\"\".c = {}",
            "\xef\xbb\xbf"
            "a = \"\xff\"",
            line("model\n-t\n2\n--temp=0.7\n--no-json\n--w-bits\n4"),
            line("--shard-size\n5G\n--ids\n1,2,3\n--stop\na\n--stop\nb\n--method\nrtn"),
            line("--shard-size\n99999999999T"),
            line("--ids\n1,,2"),
            line("--ids\n4294967297"),
            line("--temp\nnan"),
            line("--w-bits\n9"),
            line("-t"),
            line("-t99999999999999999999"),
            line("--thread\n1"),
            line("a\nb"),
            line("--\n--json"),
            line("--json=maybe"),
            line("--method\nguess\x1b[31m")};
}

std::vector<std::string> words() {
    return {"--threads",
            "--temp",
            "--json",
            "--no-json",
            "--w-bits",
            "--shard-size",
            "--ids",
            "--stop",
            "--method",
            "threads = ",
            "stop = [",
            " = true",
            "1979-05-27",
            "[[x]]",
            "\"\"\"",
            "'",
            "\n",
            "1e400",
            "nan",
            "-0",
            "9223372036854775807",
            "5G",
            std::string(1, '\0')};
}

}  // namespace

constinit const Target kCommandTarget = {
    .name = "command", .run = run, .seeds = seeds, .words = words, .max_bytes = 256};

}  // namespace quarot::fuzz

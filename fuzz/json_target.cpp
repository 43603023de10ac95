// JSON text: whatever is accepted is written so that it reads back as the same text.
#include "fuzz/target.h"
#include "io/json.h"

namespace quarot::fuzz {
namespace {

void run(std::string_view input) {
    const io::Json json = io::Json::parse(input, "config.json");
    const std::string text = json.dump(-1);
    expect(io::Json::parse(text, "config.json").dump(-1) == text, "written JSON reads otherwise");
    const std::string indented = json.dump();
    expect(io::Json::parse(indented, "config.json").dump(-1) == text, "indents change a value");
}

std::vector<std::string> seeds() {
    return {"{}",
            "[]",
            " null ",
            "true",
            "-0",
            "1e308",
            "1e309",
            "0.1",
            "9223372036854775807",
            "-9223372036854775808",
            "9223372036854775808",
            "-9223372036854775809",
            R"({"a":{"b":[1,2.5,"c",null,false]},"d":""})",
            R"({"a":1,"a":2})",
            R"("\u00e9\ud83d\ude00\n\\\"\/")",
            R"("\ud800")",
            "\"\xc3\xa9\xf0\x9f\x98\x80\"",
            "\"\xc0\xaf\"",
            "\"\xed\xa0\x80\"",
            "\xef\xbb\xbf{}",
            "{} x",
            "// x\n{}",
            "NaN",
            "[1,]",
            "{\"a\":",
            std::string(40, '['),
            std::string(31, '[') + std::string(31, ']'),
            std::string("1\0", 2)};
}

std::vector<std::string> words() {
    return {"true",   "false",    "null",         "\\ud83d",  "\\ude00", "\\u0000",
            "1e308",  "-0.0",     "\xef\xbb\xbf", "\xc3\xa9", "5e-324",  "9223372036854775807",
            "\"a\":", "[[[[[[[[", "]]]]]]]]"};
}

}  // namespace

constinit const Target kJsonTarget = {.name = "json", .run = run, .seeds = seeds, .words = words};

}  // namespace quarot::fuzz

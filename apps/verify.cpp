// quarot verify: is a model whole, and still what was written?
#include "verify/verify.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "apps/arg_values.h"
#include "apps/commands.h"
#include "apps/common_flags.h"
#include "apps/report.h"
#include "apps/setting_flags.h"
#include "core/error.h"
#include "io/text.h"

namespace quarot::apps {

namespace {

struct VerifyFlags {
    std::string model;
    OutputFlags output;
};

void declare(Args& args, VerifyFlags& flags) {
    add_model_flag(args, flags.model);
    flags.output.declare(args);
    args.example("quarot verify tiny-w4", "every file, tensor and digest");
    args.example("quarot verify models/tiny-novels --json", "a plain folder, for scripts");
    args.example("quarot verify model-q8_0.gguf", "the header, every tensor, the vocabulary");
}

io::Json to_json(const verify::FileState& file) {
    const bool known = file.recorded && !file.sha256.empty();
    return io::Json::Object{
        {"name", file.name},
        {"sha256", file.sha256.empty() ? io::Json() : io::Json(file.sha256)},
        {"recorded", file.recorded ? io::Json(*file.recorded) : io::Json()},
        {"as_recorded", known ? io::Json(*file.recorded == file.sha256) : io::Json()}};
}

void print_json(const verify::Findings& findings) {
    io::Json json = json_document("verify");
    json.set("ok", findings.problems.empty());
    io::Json::Array files;
    for (const verify::FileState& file : findings.files) files.push_back(to_json(file));
    json.set("files", std::move(files));
    json.set("problems", io::Json::Array(findings.problems.begin(), findings.problems.end()));
    json.set("more_problems", findings.n_more_problems);
    json.set("notes", io::Json::Array(findings.notes.begin(), findings.notes.end()));
    print_document(json);
}

const char* state_of(const verify::FileState& file) {
    if (file.sha256.empty()) return "not readable";
    if (!file.recorded) return "not recorded";
    return *file.recorded == file.sha256 ? "as recorded" : "CHANGED";
}

void print_text(const verify::Findings& findings) {
    std::vector<std::vector<std::string>> rows;
    for (const verify::FileState& file : findings.files) {
        rows.push_back({io::printable(file.name), state_of(file), file.sha256.substr(0, 16)});
    }
    std::string text = format_table(rows);
    for (const std::string& note : findings.notes) text += fmt::format("note: {}\n", note);
    for (const std::string& problem : findings.problems) {
        text += fmt::format("problem: {}\n", problem);
    }
    if (findings.n_more_problems > 0)
        text += fmt::format("and {} more\n", findings.n_more_problems);
    if (findings.problems.empty()) text += "no problems\n";
    print_result(text);
}

verify::Findings found_in(const std::string& folder) {
    verify::Findings findings = verify::verify_model(folder);
    for (auto* sentences : {&findings.problems, &findings.notes}) {
        for (std::string& sentence : *sentences) sentence = in_flags(sentence);
    }
    return findings;
}

void work(const VerifyFlags& flags) {
    require_model(flags.model);
    flags.output.apply();
    const verify::Findings findings = found_in(flags.model);
    flags.output.json ? print_json(findings) : print_text(findings);
    if (findings.problems.empty()) return;
    const int64_t n_problems = std::ssize(findings.problems) + findings.n_more_problems;
    fail(ErrorCode::CheckFailed, "{} has {} problem{}, the first: {}", flags.model, n_problems,
         n_problems == 1 ? "" : "s", findings.problems.front());
}

}  // namespace

Work verify_command(Args& args) {
    auto flags = std::make_shared<VerifyFlags>();
    declare(args, *flags);
    return [flags] { work(*flags); };
}

}  // namespace quarot::apps

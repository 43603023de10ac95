// The flags that several commands share, declared and checked once.
#include "apps/common_flags.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "apps/arg_values.h"
#include "apps/flag_names.h"
#include "apps/setting_flags.h"
#include "core/error.h"
#include "core/process.h"
#include "core/progress.h"
#include "core/thread_pool.h"
#include "io/input_text.h"
#include "io/text.h"

namespace quarot::apps {

namespace {

constexpr int64_t kMaxThreads = 1024;
constexpr int64_t kPromptBytes = int64_t{64} << 20;

}  // namespace

void OutputFlags::declare(Args& args) {
    args.add({"--json", "", "print one JSON document instead of text",
              [this](const Given& g) { json = as_switch(g); }, Shown::First});
    // The error border in main() has looked for it already, so that it covers this parsing too.
    args.add({"--json-errors", "", "print an error as a JSON object",
              [](const Given& g) { as_switch(g); }});
    args.add({"--progress", "HOW", "auto, json (one object a line on stderr) or none [auto]",
              [this](const Given& g) { progress_ = g.value; }})
        .choices = {"auto", "json", "none"};
}

void OutputFlags::apply() const {
    ProgressStyle style = json ? ProgressStyle::None : ProgressStyle::Auto;
    if (progress_ == "json") style = ProgressStyle::Json;
    if (progress_ == "none") style = ProgressStyle::None;
    set_progress_style(style);
}

void add_threads_flag(Args& args, int& n_threads) {
    n_threads = physical_cores();
    args.add({"-t,--threads", "N", "threads [physical cores]",
              [&n_threads](const Given& g) {
                  n_threads = static_cast<int>(as_integer(g, 1, kMaxThreads));
              },
              Shown::First});
}

void MachineFlags::declare(Args& args) {
    add_threads_flag(args, n_threads);
    args.add({"--device", "NAME", "auto, cpu, cuda[:N] or reference [auto]",
              [this](const Given& g) { device = g.value; }, Shown::First})
        .likely = {"auto", "cpu", "cuda", "reference"};
}

std::unique_ptr<kernels::Backend> MachineFlags::make_backend() const {
    return kernels::make_backend(device, {n_threads, environment("QUAROT_ISA")});
}

void MachineFlags::declare_ranks(Args& args) {
    constexpr int64_t kMostRanks = 1024;
    args.add(
        {"--tp", "N", "ranks that share the model: GPUs from the named one on [1]",
         [this](const Given& g) { n_ranks = static_cast<int>(as_integer(g, 1, kMostRanks)); }});
}

std::vector<kernels::Rank> MachineFlags::make_group() const {
    const int threads = std::max(1, n_threads / n_ranks);
    return kernels::make_group(device, {threads, environment("QUAROT_ISA")}, n_ranks);
}

void add_model_flag(Args& args, std::string& model) {
    args.add({"-m,--model,MODEL", "MODEL", "a model folder or GGUF file (-m may be left out)",
              [&model](const Given& g) { model = g.value; }, Shown::First, Repeated::Refused});
}

void require_model(const std::string& model) {
    if (model.empty()) fail(ErrorCode::Usage, "no model is given; name its folder with -m");
    refuse_hub_name(model);
}

void refuse_hub_name(const std::string& folder) {
    std::error_code ignored;
    const size_t slash = folder.find('/');
    const bool is_name = slash != std::string::npos && slash > 0 && slash + 1 < folder.size() &&
                         folder.find('/', slash + 1) == std::string::npos &&
                         folder.front() != '.' && folder.front() != '~';
    if (!is_name || std::filesystem::exists(folder, ignored) ||
        std::filesystem::exists(folder.substr(0, slash), ignored)) {
        return;
    }
    const std::string name = io::printable(folder);
    fail(ErrorCode::NotFound,
         "{} is no folder here; if it is the name of a model on a hub, download it first: hf "
         "download {} --local-dir {}",
         name, name, name.substr(name.find('/') + 1));
}

void ActivationFlags::declare(Args& args) {
    args.add(
        {"--w-bits", "N", "",
         [](const Given& g) {
             fail(ErrorCode::Usage,
                  "{} cannot change here: weights are fixed when quantizing, by quarot quantize",
                  g.source);
         },
         Shown::Hidden});
    add_setting_flags(args, SettingsShown::AtRunTime, changes);
}

void RopeFlag::declare(Args& args) {
    args.add({"--rope-scaling", "JSON",
              "stretch positions as this object says, written like rope_scaling of config.json, "
              "instead of what that says",
              [this](const Given& g) { scaling_ = as_json_object(g); }});
}

folder::SourceModel RopeFlag::open(const std::string& model) const {
    return folder::SourceModel::open(model, scaling_ ? &*scaling_ : nullptr);
}

void require_none_on_command_line(const std::vector<std::string>& sources,
                                  const std::string& need) {
    for (const std::string& source : sources) {
        if (source.starts_with("--")) fail(ErrorCode::Usage, "{} {}", source, need);
    }
}

void add_bos_flag(Args& args, tokenizer::AddBos& bos) {
    args.add({"--tokenizer-bos", "HOW",
              "put <s> in front: auto (as tokenizer.json says), on or off [auto]",
              [&bos](const Given& g) {
                  const std::string& how = g.value;
                  bos = how == "on"    ? tokenizer::AddBos::On
                        : how == "off" ? tokenizer::AddBos::Off
                                       : tokenizer::AddBos::Auto;
              }})
        .choices = {"auto", "on", "off"};
}

void TextFlags::declare(Args& args, const std::string& file_flag) {
    file_flag_ = long_name(file_flag);
    args.add({"-p,--prompt", "TEXT", "the text", [this](const Given& g) { text_ = g.value; },
              Shown::First, Repeated::Refused});
    args.add({file_flag, "FILE", "the text is in this file; - is standard input",
              [this](const Given& g) { file_ = g.value; }, Shown::First});
}

std::string TextFlags::read() const {
    if (text_ && file_) {
        fail(ErrorCode::Usage, "both --prompt and {} are given, expected one text", file_flag_);
    }
    if (text_) return *text_;
    if (file_) return io::read_input_text(*file_, kPromptBytes);
    fail(ErrorCode::Usage, "no text is given; use -p TEXT or {} FILE", file_flag_);
}

}  // namespace quarot::apps

// quarot logits: the logits of every position of a prompt, as a safetensors file.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <system_error>

#include "apps/arg_values.h"
#include "apps/commands.h"
#include "apps/common_flags.h"
#include "apps/report.h"
#include "apps/running_model.h"
#include "core/error.h"
#include "io/output_file.h"
#include "io/safetensors.h"
#include "runtime/engine.h"

namespace quarot::apps {

namespace {

struct LogitsFlags {
    std::string model, out;
    TextFlags prompt;
    std::optional<std::vector<int32_t>> ids;
    bool overwrite = false;
    tokenizer::AddBos bos = tokenizer::AddBos::Auto;
    ActivationFlags activations;
    RopeFlag rope;
    MachineFlags machine;
    OutputFlags output;
};

void declare(Args& args, LogitsFlags& flags) {
    add_model_flag(args, flags.model);
    flags.prompt.declare(args, "-f,--file");
    args.add({"--ids", "LIST", "token ids instead of a text: 1,2,3",
              [&flags](const Given& g) { flags.ids = as_ids(g); }, Shown::First});
    args.add({"--out", "FILE", "the safetensors file to write: input_ids and logits",
              [&flags](const Given& g) { flags.out = g.value; }, Shown::First});
    args.add({"--overwrite", "", "replace the file if it exists",
              [&flags](const Given& g) { flags.overwrite = as_switch(g); }});
    add_bos_flag(args, flags.bos);
    flags.activations.declare(args);
    flags.rope.declare(args);
    flags.machine.declare(args);
    flags.machine.declare_ranks(args);
    flags.output.declare(args);
    args.example(
        "quarot logits -m models/tiny-novels -p \"It was a dark\" --out logits.safetensors",
        "input_ids [T] as I32, logits [T, vocabulary] as F32");
    args.example("quarot logits -m models/tiny-novels --ids 0,1100,313 --out logits.safetensors",
                 "the same of given tokens");
}

void check(const LogitsFlags& flags) {
    require_model(flags.model);
    if (flags.out.empty()) fail(ErrorCode::Usage, "no file to write is given; name it with --out");
    if (flags.ids && flags.prompt.given()) {
        fail(ErrorCode::Usage, "--ids and a text are given, expected one of them");
    }
    std::error_code ignored;
    if (!flags.overwrite && std::filesystem::exists(flags.out, ignored)) {
        fail(ErrorCode::Usage, "--out {} exists; give --overwrite to replace it", flags.out);
    }
}

std::vector<int32_t> token_ids(const LogitsFlags& flags) {
    if (flags.ids) return *flags.ids;
    const std::string text = flags.prompt.read();
    std::vector<int32_t> ids = tokenizer::Tokenizer::load(flags.model).encode(text, flags.bos);
    if (ids.empty()) fail(ErrorCode::Usage, "the prompt is empty; give at least one token");
    return ids;
}

void check_given_ids(std::span<const int32_t> ids, const folder::SourceModel& source) {
    const auto vocab = source.config().vocab;
    for (const int32_t id : ids) {
        if (id < vocab) continue;
        fail(ErrorCode::Usage, "--ids has token {}, expected less than {}, the vocabulary of {}",
             id, vocab, source.folder());
    }
}

void write_logits(runtime::Engine& engine, std::span<const int32_t> ids,
                  io::SafetensorsWriter& writer) {
    const int64_t vocab = engine.weights().config.vocab;
    std::vector<float> logits;
    const auto write_rows = [&](const runtime::StepRows& rows) {
        for (int64_t first = 0; first < rows.size(); first += runtime::kLogitRows) {
            const int64_t n = std::min(runtime::kLogitRows, rows.size() - first);
            logits.resize(static_cast<size_t>(n * vocab));
            rows.logits(first, n, logits);
            const int64_t offset = (rows.first_position() + first) * vocab * int64_t{sizeof(float)};
            writer.write("logits", offset, std::as_bytes(std::span<const float>(logits)));
        }
    };
    runtime::ScopedRequest request(engine,
                                   {.tokens = {ids.begin(), ids.end()},
                                    .max_tokens = std::ssize(ids),
                                    .logits = runtime::LogitsWanted::All,
                                    .shares_prefix = false},
                                   write_rows);
    request.wait();
}

// The file appears under its name when it is complete.
void write_file(runtime::Engine& engine, std::span<const int32_t> ids, const std::string& path) {
    const auto n = static_cast<int64_t>(ids.size());
    const std::string temporary = io::temporary_sibling(path, io::kUnfinishedFile);
    io::SafetensorsWriter writer(temporary,
                                 {{"input_ids", DType::I32, {n}},
                                  {"logits", DType::F32, {n, engine.weights().config.vocab}}});
    writer.write("input_ids", 0, std::as_bytes(ids));
    write_logits(engine, ids, writer);
    writer.finish();
    io::move_into_place(temporary, path);
}

void work(const LogitsFlags& flags) {
    flags.output.apply();
    check(flags);

    const folder::SourceModel source = flags.rope.open(flags.model);
    const std::vector<int32_t> ids = token_ids(flags);
    flags.ids ? check_given_ids(ids, source) : require_vocabulary(source, ids);
    const auto n_tokens = static_cast<int64_t>(ids.size());
    require_positions(source, "the prompt", n_tokens);
    std::vector<kernels::Rank> group = flags.machine.make_group();
    const SettingChanges& changes = flags.activations.changes;
    log_run(group, with_changes(source.recipe(), changes));
    const runtime::ModelGroup model = load_group(std::move(group), source, changes, n_tokens);
    runtime::Engine engine(model.ranks(), {.context = n_tokens});
    write_file(engine, ids, flags.out);

    if (!flags.output.json) {
        return print_result(
            fmt::format("{}: logits [{}, {}]\n", flags.out, n_tokens, source.config().vocab));
    }
    io::Json json = json_document("logits");
    json.set("out", flags.out);
    json.set("tokens", n_tokens);
    json.set("vocabulary", source.config().vocab);
    print_document(json);
}

}  // namespace

Work logits_command(Args& args) {
    auto flags = std::make_shared<LogitsFlags>();
    declare(args, *flags);
    return [flags] { work(*flags); };
}

}  // namespace quarot::apps

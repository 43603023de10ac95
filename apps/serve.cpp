// quarot serve: a model for clients of OpenAI's interface, over HTTP.
#include <fmt/format.h>
#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "apps/arg_values.h"
#include "apps/commands.h"
#include "apps/common_flags.h"
#include "apps/report.h"
#include "apps/running_model.h"
#include "build_info.h"
#include "core/checked_math.h"
#include "core/error.h"
#include "core/host_memory.h"
#include "core/log.h"
#include "core/process.h"
#include "folder/generation_config.h"
#include "io/text.h"
#include "serve/http_server.h"
#include "serve/tls.h"

namespace quarot::apps {

namespace {

constexpr int64_t kMostSequences = 512;
constexpr int64_t kMostQueue = 100'000;
constexpr int64_t kMostSeconds = 86'400;
constexpr int kMostPort = 65'535;

struct ServeFlags {
    std::string model;
    std::string host = "127.0.0.1";
    int64_t port = 8080;
    std::string key_file;
    std::string tls_certificate;
    std::string tls_key;
    std::string model_name;
    int64_t sequences = 16;
    std::optional<int64_t> context;
    std::optional<int64_t> cache_bytes;
    int64_t max_queue = 256;
    int64_t request_seconds = 600;
    int64_t queue_seconds = 60;
    int64_t drain_seconds = 30;
    bool metrics_are_public = false;
    bool logs_access = true;
    ActivationFlags activations;
    RopeFlag rope;
    MachineFlags machine;
    OutputFlags output;
};

// It stands in URLs, too.
std::string as_model_name(const Given& given) {
    constexpr size_t kLongest = 128;
    const std::string& name = given.value;
    const auto is_plain = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               std::string_view("-._:/").find(c) != std::string_view::npos;
    };
    if (name.empty() || name.size() > kLongest || !std::ranges::all_of(name, is_plain)) {
        fail(ErrorCode::Usage, "{} is '{}', expected 1 to {} of A-Z, a-z, 0-9 and -._:/",
             given.source, io::printable(name, 80), kLongest);
    }
    return name;
}

void declare_limits(Args& args, ServeFlags& flags) {
    const auto add = [&args](const char* name, const char* help, int64_t& to, int64_t most) {
        args.add({name, "N", help, [&to, most](const Given& g) { to = as_integer(g, 1, most); }});
    };
    args.add({"--max-batch", "N", "sequences that run at once [16]",
              [&flags](const Given& g) { flags.sequences = as_integer(g, 1, kMostSequences); },
              Shown::First});
    args.add({"--ctx", "N", "longest prompt and answer, in tokens [what the model has]",
              [&flags](const Given& g) {
                  flags.context = as_integer(g, 1, std::numeric_limits<int64_t>::max());
              },
              Shown::First});
    args.add({"--kv-mem", "BYTES", "of the cache [half of what is free, for full contexts at most]",
              [&flags](const Given& g) { flags.cache_bytes = as_byte_count(g); }});
    args.add({"--max-queue", "N", "sequences that wait, then requests are refused [256]",
              [&flags](const Given& g) { flags.max_queue = as_integer(g, 0, kMostQueue); }});
    add("--timeout", "seconds that a request may take [600]", flags.request_seconds, kMostSeconds);
    add("--queue-timeout", "seconds that a request may wait [60]", flags.queue_seconds,
        kMostSeconds);
    args.add({"--drain-timeout", "N", "seconds for what runs to end after SIGTERM [30]",
              [&flags](const Given& g) { flags.drain_seconds = as_integer(g, 0, kMostSeconds); }});
}

void declare(Args& args, ServeFlags& flags) {
    add_model_flag(args, flags.model);
    args.add({"--host", "ADDRESS", "where to listen [127.0.0.1]",
              [&flags](const Given& g) { flags.host = g.value; }, Shown::First});
    args.add({"--port", "N", "0: a free one [8080]",
              [&flags](const Given& g) { flags.port = as_integer(g, 0, kMostPort); },
              Shown::First});
    args.add({"--api-key-file", "FILE", "serve those alone who know one of its keys, one a line",
              [&flags](const Given& g) { flags.key_file = g.value; }, Shown::First});
    args.add({"--tls-cert", "FILE", "serve https: the certificate and its chain, in PEM",
              [&flags](const Given& g) { flags.tls_certificate = g.value; }});
    args.add({"--tls-key", "FILE", "the certificate's private key, in PEM",
              [&flags](const Given& g) { flags.tls_key = g.value; }});
    args.add({"--model-name", "NAME", "what clients call the model [its folder's name]",
              [&flags](const Given& g) { flags.model_name = as_model_name(g); }});
    declare_limits(args, flags);
    args.add({"--metrics", "", "answer /metrics without a key from everywhere [this machine alone]",
              [&flags](const Given& g) { flags.metrics_are_public = as_switch(g); }});
    args.add({"--access-log", "HOW", "a JSON line an answer on standard output: on or off [on]",
              [&flags](const Given& g) { flags.logs_access = g.value == "on"; }})
        .choices = {"on", "off"};
    flags.activations.declare(args);
    flags.rope.declare(args);
    flags.machine.declare(args);
    flags.machine.declare_ranks(args);
    flags.output.declare(args);
    args.example("quarot serve tiny-w4", "at http://127.0.0.1:8080, a page to chat with included");
    args.example("quarot serve tiny-w4 --host 0.0.0.0 --api-key-file keys.txt",
                 "for other machines, with keys");
    args.example("curl http://127.0.0.1:8080/v1/completions -d '{\"prompt\": \"Once\"}'",
                 "a text continued");
    args.note("The interface, limits and security notes stand in docs/server.md.");
}

// Full contexts for all sequences, or as many pages as the memory holds.
runtime::EngineLimits limits_of(const runtime::ModelGroup& model, const ServeFlags& flags) {
    const model::Weights& weights = model.weights();
    const kernels::Backend& backend = model.backend();
    const kernels::KvDescriptor descriptor = weights.kv_descriptor(flags.sequences);
    const int64_t pages = ceil_div(weights.n_positions, descriptor.page_tokens);
    const int64_t seats = backend.kv_bytes(descriptor, 0).value_or(0);
    const int64_t bytes =
        std::max<int64_t>(backend.kv_bytes(descriptor, pages).value_or(1) - seats, 1);
    const auto available = backend.available_to_each(flags.machine.n_ranks);
    int64_t n_pages = pages * flags.sequences;
    if (flags.cache_bytes) {
        n_pages = std::max<int64_t>(*flags.cache_bytes - seats, 0) / ceil_div(bytes, pages);
        if (n_pages < pages) {
            fail(ErrorCode::Usage,
                 "--kv-mem {} holds {} tokens, but the context has {}; give more, or a smaller "
                 "--ctx",
                 human_bytes(*flags.cache_bytes), n_pages * descriptor.page_tokens,
                 weights.n_positions);
        }
    } else if (available) {
        n_pages = std::clamp((*available / 2 - seats) / ceil_div(bytes, pages), pages, n_pages);
    }
    constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
    // Not as a cache, whose error names --ctx alone.
    require_host_bytes({.weights = backend.kv_bytes(descriptor, n_pages).value_or(kMost)},
                       available,
                       flags.cache_bytes ? "the cache of --kv-mem" : "the cache of --ctx");
    return {.context = weights.n_positions,
            .sequences = flags.sequences,
            .n_pages = n_pages,
            .admission = runtime::Admission::TokensSoFar};
}

std::string name_of(const std::string& folder) {
    std::error_code ignored;
    const std::filesystem::path path = std::filesystem::weakly_canonical(folder, ignored);
    return path.filename().empty() ? folder : path.filename().string();
}

serve::ModelFacts facts_of(const folder::SourceModel& source, const model::Weights& weights,
                           const ServeFlags& flags) {
    serve::ModelFacts facts;
    facts.folder = source.folder();
    facts.name = flags.model_name.empty() ? name_of(flags.model) : flags.model_name;
    const Recipe recipe = with_changes(source.recipe(), flags.activations.changes);
    facts.recipe = io::Json::Object{{"recipe", describe(recipe)},
                                    {"bits_per_weight", source.bits_per_weight()},
                                    {"parameters", source.parameter_count()}};
    facts.context = weights.n_positions;
    facts.vocabulary = weights.config.vocab;
    facts.end_tokens = weights.config.eos;
    const folder::GenerationDefaults found = folder::generation_defaults_of(flags.model);
    // As OpenAI's interface has it where the folder says nothing.
    facts.sampling.temperature = found.temperature.value_or(1.0f);
    facts.sampling.top_k = found.top_k.value_or(0);
    facts.sampling.top_p = found.top_p.value_or(1.0f);
    facts.sampling.min_p = found.min_p.value_or(0.0f);
    facts.sampling.repetition_penalty = found.repetition_penalty.value_or(1.0f);
    return facts;
}

bool is_interrupted() {
    try {
        throw_if_interrupted();
        return false;
    } catch (const Error&) {
        return true;
    }
}

serve::ServiceOptions service_options(const ServeFlags& flags) {
    serve::ServiceOptions options;
    if (!flags.key_file.empty()) options.keys = serve::ApiKeys::of_file(flags.key_file);
    options.metrics_are_public = flags.metrics_are_public;
    options.max_queue = flags.max_queue;
    options.queue_time = std::chrono::seconds(flags.queue_seconds);
    options.request_time = std::chrono::seconds(flags.request_seconds);
    options.version = QUAROT_VERSION;
    options.commit = QUAROT_COMMIT;
    // A page of somebody else whose name points to this machine is not served.
    const bool names_itself =
        flags.host == "127.0.0.1" || flags.host == "localhost" || flags.host == "::1";
    if (names_itself) options.allowed_hosts = {"127.0.0.1", "localhost", "[::1]"};
    return options;
}

std::shared_ptr<const serve::TlsContext> tls_of(const ServeFlags& flags) {
    const std::string &certificate = flags.tls_certificate, &key = flags.tls_key;
    if (certificate.empty() && key.empty()) return nullptr;
    if (certificate.empty() || key.empty()) {
        fail(ErrorCode::Usage, "{} is given without {}; TLS takes both",
             key.empty() ? "--tls-cert" : "--tls-key", key.empty() ? "--tls-key" : "--tls-cert");
    }
    return serve::TlsContext::of_files(certificate, key);
}

serve::ServerOptions server_options(const ServeFlags& flags) {
    serve::ServerOptions options;
    options.host = flags.host;
    options.port = static_cast<int>(flags.port);
    options.drain_time = std::chrono::seconds(flags.drain_seconds);
    options.stops = is_interrupted;
    if (flags.logs_access) {
        options.log_line = [](const std::string& line) {
            std::fwrite((line + "\n").data(), 1, line.size() + 1, stdout);
            std::fflush(stdout);
        };
    }
    return options;
}

// Threads take memory from one heap, not from one each: what one frees serves the others, so that
// a process which runs for long does not grow by what lies idle in each. They allocate little.
void share_one_heap() {
    mallopt(M_ARENA_MAX, 1);
}

void work(const ServeFlags& flags) {
    share_one_heap();
    flags.output.apply();
    require_model(flags.model);
    serve::ServiceOptions options = service_options(flags);
    serve::ServerOptions at = server_options(flags);
    at.tls = tls_of(flags);
    const bool has_keys = !options.keys.empty();
    const folder::SourceModel source = flags.rope.open(flags.model);
    std::vector<kernels::Rank> group = flags.machine.make_group();
    const SettingChanges& changes = flags.activations.changes;
    const int64_t context = context_that_fits(source, flags.context, changes, group);
    log_run(group, with_changes(source.recipe(), changes));
    const runtime::ModelGroup loaded = load_group(std::move(group), source, changes, context);
    const serve::ServedModel model(facts_of(source, loaded.weights(), flags));
    const runtime::EngineLimits limits = limits_of(loaded, flags);

    serve::Service service(model, loaded.ranks(), limits, std::move(options));
    serve::HttpServer server(service, std::move(at));
    if (!server.is_loopback() && !has_keys) {
        log_warning("everybody who reaches {} may use this model; give --api-key-file",
                    server.address());
    }
    log_info("a cache of {} tokens for up to {} sequences of {}",
             limits.n_pages * loaded.weights().kv_descriptor().page_tokens, limits.sequences,
             context);
    log_info("serving {} at {}://{}", flags.model, server.scheme(), server.address());
    if (!server.run()) {
        log_info("the drain time is over; the step that runs is left where it is");
        end_process(0);
    }
    log_info("all that ran has ended");
}

}  // namespace

Work serve_command(Args& args) {
    auto flags = std::make_shared<ServeFlags>();
    declare(args, *flags);
    return [flags] { work(*flags); };
}

}  // namespace quarot::apps

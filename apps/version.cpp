// quarot version: what this program is, and which instruction sets and devices it can use.
#include <fmt/format.h>

#include <memory>

#include "apps/commands.h"
#include "apps/common_flags.h"
#include "apps/flag_names.h"
#include "apps/report.h"
#include "build_info.h"
#include "core/thread_pool.h"
#include "kernels/backend.h"
#include "serve/tls.h"

namespace quarot::apps {

namespace {

std::string compiler() {
#if defined(__clang__)
    return fmt::format("clang {}.{}.{}", __clang_major__, __clang_minor__, __clang_patchlevel__);
#else
    return fmt::format("gcc {}.{}.{}", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
#endif
}

// The tier that runs here: the best one, or what QUAROT_ISA asks for.
std::string tier_in_use() {
    return kernels::make_backend("cpu", {1, environment("QUAROT_ISA")})->info().tier;
}

io::Json devices(const std::string& tier) {
    const int cores = physical_cores();
    io::Json::Array list = {
        io::Json::Object{{"device", "cpu"}, {"tier", tier}, {"cores", cores}},
        io::Json::Object{{"device", "reference"}, {"tier", "scalar"}, {"cores", cores}}};
    for (const kernels::GpuInfo& gpu : kernels::gpus()) {
        list.push_back(io::Json::Object{{"device", fmt::format("cuda:{}", gpu.ordinal)},
                                        {"name", gpu.name},
                                        {"tier", fmt::format("sm_{}", gpu.compute_capability)},
                                        {"bytes", gpu.bytes}});
    }
    return list;
}

// "cpu reference cuda:0 (NVIDIA H200)"
std::string device_names() {
    std::string names = "cpu reference";
    for (const kernels::GpuInfo& gpu : kernels::gpus()) {
        names += fmt::format(" cuda:{} ({})", gpu.ordinal, gpu.name);
    }
    return names;
}

void work(const OutputFlags& output) {
    const std::string tier = tier_in_use();
    const std::string cuda = kernels::cuda_version();
    const std::string tls = serve::tls_version();
    const std::vector<std::string> compiled = kernels::compiled_isa_tiers();
    if (!output.json) {
        return print_result("quarot " QUAROT_VERSION "\n" +
                            format_pairs({{"commit", QUAROT_COMMIT},
                                          {"compiler", compiler()},
                                          {"isa", tier},
                                          {"isa compiled", joined(compiled, " ")},
                                          {"cuda", cuda.empty() ? "no" : cuda},
                                          {"tls", tls.empty() ? "no" : tls},
                                          {"devices", device_names()}}));
    }
    io::Json json = json_document("version");
    json.set("commit", QUAROT_COMMIT);
    json.set("compiler", compiler());
    json.set("isa", tier);
    json.set("isa_compiled", io::Json::Array(compiled.begin(), compiled.end()));
    json.set("cuda", cuda.empty() ? io::Json() : io::Json(cuda));
    json.set("tls", tls.empty() ? io::Json() : io::Json(tls));
    json.set("devices", devices(tier));
    print_document(json);
}

}  // namespace

Work version_command(Args& args) {
    auto output = std::make_shared<OutputFlags>();
    output->declare(args);
    args.example("quarot version --json", "the same for scripts");
    return [output] { work(*output); };
}

}  // namespace quarot::apps

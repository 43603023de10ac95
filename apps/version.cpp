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
    return io::Json::Array{
        io::Json::Object{{"device", "cpu"}, {"tier", tier}, {"cores", cores}},
        io::Json::Object{{"device", "reference"}, {"tier", "scalar"}, {"cores", cores}}};
}

void work(const OutputFlags& output) {
    const std::string tier = tier_in_use();
    const std::vector<std::string> compiled = kernels::compiled_isa_tiers();
    if (!output.json) {
        return print_result("quarot " QUAROT_VERSION "\n" +
                            format_pairs({{"commit", QUAROT_COMMIT},
                                          {"compiler", compiler()},
                                          {"isa", tier},
                                          {"isa compiled", joined(compiled, " ")},
                                          {"cuda", "no"},
                                          {"devices", "cpu reference"}}));
    }
    io::Json json = json_document("version");
    json.set("commit", QUAROT_COMMIT);
    json.set("compiler", compiler());
    json.set("isa", tier);
    json.set("isa_compiled", io::Json::Array(compiled.begin(), compiled.end()));
    json.set("cuda", io::Json());
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

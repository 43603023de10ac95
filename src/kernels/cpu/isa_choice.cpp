#include "kernels/cpu/isa_choice.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "kernels/backend.h"

namespace quarot::kernels {

namespace {

using cpu::IsaKernels;

constexpr std::array<std::string_view, 5> kKnownTiers = {"scalar", "avx2", "avxvnni", "avx512vnni",
                                                         "amx"};

struct Tier {
    const IsaKernels* kernels;
    bool present;
};

#if defined(__x86_64__)
// Tiles are eight kilobytes of state that Linux gives a process only if it asks for them.
bool may_use_amx() {
    if (!__builtin_cpu_supports("amx-tile") || !__builtin_cpu_supports("amx-int8")) return false;
    constexpr long kRequestPermission = 0x1023, kTileData = 18;
    static const bool given = syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
    return given;
}
#endif

// Slowest first.
std::vector<Tier> compiled_tiers() {
    std::vector<Tier> tiers{{&cpu::scalar_kernels(), true}};
#if defined(__x86_64__)
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                      __builtin_cpu_supports("f16c");
    const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
    tiers.push_back({&cpu::avx2_kernels(), avx2});
    tiers.push_back({&cpu::avx512vnni_kernels(), avx512});
    tiers.push_back({&cpu::amx_kernels(), avx512 && may_use_amx()});
#endif
    return tiers;
}

const IsaKernels& best_kernels() {
    const std::vector<Tier> tiers = compiled_tiers();
    return *std::find_if(tiers.rbegin(), tiers.rend(), [](const Tier& t) {
                return t.present;
            })->kernels;
}

}  // namespace

const IsaKernels& cpu::choose_kernels(const std::string& name) {
    if (name.empty()) return best_kernels();
    if (std::find(kKnownTiers.begin(), kKnownTiers.end(), name) == kKnownTiers.end()) {
        std::string list;
        for (const std::string& tier : compiled_isa_tiers()) {
            list += (list.empty() ? "" : ", ") + tier;
        }
        fail(ErrorCode::Usage, "instruction set tier is {}, expected one of {}", name, list);
    }
    for (const Tier& tier : compiled_tiers()) {
        if (tier.kernels->name != name) continue;
        if (tier.present) return *tier.kernels;
        fail(ErrorCode::Device,
             "instruction set tier {} is not present on this machine; the best is {}", name,
             best_isa_tier());
    }
    fail(ErrorCode::Device, "instruction set tier {} is not compiled into this program", name);
}

std::vector<std::string> compiled_isa_tiers() {
    std::vector<std::string> names;
    for (const Tier& tier : compiled_tiers()) names.emplace_back(tier.kernels->name);
    return names;
}

std::string best_isa_tier() {
    return best_kernels().name;
}

}  // namespace quarot::kernels

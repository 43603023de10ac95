// libFuzzer's entry into the one target that this program was built for.
#include <cstdint>

#include "fuzz/target.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    quarot::fuzz::run_guarded(quarot::fuzz::QUAROT_FUZZ_TARGET,
                              {reinterpret_cast<const char*>(data), size});
    return 0;
}

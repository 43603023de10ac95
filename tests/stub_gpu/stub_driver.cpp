// libcuda.so.1 of a machine whose driver is at fault, as NVIDIA's runtime library loads it.
// QUAROT_TEST_DRIVER says how: "no-gpu" (it starts and finds none), "old" (of CUDA 12.4), "broken"
// (it does not start).
#include <cstdlib>
#include <string_view>

namespace {

// CUresult and its values, as cuda.h has them.
constexpr int kSuccess = 0;
constexpr int kNoDevice = 100;
constexpr int kNotFound = 500;
constexpr int kUnknown = 999;

std::string_view fault() {
    const char* value = std::getenv("QUAROT_TEST_DRIVER");
    return value == nullptr ? "" : value;
}

}  // namespace

extern "C" {

__attribute__((visibility("default"))) int cuDriverGetVersion(int* version) {
    *version = fault() == "old" ? 12040 : 13000;
    return kSuccess;
}

__attribute__((visibility("default"))) int cuInit(unsigned) {
    return fault() == "no-gpu" ? kNoDevice : kUnknown;
}

// Functions for a device that never comes.
static int never_reached() {
    return kUnknown;
}

__attribute__((visibility("default"))) int cuGetExportTable(const void**, const void*) {
    return kNotFound;
}

__attribute__((visibility("default"))) int cuGetProcAddress_v2(const char* name, void** function,
                                                               int, unsigned long long,
                                                               int* found) {
    const std::string_view wanted = name;
    auto* address = reinterpret_cast<void*>(&never_reached);
    if (wanted == "cuInit") address = reinterpret_cast<void*>(&cuInit);
    if (wanted == "cuDriverGetVersion") address = reinterpret_cast<void*>(&cuDriverGetVersion);
    if (wanted == "cuGetExportTable") address = reinterpret_cast<void*>(&cuGetExportTable);
    if (wanted == "cuGetProcAddress") address = reinterpret_cast<void*>(&cuGetProcAddress_v2);
    *function = address;
    if (found != nullptr) *found = kSuccess;
    return kSuccess;
}

__attribute__((visibility("default"))) int cuGetProcAddress(const char* name, void** function,
                                                            int version, unsigned long long flags) {
    return cuGetProcAddress_v2(name, function, version, flags, nullptr);
}

}  // extern "C"

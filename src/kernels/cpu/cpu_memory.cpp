#include "kernels/cpu/cpu_memory.h"

#include <sys/mman.h>

#include "core/error.h"

namespace quarot::kernels::cpu {

MappedMemory::MappedMemory(int64_t bytes, PageAdvice advice) : bytes_(bytes) {
    if (bytes == 0) return;
    void* mapped = ::mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) {
        bytes_ = 0;
        fail(ErrorCode::OutOfMemory, "cannot map {} bytes of host memory", bytes);
    }
    data_ = static_cast<std::byte*>(mapped);
    // Advice only: fewer address translations while the weights stream through.
    if (advice == PageAdvice::Huge) ::madvise(mapped, static_cast<size_t>(bytes), MADV_HUGEPAGE);
}

MappedMemory::~MappedMemory() {
    if (data_ != nullptr) ::munmap(data_, static_cast<size_t>(bytes_));
}

}  // namespace quarot::kernels::cpu

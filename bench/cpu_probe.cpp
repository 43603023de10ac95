#include "cpu_probe.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace quarot::bench {

#if defined(__x86_64__)

namespace {

// A product goes to one of 12 sums: more than enough to hide the latency of both instructions.
#define QUAROT_REPEAT_12(M) M(0) M(1) M(2) M(3) M(4) M(5) M(6) M(7) M(8) M(9) M(10) M(11)
#define QUAROT_REPEAT_4(M) M M M M
#define QUAROT_REPEAT_8(M) M M M M M M M M
#define QUAROT_SHORT(sum) \
    "vpmaddubsw %%ymm13, %%ymm12, %%ymm14\n vpaddw %%ymm14, %%ymm" #sum ", %%ymm" #sum "\n"
#define QUAROT_WORDS(sum) \
    "vpmaddwd %%ymm13, %%ymm12, %%ymm14\n vpaddd %%ymm14, %%ymm" #sum ", %%ymm" #sum "\n"
#define QUAROT_WIDEN(sum) \
    "vpmaddwd %%ymm13, %%ymm" #sum ", %%ymm14\n vpaddd %%ymm14, %%ymm15, %%ymm15\n"
#define QUAROT_VNNI(sum) "vpdpbusd %%zmm13, %%zmm12, %%zmm" #sum "\n"
#define QUAROT_CLOBBERED                                                                     \
    "ymm0", "ymm1", "ymm2", "ymm3", "ymm4", "ymm5", "ymm6", "ymm7", "ymm8", "ymm9", "ymm10", \
        "ymm11", "ymm12", "ymm13", "ymm14", "ymm15", "cc"

}  // namespace

bool can_probe(ProbeKind kind) {
    if (kind == ProbeKind::VnniSums) return __builtin_cpu_supports("avx512vnni") != 0;
    return __builtin_cpu_supports("avx2") != 0;
}

void run_probe(ProbeKind kind, int64_t n_steps) {
    for (int64_t step = 0; step < n_steps; ++step) {
        switch (kind) {
            case ProbeKind::ShortSums:
                asm volatile(QUAROT_REPEAT_8(QUAROT_REPEAT_12(QUAROT_SHORT))::: QUAROT_CLOBBERED);
                break;
            case ProbeKind::WidenedSums:
                asm volatile(QUAROT_REPEAT_8(QUAROT_REPEAT_12(QUAROT_SHORT))
                                 QUAROT_REPEAT_12(QUAROT_WIDEN)::
                                     : QUAROT_CLOBBERED);
                break;
            case ProbeKind::WordSums:  // half the products an instruction
                asm volatile(QUAROT_REPEAT_8(QUAROT_REPEAT_12(QUAROT_WORDS))
                                 QUAROT_REPEAT_8(QUAROT_REPEAT_12(QUAROT_WORDS))::
                                     : QUAROT_CLOBBERED);
                break;
            case ProbeKind::VnniSums:  // twice the products an instruction, and no addition
                asm volatile(QUAROT_REPEAT_4(QUAROT_REPEAT_12(QUAROT_VNNI))::: QUAROT_CLOBBERED);
                break;
        }
    }
}

// Eight streams of one block each, as the panels of a product.
__attribute__((target("avx2"))) void read_all(const void* data, int64_t bytes) {
    constexpr int kStreams = 8;
    constexpr int64_t kAhead = 2048;
    const auto* first = static_cast<const char*>(data);
    const int64_t length = bytes / kStreams;
    __m256i sums[kStreams] = {};
    for (int64_t at = 0; at < length; at += 64) {
        for (int i = 0; i < kStreams; ++i) {
            const char* line = first + i * length + at;
            _mm_prefetch(line + kAhead, _MM_HINT_T0);
            const auto* halves = reinterpret_cast<const __m256i*>(line);
            sums[i] = _mm256_xor_si256(sums[i], _mm256_xor_si256(_mm256_load_si256(halves),
                                                                 _mm256_load_si256(halves + 1)));
        }
    }
    for (const __m256i& sum : sums) asm volatile("" ::"x"(sum));
}

#else

bool can_probe(ProbeKind) {
    return false;
}
void run_probe(ProbeKind, int64_t) {}
void read_all(const void*, int64_t) {}

#endif

}  // namespace quarot::bench

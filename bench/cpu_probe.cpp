#include "cpu_probe.h"

namespace quarot::bench {

#if defined(__x86_64__)

namespace {

// A product goes to one of 12 sums: more than enough to hide the latency of both instructions.
#define QUAROT_REPEAT_12(M) M(0) M(1) M(2) M(3) M(4) M(5) M(6) M(7) M(8) M(9) M(10) M(11)
#define QUAROT_REPEAT_8(M) M M M M M M M M
#define QUAROT_SHORT(sum) \
    "vpmaddubsw %%ymm13, %%ymm12, %%ymm14\n vpaddw %%ymm14, %%ymm" #sum ", %%ymm" #sum "\n"
#define QUAROT_WORDS(sum) \
    "vpmaddwd %%ymm13, %%ymm12, %%ymm14\n vpaddd %%ymm14, %%ymm" #sum ", %%ymm" #sum "\n"
#define QUAROT_WIDEN(sum) \
    "vpmaddwd %%ymm13, %%ymm" #sum ", %%ymm14\n vpaddd %%ymm14, %%ymm15, %%ymm15\n"
#define QUAROT_CLOBBERED                                                                     \
    "ymm0", "ymm1", "ymm2", "ymm3", "ymm4", "ymm5", "ymm6", "ymm7", "ymm8", "ymm9", "ymm10", \
        "ymm11", "ymm12", "ymm13", "ymm14", "ymm15", "cc"

}  // namespace

bool can_probe() {
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
        }
    }
}

#else

bool can_probe() {
    return false;
}
void run_probe(ProbeKind, int64_t) {}

#endif

}  // namespace quarot::bench

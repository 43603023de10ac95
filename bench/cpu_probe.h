// What cores can do at most with the instructions of the integer product, measured with registers
// alone, and how fast they read memory: the bounds that products are held to.
#pragma once

#include <cstdint>

namespace quarot::bench {

// Runs n steps of one kind on this thread; each is kProbeOperations multiplications and additions.
enum class ProbeKind {
    ShortSums,    // vpmaddubsw, vpaddw: sums that stay in int16
    WidenedSums,  // and after every 8 of a chain vpmaddwd, vpaddd
    WordSums,     // vpmaddwd, vpaddd: what codes widened to 16 bits would cost
    VnniSums,     // vpdpbusd of 512 bits
};

constexpr int64_t kProbeOperations = int64_t{96} * 64;

// Whether this machine has the instructions.
bool can_probe(ProbeKind kind);
void run_probe(ProbeKind kind, int64_t n_steps);

// Reads [data, data + bytes), a multiple of 4 KiB, with AVX2 and prefetching ahead.
void read_all(const void* data, int64_t bytes);

}  // namespace quarot::bench

// What one core can do at most with the instructions of the integer product, measured with
// registers alone: the bounds that the products of bench_linear are held to.
#pragma once

#include <cstdint>

namespace quarot::bench {

// Runs n steps of one kind on this thread; each is kProbeOperations multiplications and additions.
enum class ProbeKind {
    ShortSums,    // vpmaddubsw, vpaddw: sums that stay in int16
    WidenedSums,  // and after every 8 of a chain vpmaddwd, vpaddd
    WordSums,     // vpmaddwd, vpaddd: what codes widened to 16 bits would cost
};

constexpr int64_t kProbeOperations = int64_t{96} * 64;

// Whether this machine has AVX2, which the probes are written in.
bool can_probe();
void run_probe(ProbeKind kind, int64_t n_steps);

}  // namespace quarot::bench

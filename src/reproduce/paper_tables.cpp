#include "reproduce/paper_tables.h"

#include <array>

namespace quarot::reproduce {

namespace {

constexpr std::nullopt_t kNone = std::nullopt;
constexpr std::string_view kInf = "the paper has Inf: above 100";
constexpr std::string_view kNan = "the paper has NaN: GPTQ failed";
constexpr std::string_view kNotInTable = "not a row of the paper's table";
constexpr std::string_view kLearnedClipping =
    "learned clipping needs gradients through the whole decoder layer, and this program has none";

constexpr auto kTables = std::to_array<PaperTable>({
    {1, "methods, weights, activations and cache at 4 bits"},
    {3, "round to nearest at 4 and 8 bits"},
    {4, "group size of weights and activations"},
    {5, "clip ratio of the activations or of the cache, the rest not quantized"},
    {6, "bits of K and V in the cache, the rest not quantized"},
    {7, "weights only, with a zero point"},
    {8, "random orthogonal matrix or Hadamard as rotation of the residual stream"},
    {9, "round to nearest and GPTQ at 4, 6 and 8 bits"},
    {10, "precision of the online Hadamard transforms"},
});

constexpr auto kRows = std::to_array<PaperRow>({
    {1, "Full precision", "none", kPaperFullPrecision},
    {1, "RTN, not rotated", "rtn", kNone, kNotInTable},
    {1, "SmoothQuant", "smoothquant", 83.12},
    {1, "OmniQuant", "omniquant", 14.26, kLearnedClipping, true},
    {1, "QUIK-4B", "quik-4b", 8.87},
    {1, "QuaRot", "quarot", 6.10},
    {1, "Atom-128G", "atom-128g", 6.03},
    {1, "QuaRot-128G", "quarot-128g", 5.93},
    {1, "Atom-64G", "atom-64g", kNone, kNotInTable},
    {1, "QuaRot-64G", "quarot-64g", kNone, "not a row of the paper's table; its Table 4 has 5.88"},

    {3, "Full precision", "none", kPaperFullPrecision},
    {3, "QuaRot-RTN INT4", "quarot-rtn", 8.37},
    {3, "QuaRot-RTN INT8", "quarot-rtn-w8a8kv8", 5.50},

    {4, "no groups", "quarot", 6.10},
    {4, "256G", "quarot-256g", 5.98},
    {4, "128G", "quarot-128g", 5.93},
    {4, "64G", "quarot-64g", 5.88},

    {5, "input, clip 1.0", "a4-clip100", 5.938},
    {5, "input, clip 0.95", "a4-clip95", 5.910},
    {5, "input, clip 0.9", "a4-clip90", 5.828},
    {5, "input, clip 0.85", "a4-clip85", 5.850},
    {5, "cache, clip 1.0", "kv4-clip100", 5.513},
    {5, "cache, clip 0.95", "kv4-clip95", 5.510},
    {5, "cache, clip 0.9", "kv4-clip90", 5.517},
    {5, "cache, clip 0.85", "kv4-clip85", 5.532},

    {6, "K 16, V 16", "none", kPaperFullPrecision},
    {6, "K 4, V 4", "k4v4", 5.51},
    {6, "K 4, V 3", "k4v3", 5.54},
    {6, "K 4, V 2", "k4v2", 5.75},
    {6, "K 3, V 4", "k3v4", 5.65},
    {6, "K 3, V 3", "k3v3", 5.68},
    {6, "K 3, V 2", "k3v2", 5.93},
    {6, "K 2, V 4", "k2v4", 8.06},
    {6, "K 2, V 3", "k2v3", 8.18},
    {6, "K 2, V 2", "k2v2", 9.23},

    {7, "Full precision", "none", kPaperFullPrecision},
    {7, "RTN W4", "w4a16-rtn", 6.99},
    {7, "RTN W3", "w3a16-rtn", kNone, kInf},
    {7, "RTN W2", "w2a16-rtn", kNone, kInf},
    {7, "GPTQ W4", "w4a16-gptq", 8.25},
    {7, "GPTQ W3", "w3a16-gptq", kNone, kNan},
    {7, "GPTQ W2", "w2a16-gptq", kNone, kNan},
    {7, "QuaRot-RTN W4", "quarot-w4a16-rtn", 6.76},
    {7, "QuaRot-RTN W3", "quarot-w3a16-rtn", kNone, kInf},
    {7, "QuaRot-RTN W2", "quarot-w2a16-rtn", kNone, kInf},
    {7, "QuaRot-GPTQ W4", "quarot-w4a16", 5.60},
    {7, "QuaRot-GPTQ W3", "quarot-w3a16", 6.09},
    {7, "QuaRot-GPTQ W2", "quarot-w2a16", 22.07},

    {8, "Hadamard", "quarot", 6.10},
    {8, "random orthogonal", "quarot-random", 7.45},

    {9, "Full precision", "none", kPaperFullPrecision},
    {9, "QuaRot-RTN INT4", "quarot-rtn", 8.37},
    {9, "QuaRot-RTN INT6", "quarot-rtn-w6a6kv6", 5.56},
    {9, "QuaRot-RTN INT8", "quarot-rtn-w8a8kv8", 5.50},
    {9, "QuaRot-GPTQ INT4", "quarot", 6.10},
    {9, "QuaRot-GPTQ INT6", "quarot-w6a6kv6", 5.52},
    {9, "QuaRot-GPTQ INT8", "quarot-w8a8kv8", 5.50},

    {10, "Full precision", "none", kPaperFullPrecision},
    {10, "FP32 Hadamard", "quarot", 6.10},
    {10, "FP16 Hadamard", "quarot-fp16-hadamard", 6.08},
});

}  // namespace

std::span<const PaperRow> paper_rows() {
    return kRows;
}

std::span<const PaperTable> paper_tables() {
    return kTables;
}

}  // namespace quarot::reproduce

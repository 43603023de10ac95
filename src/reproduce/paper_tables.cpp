#include "reproduce/paper_tables.h"

#include <algorithm>
#include <array>

#include "core/check.h"

namespace quarot::reproduce {

namespace {

constexpr std::nullopt_t kNone = std::nullopt;
constexpr std::string_view kInf = "the paper has Inf: above 100";
constexpr std::string_view kNan = "the paper has NaN: GPTQ failed";
constexpr std::string_view kNotInTable = "not a row of the paper's table";
constexpr std::string_view kLearnedClipping =
    "learned clipping needs gradients through the whole decoder layer, and this program has none";

constexpr PaperModel kLlama2 = {"Llama-2-7B", 5.47};
constexpr PaperModel kLlama3 = {"Llama-3-8B", 6.14};
constexpr PaperModel kPhi3 = {"Phi-3-mini-4k-instruct", 6.35};

constexpr auto kTables = std::to_array<PaperTable>({
    {1, "methods, weights, activations and cache at 4 bits", &kLlama2, true},
    {2, "zero-shot accuracy at 4 bits", &kLlama2, true},
    {3, "round to nearest at 4 and 8 bits", &kLlama2, true},
    {4, "group size of weights and activations", &kLlama2},
    {5, "clip ratio of the activations or of the cache, the rest not quantized", &kLlama2},
    {6, "bits of K and V in the cache, the rest not quantized", &kLlama2},
    {7, "weights only, with a zero point", &kLlama2},
    {8, "random orthogonal matrix or Hadamard as rotation of the residual stream", &kLlama2},
    {9, "round to nearest and GPTQ at 4, 6 and 8 bits", &kLlama2, true},
    {10, "precision of the online Hadamard transforms", &kLlama2, true},
    {11, "another model: perplexity at 4 bits", &kLlama3},
    {12, "another model: zero-shot accuracy at 4 bits", &kLlama3, true},
    {13, "a third model: round to nearest and GPTQ at 4, 6 and 8 bits", &kPhi3, true},
});

// The paper's tables 2 and 12 have no perplexities; what stands there is from its tables 1 and 11.
constexpr auto kRows = std::to_array<PaperRow>({
    {1, "Full precision", "none", kLlama2.full_precision},
    {1, "RTN, not rotated", "rtn", kNone, kNotInTable},
    {1, "SmoothQuant", "smoothquant", 83.12},
    {1, "OmniQuant", "omniquant", 14.26, kLearnedClipping, true},
    {1, "QUIK-4B", "quik-4b", 8.87},
    {1, "QuaRot", "quarot", 6.10},
    {1, "Atom-128G", "atom-128g", 6.03},
    {1, "QuaRot-128G", "quarot-128g", 5.93},
    {1, "Atom-64G", "atom-64g", kNone, kNotInTable},
    {1, "QuaRot-64G", "quarot-64g", kNone, "not a row of the paper's table; its Table 4 has 5.88"},

    {2, "Full precision", "none", kLlama2.full_precision},
    {2, "QuaRot", "quarot", 6.10},

    {3, "Full precision", "none", kLlama2.full_precision},
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

    {6, "K 16, V 16", "none", kLlama2.full_precision},
    {6, "K 4, V 4", "k4v4", 5.51},
    {6, "K 4, V 3", "k4v3", 5.54},
    {6, "K 4, V 2", "k4v2", 5.75},
    {6, "K 3, V 4", "k3v4", 5.65},
    {6, "K 3, V 3", "k3v3", 5.68},
    {6, "K 3, V 2", "k3v2", 5.93},
    {6, "K 2, V 4", "k2v4", 8.06},
    {6, "K 2, V 3", "k2v3", 8.18},
    {6, "K 2, V 2", "k2v2", 9.23},

    {7, "Full precision", "none", kLlama2.full_precision},
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

    {9, "Full precision", "none", kLlama2.full_precision},
    {9, "QuaRot-RTN INT4", "quarot-rtn", 8.37},
    {9, "QuaRot-RTN INT6", "quarot-rtn-w6a6kv6", 5.56},
    {9, "QuaRot-RTN INT8", "quarot-rtn-w8a8kv8", 5.50},
    {9, "QuaRot-GPTQ INT4", "quarot", 6.10},
    {9, "QuaRot-GPTQ INT6", "quarot-w6a6kv6", 5.52},
    {9, "QuaRot-GPTQ INT8", "quarot-w8a8kv8", 5.50},

    {10, "Full precision", "none", kLlama2.full_precision},
    {10, "FP32 Hadamard", "quarot", 6.10},
    {10, "FP16 Hadamard", "quarot-fp16-hadamard", 6.08},

    {11, "Full precision", "none", kLlama3.full_precision},
    {11, "QuaRot", "quarot", 8.16},
    {11, "QuaRot-128G", "quarot-128g", 7.36},

    {12, "Full precision", "none", kLlama3.full_precision},
    {12, "QuaRot", "quarot", 8.16},

    {13, "Full precision", "none", kPhi3.full_precision},
    {13, "QuaRot-RTN INT4", "quarot-rtn", 11.69},
    {13, "QuaRot-RTN INT6", "quarot-rtn-w6a6kv6", 6.78},
    {13, "QuaRot-RTN INT8", "quarot-rtn-w8a8kv8", 6.58},
    {13, "QuaRot-GPTQ INT4", "quarot", 7.85},
    {13, "QuaRot-GPTQ INT6", "quarot-w6a6kv6", 6.63},
    {13, "QuaRot-GPTQ INT8", "quarot-w8a8kv8", 6.58},
});

// Wherever a recipe stands, the paper has one set of accuracies for it and a model.
struct Accuracies {
    const PaperModel* model = nullptr;
    std::string_view recipe;
    PaperAccuracies figures;
};

constexpr auto kAccuracies = std::to_array<Accuracies>({
    {&kLlama2, "none", {{79.11, 69.06, 75.99, 74.58, 46.25, 73.90}, 69.82}},
    {&kLlama2, "quarot-rtn", {{72.09, 60.69, 65.40, 58.88, 35.24, 57.27}, 58.26}},
    {&kLlama2, "quarot-rtn-w6a6kv6", {{78.73, 67.80, 75.92, 74.16, 46.08, 73.86}, 69.42}},
    {&kLlama2, "quarot-rtn-w8a8kv8", {{78.94, 68.67, 75.80, 74.79, 45.39, 74.33}, 69.65}},
    {&kLlama2, "quarot", {{76.77, 63.77, 72.16, 69.87, 40.87, 70.39}, 65.64}},
    {&kLlama2, "quarot-w6a6kv6", {{78.45, 69.46, 75.60, 74.45, 46.50, 74.19}, 69.77}},
    {&kLlama2, "quarot-w8a8kv8", {{78.94, 68.90, 75.79, 74.66, 46.16, 74.44}, 69.81}},
    {&kLlama2, "quarot-fp16-hadamard", {{76.99, 66.46, 72.59, 69.07, 41.21, 70.59}, 66.21}},
    {&kLlama3, "none", {{80.74, 72.77, 79.06, 77.82, 53.33, 75.63}, 73.22}},
    {&kLlama3, "quarot", {{75.14, 65.82, 72.94, 68.01, 43.34, 65.81}, 65.18}},
    {&kPhi3, "none", {{80.47, 73.72, 78.45, 80.13, 57.51, 68.37}, 73.11}},
    {&kPhi3, "quarot-rtn", {{68.39, 58.64, 60.60, 65.87, 39.25, 43.99}, 56.12}},
    {&kPhi3, "quarot-rtn-w6a6kv6", {{79.54, 73.01, 77.46, 79.21, 55.12, 67.53}, 71.98}},
    {&kPhi3, "quarot-rtn-w8a8kv8", {{79.71, 74.11, 78.63, 80.47, 56.66, 68.56}, 73.02}},
    {&kPhi3, "quarot", {{75.35, 67.88, 72.95, 72.98, 48.12, 60.78}, 66.34}},
    {&kPhi3, "quarot-w6a6kv6", {{79.54, 72.69, 78.50, 79.42, 56.74, 68.85}, 72.67}},
    {&kPhi3, "quarot-w8a8kv8", {{80.25, 74.19, 78.54, 80.35, 57.08, 68.64}, 73.18}},
});

}  // namespace

std::span<const PaperRow> paper_rows() {
    return kRows;
}

std::span<const PaperTable> paper_tables() {
    return kTables;
}

const PaperTable& paper_table(int number) {
    const auto* found = std::find_if(kTables.begin(), kTables.end(),
                                     [number](const PaperTable& t) { return t.number == number; });
    QUAROT_CHECK(found != kTables.end(), "table {}", number);
    return *found;
}

const PaperAccuracies* paper_accuracies(const PaperRow& row) {
    const PaperModel* const model = paper_table(row.table).model;
    for (const Accuracies& known : kAccuracies) {
        if (known.model == model && known.recipe == row.recipe) return &known.figures;
    }
    return nullptr;
}

}  // namespace quarot::reproduce

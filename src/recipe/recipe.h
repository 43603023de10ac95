// The named set of all settings: what is rotated, what is quantized and how.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernels/formats.h"
#include "tensor/dtype.h"

namespace quarot {

// R1. Random: a random orthogonal matrix; File: one that somebody else found; Aligned: one found
// from what linears read on the calibration text.
enum class ResidualRotation { None, Hadamard, Random, File, Aligned };

// Block sizes of 0 mean the whole width; smaller blocks let a transform be cut at tensor-parallel
// borders.
struct RotationSpec {
    ResidualRotation residual = ResidualRotation::None;  // R1
    bool value_heads = false;                            // R2, folded
    bool head_mix = false;                               // across heads before o_proj, online
    bool query_key = false;                              // R3, online
    bool ffn = false;                                    // R4, online
    bool fold_norms = false;                             // norm gains into the weights that follow
    // What head mix and R4 read, hold between their factors and write: F32, or F16 as the original
    // program's default. Their arithmetic, and all of R3, is fp32 in either case.
    DType online_dtype = DType::F32;
    uint32_t seed = 0;
    std::string residual_sha256;  // of the file that R1 is from; else empty
    int64_t residual_block = 0;
    int64_t heads_block = 0;  // in heads
    int64_t ffn_block = 0;
    bool aligned_values = false;  // R2 of each KV head found on the text, else one Hadamard
    double up_balance = 0.0;      // how far up's scales even out what down reads, to 1; 0: none

    // Is R1 a matrix that has no fast transform, so that it is folded or not there at all?
    bool has_dense_residual() const {
        return residual == ResidualRotation::Random || residual == ResidualRotation::File ||
               residual == ResidualRotation::Aligned;
    }
    // Is some of it found from the calibration text?
    bool looks_at_text() const {
        return residual == ResidualRotation::Aligned || aligned_values || up_balance > 0.0;
    }
    bool operator==(const RotationSpec&) const = default;
};

// Which weights GPTQ takes a group's scale from: with all updates of the columns before the group,
// or, as the original program does, without those of the group's own block of 128 columns.
enum class GroupScales { Updated, BlockStart };

// By which error the clip search compares grids: sum |w_hat - w|^2.4, as the original program does,
// or sum H_jj (w_hat - w)^2, what a rounding changes in the outputs if inputs were not correlated.
enum class ScaleSearch { Power, Hessian };

// What GPTQ's codes are to stand for: the stored weights W, or W* that give on inputs of the
// quantized model what W gives on those of the full-precision one.
enum class WeightTarget { Stored, Refit };

// Bits of what linears read, by its place in the layer; 0: as the others. They count where
// activations are quantized at all.
struct SiteBits {
    int attn_in = 0, o_in = 0, mlp_in = 0, down_in = 0;
    bool operator==(const SiteBits&) const = default;
};

struct WeightFormat {
    std::string method = "rtn";
    int bits = 16;
    int64_t group_size = 0;  // along the input; 0: per output channel
    bool symmetric = true;
    bool clip_search = true;
    // GPTQ only.
    double damp = 0.01;      // of the Hessian's mean diagonal, added to its diagonal
    bool act_order = false;  // columns by falling diagonal; groups keep their place
    GroupScales group_scales = GroupScales::Updated;
    ScaleSearch scale_search = ScaleSearch::Power;
    WeightTarget target = WeightTarget::Stored;
    double refit_share = 0.25;  // of the way from W to W*, at most
    bool operator==(const WeightFormat&) const = default;
};

// SmoothQuant: scales that move from what q, k, v, gate and up read into their weights, and so out
// of the norm gain before them: s_j = max|x_j|^alpha / max_i|w_ij|^(1 - alpha).
struct SmoothingSpec {
    bool enabled = false;
    double alpha = 0.0;  // 0: that of 0.1, 0.2 .. 0.9 which disturbs the linears least
    bool operator==(const SmoothingSpec&) const = default;
};

// By what a column of the inputs counts as large on the calibration text.
enum class OutlierMeasure { Maximum, Energy };  // max|x|, or the mean of x^2

// The columns with the largest inputs, kept apart: they stand behind the others, with weights and
// activations of their own width.
struct OutlierSpec {
    double share = 0.0;      // of the inputs of a linear; more are kept where groups need it
    bool by_hidden = false;  // of the hidden size, as often as that goes into the inputs
    int bits = 16;           // of weights (rounded to nearest) and activations; 16: F16 and fp32
    bool sorted = false;     // the other columns stand by rising measure, so that groups hold alike
    OutlierMeasure measure = OutlierMeasure::Maximum;

    bool enabled() const { return share > 0.0 || sorted; }
    bool operator==(const OutlierSpec&) const = default;
};

enum class CalibrationWindows { First, Random };
enum class CalibrationActivations { Full, Quantized };

// Which tokens calibrating sees (GPTQ, smoothing, columns kept apart), and how. Running a model
// does not read it.
struct CalibrationSpec {
    int64_t n_samples = 32;  // windows
    int64_t seqlen = 2048;   // tokens of a window
    // Random: starts drawn as the original program draws them from the recipe's seed.
    CalibrationWindows windows = CalibrationWindows::Random;
    // What layers hand to the next while calibrating: activations and cache as they are, as in the
    // paper, or quantized as the finished model will have them.
    CalibrationActivations activations = CalibrationActivations::Full;
    bool operator==(const CalibrationSpec&) const = default;
};

// Where a model has a bias on keys: cached with it, or without and added when keys are read, so
// that 4 bits need not span it.
enum class KeyBiasUse { Keep, Subtract };

struct Recipe {
    std::string name = "none";  // "none": an ordinary full-precision folder
    RotationSpec rotation;
    WeightFormat weights;
    kernels::ActivationFormat activations;
    SiteBits site_bits;  // of activations; down_in before down_bits
    // Do the inputs of each place of each layer have a clip ratio of their own, found on the
    // calibration text? Then it counts, and not that of activations.
    bool clip_search = false;
    kernels::KvFormat k;
    kernels::KvFormat v;
    KeyBiasUse k_bias = KeyBiasUse::Subtract;
    int down_bits = 0;   // weights and activations of down_proj; 0: as the others
    int head_bits = 16;  // weights of lm_head
    int embedding_bits = 16;
    int64_t head_group_size = 0;   // of both: columns that share a scale; 0: as other weights
    bool tied_rotation = false;    // where a model ties both, they stay one matrix under R1
    int64_t tp_max = 1;            // ranks at most with equal results: blocks of o_proj, down_proj
    std::optional<DType> storage;  // of float tensors that change; empty: keep
    SmoothingSpec smoothing;
    OutlierSpec outliers;
    CalibrationSpec calibration;

    bool quantizes_weights() const {
        return weights.bits < 16 || (down_bits != 0 && down_bits < 16) || head_bits < 16 ||
               embedding_bits < 16;
    }
    bool operator==(const Recipe&) const = default;
};

// What the columns kept apart are quantized to: symmetric, one scale a token.
kernels::ActivationFormat outlier_activation_format(const Recipe& recipe);
// Their weights: symmetric, one scale a row.
WeightFormat outlier_weight_format(const Recipe& recipe);

// Recipe of a folder without quantization_config: nothing rotated, nothing quantized.
Recipe full_precision_recipe();

// Error{Usage} naming the recipes there are.
Recipe named_recipe(const std::string& name);
std::vector<std::string> known_recipes();
std::string default_recipe_name();
// Do weights of this recipe go by GPTQ where a calibration text is given, and by "rtn" else?
bool rounds_without_text(const std::string& name);
// The recipe that settings changed from that of recipe.name have become: the named one if nothing
// but the seed, the stored dtype and how the calibration text is cut differs, else another with
// these settings, else "custom".
std::string name_by_settings(const Recipe& recipe);

// The rotation in words: "hadamard", all of it; "random" and "aligned", all of it with such an R1;
// "none"; none of these but "aligned" leaves anything that a text decides. Or some of "r1", "r2",
// "r3", "r4" and "heads" (the head mix) with commas, R1 being a Hadamard. Norm gains are folded if
// R1 is there. Error{Usage} for anything else.
void set_rotation(Recipe& recipe, const std::string& how);
// The parts that are there: "r1,r2,r3,r4,heads", "r4", "none". Whatever kind R1 is.
std::string rotation_parts(const RotationSpec& rotation);

// Error{Usage} naming the setting if one is out of range or contradicts another;
// Error{Unsupported} for settings this version does not have.
void check_recipe(const Recipe& recipe);

}  // namespace quarot

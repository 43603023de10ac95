// The activations of a model on a text: as they are, and in the bases of a recipe's rotation.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "folder/source_model.h"
#include "kernels/ops.h"
#include "rotate/rotation.h"
#include "stats/point.h"
#include "stats/statistics.h"

namespace quarot::stats {

// What a recipe would do to an ordinary folder; empty if it rotates nothing, and for a folder of
// ours, which is seen as it is. r1: its matrix where it is from a file.
std::optional<rotate::Rotation> rotation_of(const folder::SourceModel& source, const Recipe& recipe,
                                            std::vector<double> r1 = {});

// What is seen: of an ordinary folder values as they are, and rotated; of one of ours what it has,
// which is rotated or not.
struct Stages {
    bool before = false, after = false;
};
Stages stages_of(const folder::SourceModel& source, const rotate::Rotation* rotation);

struct ActivationOptions {
    Selection selection;
    // Of an ordinary folder the one it might be quantized with, else the folder's own; its formats
    // of activations and cache are those whose rounding is measured. Error{Unsupported} for one
    // that smooths or keeps columns apart.
    Recipe recipe;
    const rotate::Rotation* rotation = nullptr;  // rotation_of() both, or null
    std::span<const int32_t> ids;  // of the text; windows run apart, the last may be shorter
    int64_t window = 2048;         // tokens
    int n_threads = 1;
};

struct PointReport {
    int64_t layer = 0;
    Point point = Point::AttentionIn;
    int64_t n_channels = 0;
    int bits = 16;
    bool gain_folded = false;  // `after` is without the norm's gain that `before` has
    std::optional<Summary> before, after;
};

// By layer, then in the order of Point. One pass over the text; memory does not depend on its
// length. Nothing is quantized on the way, but what an own folder stores in codes is.
//
// `after` of an ordinary folder is T x, with x what stands there and T the basis change of the
// point (docs/quarot.md 2), in fp64, rounded once; where the recipe folds a norm's gain into the
// weights, x is the norm's output without it. That is what the rotated model reads at full
// precision. The same for any number of threads.
std::vector<PointReport> measure_activations(const folder::SourceModel& source,
                                             const ActivationOptions& options,
                                             kernels::Backend& backend);

// x <- T x for n rows of a point [n, width]; T is R3 for K.
void rotate_rows(Point point, const rotate::Rotation& rotation, const model::ModelConfig& config,
                 std::span<float> values, ThreadPool& pool);

}  // namespace quarot::stats

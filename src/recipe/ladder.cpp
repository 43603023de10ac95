#include "recipe/ladder.h"

namespace quarot {

namespace {

constexpr int64_t kActivationGroup = 32;
constexpr int64_t kWeightGroup = 64;
constexpr double kUngroupedClip = 0.85;  // of activations; 0.9 for symmetric ones

LadderStep half_value_scales() {
    return {"scales of V in F16", {{"v.scales", std::string("f16")}}};
}

}  // namespace

const std::vector<LadderStep>& grouped_ladder() {
    static const std::vector<LadderStep> kSteps = {
        {"weights in groups of 64, with zero points",
         {{"weights.group_size", kWeightGroup},
          {"weights.symmetric", false},
          {"weights.act_order", true}}},
        {"activations in groups of 32, with real zero points",
         {{"activations.group_size", kActivationGroup},
          {"activations.symmetric", false},
          {"activations.zero_point", std::string("real")},
          {"activations.clip", 1.0}}},
        {"two-level scales of activations", {{"activations.scales", std::string("two-level")}}},
        {"the first 4 positions in 8 bits", {{"activations.first_positions", int64_t{4}}}},
        {"keys per channel, V unclipped",
         {{"k.axis", std::string("channel")}, {"k.clip", 1.0}, {"v.clip", 1.0}}},
        {"R4 in blocks of 32", {{"rotation.ffn_block", kActivationGroup}}},
        {"R1 aligned", {{"rotation.residual", std::string("aligned")}}},
        {"R2 aligned", {{"rotation.aligned_values", true}}},
        {"up and down balanced", {{"rotation.up_balance", 1.0}}},
        {"calibrated on quantized activations",
         {{"calibration.activations", std::string("quantized")}}},
        {"scales of weights by the Hessian", {{"weights.scale_search", std::string("hessian")}}},
        {"targets refitted", {{"weights.target", std::string("refit")}}},
        half_value_scales(),
    };
    return kSteps;
}

const std::vector<LadderStep>& ungrouped_ladder() {
    static const std::vector<LadderStep> kSteps = {
        {"activations with real zero points, clip 0.85",
         {{"activations.symmetric", false},
          {"activations.zero_point", std::string("real")},
          {"activations.clip", kUngroupedClip}}},
        {"the first 4 positions in 8 bits", {{"activations.first_positions", int64_t{4}}}},
        {"keys per channel, V unclipped",
         {{"k.axis", std::string("channel")}, {"k.clip", 1.0}, {"v.clip", 1.0}}},
        {"up and down balanced", {{"rotation.up_balance", 1.0}}},
        {"weights with zero points, largest inputs first",
         {{"weights.symmetric", false}, {"weights.act_order", true}}},
        {"scales of weights by the Hessian", {{"weights.scale_search", std::string("hessian")}}},
        {"calibrated on quantized activations",
         {{"calibration.activations", std::string("quantized")}}},
        {"targets refitted", {{"weights.target", std::string("refit")}}},
        half_value_scales(),
    };
    return kSteps;
}

Recipe after(Recipe recipe, std::span<const LadderStep> steps) {
    for (const LadderStep& step : steps) recipe = with_changes(recipe, step.changes);
    return recipe;
}

}  // namespace quarot

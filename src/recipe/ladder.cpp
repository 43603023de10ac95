#include "recipe/ladder.h"

namespace quarot {

namespace {

constexpr int64_t kFineGroup = 32;       // of activations
constexpr int64_t kWideGroup = 64;       // of weights, and of activations beside them
constexpr double kUngroupedClip = 0.85;  // of activations; 0.9 for symmetric ones

LadderStep half_value_scales() {
    return {"scales of V in F16", {{"v.scales", std::string("f16")}}};
}

LadderStep weights_in_groups() {
    return {"weights in groups of 64, with zero points",
            {{"weights.group_size", kWideGroup},
             {"weights.symmetric", false},
             {"weights.act_order", true}}};
}

LadderStep activations_in_groups(std::string_view name, int64_t size) {
    return {name,
            {{"activations.group_size", size},
             {"activations.symmetric", false},
             {"activations.zero_point", std::string("real")},
             {"activations.clip", 1.0}}};
}

LadderStep two_level_scales() {
    return {"two-level scales of activations", {{"activations.scales", std::string("two-level")}}};
}

LadderStep first_positions() {
    return {"the first 4 positions in 8 bits", {{"activations.first_positions", int64_t{4}}}};
}

LadderStep keys_by_channel() {
    return {"keys per channel, V unclipped",
            {{"k.axis", std::string("channel")}, {"k.clip", 1.0}, {"v.clip", 1.0}}};
}

LadderStep up_and_down_balanced() {
    return {"up and down balanced", {{"rotation.up_balance", 1.0}}};
}

LadderStep calibrated_as_quantized() {
    return {"calibrated on quantized activations",
            {{"calibration.activations", std::string("quantized")}}};
}

LadderStep scales_by_hessian() {
    return {"scales of weights by the Hessian", {{"weights.scale_search", std::string("hessian")}}};
}

LadderStep targets_refitted() {
    return {"targets refitted", {{"weights.target", std::string("refit")}}};
}

}  // namespace

const std::vector<LadderStep>& grouped_ladder() {
    static const std::vector<LadderStep> kSteps = {
        weights_in_groups(),
        activations_in_groups("activations in groups of 32, with real zero points", kFineGroup),
        two_level_scales(),
        first_positions(),
        keys_by_channel(),
        {"R4 in blocks of 32", {{"rotation.ffn_block", kFineGroup}}},
        {"R1 aligned", {{"rotation.residual", std::string("aligned")}}},
        {"R2 aligned", {{"rotation.aligned_values", true}}},
        up_and_down_balanced(),
        calibrated_as_quantized(),
        scales_by_hessian(),
        targets_refitted(),
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
        first_positions(),
        keys_by_channel(),
        up_and_down_balanced(),
        {"weights with zero points, largest inputs first",
         {{"weights.symmetric", false}, {"weights.act_order", true}}},
        scales_by_hessian(),
        calibrated_as_quantized(),
        targets_refitted(),
        half_value_scales(),
    };
    return kSteps;
}

const std::vector<LadderStep>& hadamard_ladder() {
    static const std::vector<LadderStep> kSteps = {
        weights_in_groups(),
        activations_in_groups("activations in groups of 64, with real zero points", kWideGroup),
        two_level_scales(),
        first_positions(),
        keys_by_channel(),
        calibrated_as_quantized(),
        scales_by_hessian(),
        targets_refitted(),
        half_value_scales(),
    };
    return kSteps;
}

Recipe after(Recipe recipe, std::span<const LadderStep> steps) {
    for (const LadderStep& step : steps) recipe = with_changes(recipe, step.changes);
    return recipe;
}

}  // namespace quarot

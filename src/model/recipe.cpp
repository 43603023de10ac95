// The recipes there are by name, and which settings a user may combine.
#include "model/recipe.h"

#include <string_view>

#include "core/error.h"

namespace quarot::model {

namespace {

constexpr float kActivationClip = 0.9f;
constexpr float kKvClip = 0.95f;

// What quantizes activations and cache; with 16 bits it only says how run-time flags would.
void set_activations(Recipe& recipe, int activation_bits, int kv_bits) {
    recipe.activations.bits = activation_bits;
    recipe.activations.clip = kActivationClip;
    recipe.k.bits = kv_bits;
    recipe.k.clip = kKvClip;
    recipe.v = recipe.k;
    recipe.v.range_includes_zero = false;
}

Recipe rotated_rtn(const std::string& name, int weight_bits, int activation_bits, int kv_bits) {
    Recipe recipe;
    recipe.name = name;
    recipe.rotation = {.residual = ResidualRotation::Hadamard,
                       .value_heads = true,
                       .query_key = true,
                       .ffn = true,
                       .fold_norms = true};
    recipe.weights.bits = weight_bits;
    set_activations(recipe, activation_bits, kv_bits);
    recipe.storage = DType::F32;
    return recipe;
}

// The same quantizers with nothing rotated: no tensor changes that is not quantized.
Recipe unrotated_rtn() {
    Recipe recipe = rotated_rtn("rtn", 4, 4, 4);
    recipe.rotation = {};
    recipe.storage.reset();
    return recipe;
}

std::string joined_names() {
    std::string list;
    for (const std::string& name : recipe_names()) list += (list.empty() ? "" : ", ") + name;
    return list;
}

void check_width(std::string_view flag, int bits) {
    if (is_width(bits)) return;
    fail(ErrorCode::Usage, "{} is {}, expected 2 to 8, or 16 for not quantized", flag, bits);
}

void check_clip(std::string_view flag, float clip) {
    if (is_clip(clip)) return;
    fail(ErrorCode::Usage, "{} is {}, expected a ratio above 0 and at most 1", flag, clip);
}

void refuse_group_size(std::string_view flag, int64_t group_size) {
    if (group_size == 0) return;
    if (group_size < 0) fail(ErrorCode::Usage, "{} is {}, expected 0", flag, group_size);
    fail(ErrorCode::Unsupported,
         "{} is {}, and this version quantizes whole rows and heads only; leave the flag out", flag,
         group_size);
}

void check_rotation(const RotationSpec& rotation) {
    if (rotation.residual != ResidualRotation::None && !rotation.fold_norms) {
        fail(ErrorCode::Usage, "--rotate turns the residual stream, which needs folded norm gains");
    }
    if (rotation.residual_block < 0 || rotation.heads_block < 0 || rotation.ffn_block < 0) {
        fail(ErrorCode::Usage, "block sizes of a rotation are {}, {} and {}, expected 0 or more",
             rotation.residual_block, rotation.heads_block, rotation.ffn_block);
    }
}

void check_kv(char which, const kernels::KvFormat& format) {
    check_width(fmt::format("--{}-bits", which), format.bits);
    check_clip(fmt::format("--{}-clip", which), format.clip);
    refuse_group_size(fmt::format("--{}-group-size", which), format.group_size);
    if (format.exempt_positions != 0) {
        fail(ErrorCode::Unsupported, "exempt positions of {} are {}, and this version has none",
             which, format.exempt_positions);
    }
}

void check_method(const WeightFormat& weights) {
    if (weights.method == "rtn") return;
    if (weights.method == "gptq") {
        fail(ErrorCode::Unsupported,
             "--method gptq: GPTQ is not in this version, use --method rtn");
    }
    fail(ErrorCode::Usage, "--method is {}, expected rtn", weights.method);
}

}  // namespace

int weight_bits(const Recipe& recipe, LinearRole role) {
    if (role == LinearRole::LmHead) return recipe.head_bits;
    if (role == LinearRole::Down && recipe.down_bits != 0) return recipe.down_bits;
    return recipe.weights.bits;
}

kernels::ActivationFormat activation_format(const Recipe& recipe, LinearRole role) {
    if (role == LinearRole::LmHead) return {};
    kernels::ActivationFormat format = recipe.activations;
    if (role == LinearRole::Down && recipe.down_bits != 0 && format.bits < 16) {
        format.bits = recipe.down_bits;
    }
    return format;
}

Recipe full_precision_recipe() {
    Recipe recipe;
    set_activations(recipe, 16, 16);
    return recipe;
}

std::string default_recipe_name() {
    return "quarot-rtn";
}

std::vector<std::string> recipe_names() {
    return {"quarot-rtn", "w4a8kv4", "w6a6kv6", "w8a8kv8", "rtn"};
}

Recipe named_recipe(const std::string& name) {
    if (name == "quarot-rtn") return rotated_rtn(name, 4, 4, 4);
    if (name == "w4a8kv4") return rotated_rtn(name, 4, 8, 4);
    if (name == "w6a6kv6") return rotated_rtn(name, 6, 6, 6);
    if (name == "w8a8kv8") return rotated_rtn(name, 8, 8, 8);
    if (name == "rtn") return unrotated_rtn();
    if (name == "quarot" || name == "quarot-128g") {
        fail(ErrorCode::Unsupported,
             "recipe {} needs GPTQ, and GPTQ is not in this version, use --recipe {}", name,
             default_recipe_name());
    }
    fail(ErrorCode::Usage, "--recipe {} is unknown, expected one of {}", name, joined_names());
}

bool is_width(int64_t bits) {
    return (bits >= 2 && bits <= 8) || bits == 16;
}

bool is_clip(double clip) {
    return clip > 0.0 && clip <= 1.0;
}

void check_recipe(const Recipe& recipe) {
    check_rotation(recipe.rotation);
    check_width("--w-bits", recipe.weights.bits);
    refuse_group_size("--group-size", recipe.weights.group_size);
    check_method(recipe.weights);
    check_width("--a-bits", recipe.activations.bits);
    check_clip("--a-clip", recipe.activations.clip);
    refuse_group_size("--a-group-size", recipe.activations.group_size);
    if (recipe.activations.zero != kernels::ZeroPoint::Integer) {
        fail(ErrorCode::Unsupported, "--a-zero real is not in this version, leave the flag out");
    }
    check_kv('k', recipe.k);
    check_kv('v', recipe.v);
    if (recipe.down_bits != 0) check_width("--down-bits", recipe.down_bits);
    check_width("--head-bits", recipe.head_bits);
    if (recipe.storage && !is_float_weight(*recipe.storage)) {
        fail(ErrorCode::Usage, "--dtype is {}, expected keep, f32, f16 or bf16",
             name_of(*recipe.storage));
    }
}

}  // namespace quarot::model

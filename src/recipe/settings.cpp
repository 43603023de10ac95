#include "recipe/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "core/check.h"
#include "core/error.h"
#include "core/setting.h"
#include "recipe/setting_fields.h"

namespace quarot {

namespace {

using namespace setting_fields;

constexpr int64_t kMaxCalibration = int64_t{1} << 20;  // windows, and tokens of one
constexpr int64_t kMaxSize = int64_t{1} << 24;         // of blocks and positions
constexpr int64_t kMaxSeed = std::numeric_limits<uint32_t>::max();
constexpr size_t kNameBytes = 64;

constexpr Spelling<ResidualRotation> kResiduals[] = {{ResidualRotation::None, "none"},
                                                     {ResidualRotation::Hadamard, "hadamard"},
                                                     {ResidualRotation::Random, "random"},
                                                     {ResidualRotation::File, "file"},
                                                     {ResidualRotation::Aligned, "aligned"}};
constexpr Spelling<DType> kOnlineTypes[] = {
    {DType::F32, "f32"}, {DType::F16, "f16"}, {DType::F32, "fp32"}, {DType::F16, "fp16"}};
constexpr Spelling<GroupScales> kGroupScales[] = {{GroupScales::Updated, "updated"},
                                                  {GroupScales::BlockStart, "block-start"}};
constexpr Spelling<ScaleSearch> kScaleSearches[] = {{ScaleSearch::Power, "power"},
                                                    {ScaleSearch::Hessian, "hessian"}};
constexpr Spelling<WeightTarget> kTargets[] = {{WeightTarget::Stored, "stored"},
                                               {WeightTarget::Refit, "refit"}};
constexpr Spelling<kernels::ZeroPoint> kZeroPoints[] = {{kernels::ZeroPoint::Integer, "integer"},
                                                        {kernels::ZeroPoint::Real, "real"}};
constexpr Spelling<kernels::ActivationScales> kActivationScales[] = {
    {kernels::ActivationScales::Group, "group"},
    {kernels::ActivationScales::TwoLevel, "two-level"}};
constexpr Spelling<kernels::KvAxis> kKeyAxes[] = {{kernels::KvAxis::Token, "token"},
                                                  {kernels::KvAxis::Channel, "channel"}};
constexpr Spelling<kernels::KvAxis> kValueAxes[] = {{kernels::KvAxis::Token, "token"}};
constexpr Spelling<DType> kValueScales[] = {{DType::F32, "f32"}, {DType::F16, "f16"}};
constexpr Spelling<KeyBiasUse> kKeyBiasUses[] = {{KeyBiasUse::Keep, "keep"},
                                                 {KeyBiasUse::Subtract, "subtract"}};
constexpr Spelling<std::optional<DType>> kStorages[] = {
    {std::nullopt, "keep"}, {DType::F32, "f32"}, {DType::F16, "f16"}, {DType::BF16, "bf16"}};
constexpr Spelling<CalibrationWindows> kWindows[] = {{CalibrationWindows::First, "first"},
                                                     {CalibrationWindows::Random, "random"}};
constexpr Spelling<CalibrationActivations> kCalibrationActivations[] = {
    {CalibrationActivations::Full, "full"}, {CalibrationActivations::Quantized, "quantized"}};
constexpr Spelling<OutlierMeasure> kMeasures[] = {{OutlierMeasure::Maximum, "maximum"},
                                                  {OutlierMeasure::Energy, "energy"}};

constexpr SettingField method() {
    return {get<&Recipe::weights, &WeightFormat::method>,
            set<&Recipe::weights, &WeightFormat::method>,
            [](const SettingValue& v) { return is_plain_name(std::get<std::string>(v)); },
            [] { return std::string("the name of a method"); }};
}

constexpr size_t kSha256Digits = 64;

bool is_sha256(std::string_view text) {
    return text.size() == kSha256Digits &&
           text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

constexpr SettingField digest() {
    return {get<&Recipe::rotation, &RotationSpec::residual_sha256>,
            set<&Recipe::rotation, &RotationSpec::residual_sha256>,
            [](const SettingValue& v) {
                const auto& text = std::get<std::string>(v);
                return text.empty() || is_sha256(text);
            },
            [] { return std::string("the 64 hexadecimal digits of a SHA-256"); }};
}

template <auto... path>
constexpr SettingField own_width() {
    SettingField field = width<path...>();
    field.fits = [](const SettingValue& v) {
        return std::get<int64_t>(v) == 0 || is_width(std::get<int64_t>(v));
    };
    field.expected = [] {
        return std::string("2 to 8, 16 for not quantized, or 0 for as the others");
    };
    return field;
}

// Blocks go with keys by channel.
constexpr SettingField key_axis() {
    SettingField field = one_of<kKeyAxes, &Recipe::k, &kernels::KvFormat::axis>();
    field.set = [](Recipe& recipe, const SettingValue& value) {
        one_of<kKeyAxes, &Recipe::k, &kernels::KvFormat::axis>().set(recipe, value);
        if (recipe.k.axis == kernels::KvAxis::Token) recipe.k.block = kernels::KvFormat{}.block;
    };
    return field;
}

// Blocks of whole vectors that end where pages end.
constexpr SettingField key_block() {
    SettingField field = whole<16, 64, &Recipe::k, &kernels::KvFormat::block>();
    field.fits = [](const SettingValue& v) {
        const int64_t n = std::get<int64_t>(v);
        return n == 16 || n == 32 || n == 64;
    };
    field.expected = [] { return std::string("16, 32 or 64, so that no block crosses a page"); };
    return field;
}

constexpr SettingField smoothing_alpha() {
    SettingField field = share<100, &Recipe::smoothing, &SmoothingSpec::alpha>();
    field.expected = [] { return std::string("a number from 0 to 1, 0 for searched"); };
    field.set = [](Recipe& recipe, const SettingValue& value) {
        recipe.smoothing = {.enabled = true, .alpha = std::get<double>(value)};
    };
    return field;
}

constexpr SettingHelp word(std::string_view word, std::string_view value, std::string_view text) {
    return {.word = word, .value = value, .text = text};
}

constexpr SettingHelp main_word(std::string_view word, std::string_view value,
                                std::string_view text) {
    return {.word = word, .value = value, .text = text, .main = true};
}

constexpr SettingHelp switch_word(std::string_view on, std::string_view off,
                                  std::string_view text) {
    return {.word = on, .off = off, .text = text};
}

constexpr RecipeSetting at_run_time(RecipeSetting setting) {
    setting.at_run_time = true;
    return setting;
}

constexpr RecipeSetting optional(RecipeSetting setting) {
    setting.optional = true;
    return setting;
}

// One for all takes the place of those that were searched.
constexpr SettingField activation_clip() {
    SettingField field = clip<&Recipe::activations, &kernels::ActivationFormat::clip>();
    field.set = [](Recipe& recipe, const SettingValue& value) {
        recipe.activations.clip = static_cast<float>(std::get<double>(value));
        recipe.clip_search = false;
    };
    return field;
}

constexpr RecipeSetting site_bits(std::string_view key, SettingField field, SettingHelp help) {
    return optional(at_run_time({key, field, help}));
}

constexpr RecipeSetting kSettings[] = {
    {"rotation.residual", one_of<kResiduals, &Recipe::rotation, &RotationSpec::residual>()},
    {"rotation.residual_block",
     whole<0, kMaxSize, &Recipe::rotation, &RotationSpec::residual_block>()},
    optional({"rotation.residual_sha256", digest()}),
    {"rotation.seed", whole<0, kMaxSeed, &Recipe::rotation, &RotationSpec::seed>(),
     word("seed", "N", "of the rotation's random numbers [0]")},
    {"rotation.value_heads", on<&Recipe::rotation, &RotationSpec::value_heads>()},
    {"rotation.head_mix", on<&Recipe::rotation, &RotationSpec::head_mix>()},
    {"rotation.heads_block", whole<0, kMaxSize, &Recipe::rotation, &RotationSpec::heads_block>(),
     word("heads-block", "N", "heads that the head mix mixes with each other; 0: all [0]")},
    {"rotation.query_key", on<&Recipe::rotation, &RotationSpec::query_key>()},
    {"rotation.ffn", on<&Recipe::rotation, &RotationSpec::ffn>()},
    {"rotation.ffn_block", whole<0, kMaxSize, &Recipe::rotation, &RotationSpec::ffn_block>(),
     word("r4-block", "N", "inputs of down_proj that R4 mixes with each other; 0: all [0]")},
    optional({"rotation.aligned_values", on<&Recipe::rotation, &RotationSpec::aligned_values>(),
              switch_word("align-values", "no-align-values",
                          "R2 of each KV head found on the calibration text, or a Hadamard")}),
    optional({"rotation.up_balance", share<100, &Recipe::rotation, &RotationSpec::up_balance>(),
              word("balance-up", "R",
                   "even out what down_proj reads by scales of up_proj, found on the calibration "
                   "text; 1: as far as weights allow [0]")}),
    {"rotation.fold_norms", on<&Recipe::rotation, &RotationSpec::fold_norms>()},
    {"rotation.online_dtype",
     one_of<kOnlineTypes, &Recipe::rotation, &RotationSpec::online_dtype>(),
     word("hadamard-dtype", "TYPE", "of the online Hadamards: fp32 or fp16 [fp32]")},
    {"weights.method", method(),
     main_word("method", "NAME", "how weights are quantized: rtn, or gptq, which needs a text")},
    {"weights.bits", width<&Recipe::weights, &WeightFormat::bits>(),
     main_word("w-bits", "N", "bits of weights, 2 to 8, or 16: not quantized")},
    {"weights.group_size", group<&Recipe::weights, &WeightFormat::group_size>(),
     word("group-size", "N", "inputs of a weight that share a scale; 0: all of a row [0]")},
    {"weights.symmetric", on<&Recipe::weights, &WeightFormat::symmetric>(),
     switch_word("", "w-asym", "weights with a zero point")},
    {"weights.clip_search", on<&Recipe::weights, &WeightFormat::clip_search>(),
     switch_word("w-clip-search", "no-w-clip-search",
                 "search each weight row's best clip ratio, or do not")},
    {"weights.damp", share<100, &Recipe::weights, &WeightFormat::damp>(),
     word("damp", "R", "gptq: share of the Hessian's mean diagonal added to it [0.01]")},
    {"weights.act_order", on<&Recipe::weights, &WeightFormat::act_order>(),
     switch_word("act-order", "", "gptq: columns with the largest inputs first")},
    {"weights.group_scales", one_of<kGroupScales, &Recipe::weights, &WeightFormat::group_scales>(),
     word("group-scales", "WHEN",
          "gptq: from updated weights, or as the original from block-start "
          "[updated]")},
    optional({"weights.scale_search",
              one_of<kScaleSearches, &Recipe::weights, &WeightFormat::scale_search>(),
              word("scale-search", "NORM",
                   "gptq: clip ratios by the power 2.4 of weight errors, or by hessian: their "
                   "squares weighted by the inputs' [power]")}),
    optional({"weights.target", one_of<kTargets, &Recipe::weights, &WeightFormat::target>(),
              word("target", "WHAT",
                   "gptq: codes stand for the stored weights, or for a refit of them to the "
                   "quantized model's inputs [stored]")}),
    optional({"weights.refit_share", share<100, &Recipe::weights, &WeightFormat::refit_share>(),
              word("refit-share", "R",
                   "gptq: how far a refit goes from the stored weights, at most [0.25]")}),

    at_run_time({"activations.bits",
                 width<&Recipe::activations, &kernels::ActivationFormat::bits>(),
                 main_word("a-bits", "N", "bits of activations")}),
    {"activations.group_size",
     group<&Recipe::activations, &kernels::ActivationFormat::group_size>(),
     word("a-group-size", "N", "inputs of a token that share a scale; 0: all of a row [0]")},
    {"activations.symmetric", on<&Recipe::activations, &kernels::ActivationFormat::symmetric>(),
     switch_word("", "a-asym", "activations with a zero point")},
    at_run_time({"activations.clip", activation_clip(),
                 word("a-clip", "R", "clip ratio of activations, in (0, 1]")}),
    optional(at_run_time({"activations.clip_search", on<&Recipe::clip_search>(),
                          switch_word("a-clip-search", "no-a-clip-search",
                                      "clip ratios of activations by layer and place, those that "
                                      "change outputs least on the calibration text")})),
    {"activations.zero_point",
     one_of<kZeroPoints, &Recipe::activations, &kernels::ActivationFormat::zero>(),
     word("a-zero", "KIND", "zero points of activations: integer or real [integer]")},
    optional(
        {"activations.scales",
         one_of<kActivationScales, &Recipe::activations, &kernels::ActivationFormat::scales>(),
         word("a-scales", "KIND",
              "of groups of activations: a number each (group), or 8 bits each that count in the "
              "token's unit (two-level) [group]")}),
    optional(at_run_time(
        {"activations.first_positions",
         whole<0, kMaxSize, &Recipe::activations, &kernels::ActivationFormat::first_positions>(),
         word("a-first", "N", "first positions of a sequence whose activations have 8 bits [0]")})),
    site_bits("activations.attn_in_bits", own_width<&Recipe::site_bits, &SiteBits::attn_in>(),
              word("a-bits-attn", "N", "bits of the inputs of q, k and v, if others")),
    site_bits("activations.o_in_bits", own_width<&Recipe::site_bits, &SiteBits::o_in>(),
              word("a-bits-o", "N", "bits of the input of o_proj, if others")),
    site_bits("activations.mlp_in_bits", own_width<&Recipe::site_bits, &SiteBits::mlp_in>(),
              word("a-bits-mlp", "N", "bits of the inputs of gate and up, if others")),
    site_bits("activations.down_in_bits", own_width<&Recipe::site_bits, &SiteBits::down_in>(),
              word("a-bits-down", "N", "bits of the input of down_proj, if others")),
    at_run_time({"k.bits", width<&Recipe::k, &kernels::KvFormat::bits>(),
                 word("k-bits", "N", "bits of K in the cache")}),
    at_run_time({"k.axis", key_axis(),
                 word("k-axis", "AXIS",
                      "keys that share a scale: of a token, or of a channel over a block of "
                      "positions [token]")}),
    optional(at_run_time(
        {"k.block", key_block(),
         word("k-block", "N", "positions of a block of keys by channel: 16, 32 or 64 [64]")})),
    {"k.group_size", whole<0, kMaxSize, &Recipe::k, &kernels::KvFormat::group_size>()},
    at_run_time({"k.clip", clip<&Recipe::k, &kernels::KvFormat::clip>(),
                 word("k-clip", "R", "clip ratio of K")}),
    {"k.exempt_positions", whole<0, kMaxSize, &Recipe::k, &kernels::KvFormat::exempt_positions>()},
    {"k.range_includes_zero", on<&Recipe::k, &kernels::KvFormat::range_includes_zero>()},
    at_run_time({"v.bits", width<&Recipe::v, &kernels::KvFormat::bits>(),
                 word("v-bits", "N", "bits of V in the cache")}),
    {"v.axis", one_of<kValueAxes, &Recipe::v, &kernels::KvFormat::axis>()},
    {"v.group_size", whole<0, kMaxSize, &Recipe::v, &kernels::KvFormat::group_size>()},
    at_run_time({"v.clip", clip<&Recipe::v, &kernels::KvFormat::clip>(),
                 word("v-clip", "R", "clip ratio of V")}),
    {"v.exempt_positions", whole<0, kMaxSize, &Recipe::v, &kernels::KvFormat::exempt_positions>()},
    {"v.range_includes_zero", on<&Recipe::v, &kernels::KvFormat::range_includes_zero>()},
    optional(
        at_run_time({"v.scales", one_of<kValueScales, &Recipe::v, &kernels::KvFormat::scales>(),
                     word("v-scales", "TYPE",
                          "of V in the cache: f32, or f16 as keys by channel have them "
                          "[f32]")})),

    {"embedding_bits", width<&Recipe::embedding_bits>(),
     word("embedding-bits", "N", "bits of the embedding's rows [16]")},
    {"tied_rotation", on<&Recipe::tied_rotation>(),
     switch_word("keep-tied", "untie",
                 "head and embedding stay one matrix where the model ties them, or become two")},
    {"tp_max", whole<1, kMaxSize, &Recipe::tp_max>()},
    at_run_time({"k_bias", one_of<kKeyBiasUses, &Recipe::k_bias>(),
                 word("k-bias", "HOW",
                      "where keys have a bias: keep caches them with it, subtract without "
                      "(it is added when they are read) [subtract]")}),
    {"down_bits", own_width<&Recipe::down_bits>(),
     word("down-bits", "N", "bits of down_proj's weights and input, if others")},
    {"head_bits", width<&Recipe::head_bits>(),
     word("head-bits", "N", "bits of lm_head's weights [16]")},
    optional({"head_group_size", group<&Recipe::head_group_size>(),
              word("head-group-size", "N",
                   "columns of lm_head and of the embedding that share a scale; 0: as other "
                   "weights [0]")}),
    {"storage", one_of<kStorages, &Recipe::storage>(),
     word("dtype", "TYPE", "of rotated tensors not quantized: keep, f32, f16, bf16 [keep]")},
    {"calibration.nsamples",
     whole<1, kMaxCalibration, &Recipe::calibration, &CalibrationSpec::n_samples>(),
     word("nsamples", "N", "calibration windows [32]")},
    {"calibration.seqlen",
     whole<2, kMaxCalibration, &Recipe::calibration, &CalibrationSpec::seqlen>(),
     word("seqlen", "N", "tokens of a calibration window [2048, or what the model has]")},
    {"calibration.windows", one_of<kWindows, &Recipe::calibration, &CalibrationSpec::windows>(),
     word("calib-windows", "WHICH", "first: from the start on, or random by the seed [random]")},
    {"calibration.activations",
     one_of<kCalibrationActivations, &Recipe::calibration, &CalibrationSpec::activations>(),
     word("calib-activations", "HOW",
          "what layers hand on while calibrating: full precision or quantized "
          "[full]")},
    {"smoothing.alpha", smoothing_alpha(),
     word("smooth-alpha", "R",
          "smooth activations into weights by this power; 0: the best of 0.1 "
          "to 0.9")},
    {"outliers.share", share<50, &Recipe::outliers, &OutlierSpec::share>()},
    {"outliers.bits", width<&Recipe::outliers, &OutlierSpec::bits>()},
    {"outliers.sorted", on<&Recipe::outliers, &OutlierSpec::sorted>()},
    {"outliers.measure", one_of<kMeasures, &Recipe::outliers, &OutlierSpec::measure>()},
    {"outliers.by_hidden", on<&Recipe::outliers, &OutlierSpec::by_hidden>()}};

void check_range(const RecipeSetting& setting, const SettingValue& value) {
    if (setting.field.fits(value)) return;
    fail(ErrorCode::Usage, "{} is {}, expected {}", Setting{setting.key}, to_string(value),
         setting.field.expected());
}

}  // namespace

std::string to_string(const SettingValue& value) {
    return std::visit([](const auto& v) { return fmt::format("{}", v); }, value);
}

std::span<const RecipeSetting> recipe_settings() {
    return kSettings;
}

const RecipeSetting& recipe_setting(std::string_view key) {
    for (const RecipeSetting& setting : recipe_settings()) {
        if (setting.key == key) return setting;
    }
    check_failed(__FILE__, __LINE__, "a setting that there is", std::string(key));
}

Recipe with_changes(Recipe recipe, const SettingChanges& changes) {
    for (const auto& [key, value] : changes) {
        const RecipeSetting& setting = recipe_setting(key);
        check_range(setting, value);
        setting.field.set(recipe, value);
    }
    return recipe;
}

SettingChanges run_time_values(const Recipe& recipe) {
    SettingChanges changes;
    for (const RecipeSetting& setting : recipe_settings()) {
        if (setting.at_run_time) changes[std::string(setting.key)] = setting.field.get(recipe);
    }
    return changes;
}

void check_ranges(const Recipe& recipe) {
    for (const RecipeSetting& setting : recipe_settings()) {
        check_range(setting, setting.field.get(recipe));
    }
}

bool is_plain_name(std::string_view name) {
    const auto is_plain = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '-' || c == '_' || c == '.' || c == '+';
    };
    return !name.empty() && name.size() <= kNameBytes && name != "none" &&
           std::all_of(name.begin(), name.end(), is_plain);
}

}  // namespace quarot

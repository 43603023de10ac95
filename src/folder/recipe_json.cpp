// How a recipe stands in config.json, and what of it is believed when it comes back.
#include "folder/recipe_json.h"

#include <charconv>
#include <limits>
#include <string_view>
#include <utility>

#include "core/check.h"
#include "core/error.h"
#include "io/text.h"

namespace quarot::folder {

namespace {

constexpr int64_t kFormatVersion = 2;
constexpr size_t kNameBytes = 64;
constexpr int64_t kMaxSize = int64_t{1} << 24;  // of blocks, positions and calibration

template <typename Enum>
using Spelling = std::pair<Enum, std::string_view>;

constexpr Spelling<ResidualRotation> kResiduals[] = {{ResidualRotation::None, "none"},
                                                     {ResidualRotation::Hadamard, "hadamard"},
                                                     {ResidualRotation::Random, "random"}};
constexpr Spelling<kernels::ZeroPoint> kZeroPoints[] = {{kernels::ZeroPoint::Integer, "integer"},
                                                        {kernels::ZeroPoint::Real, "real"}};
constexpr Spelling<kernels::KvAxis> kAxes[] = {{kernels::KvAxis::Token, "token"}};
constexpr Spelling<DType> kStorages[] = {
    {DType::F32, "f32"}, {DType::F16, "f16"}, {DType::BF16, "bf16"}};

constexpr Spelling<DType> kOnlineTypes[] = {{DType::F32, "f32"}, {DType::F16, "f16"}};
constexpr Spelling<GroupScales> kGroupScales[] = {{GroupScales::Updated, "updated"},
                                                  {GroupScales::BlockStart, "block-start"}};
constexpr Spelling<CalibrationWindows> kWindows[] = {{CalibrationWindows::First, "first"},
                                                     {CalibrationWindows::Random, "random"}};
constexpr Spelling<CalibrationActivations> kCalibrationActivations[] = {
    {CalibrationActivations::Full, "full"}, {CalibrationActivations::Quantized, "quantized"}};

constexpr Spelling<KeyBiasUse> kKeyBiasUses[] = {{KeyBiasUse::Keep, "keep"},
                                                 {KeyBiasUse::Subtract, "subtract"}};
constexpr Spelling<OutlierMeasure> kMeasures[] = {{OutlierMeasure::Maximum, "maximum"},
                                                  {OutlierMeasure::Energy, "energy"}};

template <typename Enum, size_t n>
io::Json spelled(Enum value, const Spelling<Enum> (&spellings)[n]) {
    for (const auto& [known, text] : spellings) {
        if (known == value) return std::string(text);
    }
    check_failed(__FILE__, __LINE__, "a value without a spelling", "");
}

template <typename Enum, size_t n>
Enum read_spelled(const io::Json& json, const Spelling<Enum> (&spellings)[n]) {
    std::string list;
    for (const auto& [value, text] : spellings) {
        if (json.as_string() == text) return value;
        list += fmt::format("{}\"{}\"", list.empty() ? "" : ", ", text);
    }
    fail(ErrorCode::Corrupt, "{} is \"{}\", expected one of {}", json.place(),
         io::printable(json.as_string()), list);
}

// The shortest decimal number that reads back as this float: 0.9, not 0.89999998.
double shortest(float value) {
    const std::string text = fmt::format("{}", value);
    double result = 0.0;
    std::from_chars(text.data(), text.data() + text.size(), result);
    return result;
}

int read_width(const io::Json& json, bool zero_allowed = false) {
    const int64_t bits = json.as_int();
    if (is_width(bits) || (zero_allowed && bits == 0)) return static_cast<int>(bits);
    fail(ErrorCode::Corrupt, "{} is {}, expected {}2 to 8, or 16", json.place(), bits,
         zero_allowed ? "0, " : "");
}

float read_clip(const io::Json& json) {
    const auto clip = static_cast<float>(json.as_double());
    if (is_clip(clip)) return clip;
    fail(ErrorCode::Corrupt, "{} is {}, expected a number above 0 and at most 1", json.place(),
         json.as_double());
}

int64_t read_size(const io::Json& json) {
    return json.as_int(0, kMaxSize);
}

int64_t read_group(const io::Json& json) {
    const int64_t size = json.as_int();
    if (size == 0 || is_group_size(size)) return size;
    fail(ErrorCode::Corrupt, "{} is {}, expected 0 or a multiple of 4", json.place(), size);
}

double read_share(const io::Json& json) {
    const double share = json.as_double();
    if (share >= 0.0 && share <= 1.0) return share;
    fail(ErrorCode::Corrupt, "{} is {}, expected 0 to 1", json.place(), share);
}

// Letters, digits, '-', '_' and '.', so that a name can stand in a message and a file name.
std::string read_name(const io::Json& json) {
    const std::string& name = json.as_string();
    const auto is_plain = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '-' || c == '_' || c == '.';
    };
    bool plain = !name.empty() && name.size() <= kNameBytes && name != "none";
    for (const char c : name) plain = plain && is_plain(c);
    if (plain) return name;
    fail(ErrorCode::Corrupt, "{} is \"{}\", expected the name of a recipe", json.place(),
         io::printable(name));
}

io::Json rotation_to_json(const RotationSpec& spec) {
    return io::Json::Object{{"residual", spelled(spec.residual, kResiduals)},
                            {"residual_block", spec.residual_block},
                            {"seed", int64_t{spec.seed}},
                            {"value_heads", spec.value_heads},
                            {"heads_block", spec.heads_block},
                            {"query_key", spec.query_key},
                            {"ffn", spec.ffn},
                            {"ffn_block", spec.ffn_block},
                            {"fold_norms", spec.fold_norms},
                            {"online_dtype", spelled(spec.online_dtype, kOnlineTypes)}};
}

RotationSpec rotation_from_json(const io::Json& json) {
    RotationSpec spec;
    spec.residual = read_spelled(json.at("residual"), kResiduals);
    spec.residual_block = read_size(json.at("residual_block"));
    spec.seed = static_cast<uint32_t>(
        json.at("seed").as_int(0, int64_t{std::numeric_limits<uint32_t>::max()}));
    spec.value_heads = json.at("value_heads").as_bool();
    spec.heads_block = read_size(json.at("heads_block"));
    spec.query_key = json.at("query_key").as_bool();
    spec.ffn = json.at("ffn").as_bool();
    spec.ffn_block = read_size(json.at("ffn_block"));
    spec.fold_norms = json.at("fold_norms").as_bool();
    spec.online_dtype = read_spelled(json.at("online_dtype"), kOnlineTypes);
    return spec;
}

io::Json weights_to_json(const WeightFormat& format) {
    return io::Json::Object{{"method", format.method},
                            {"bits", format.bits},
                            {"group_size", format.group_size},
                            {"symmetric", format.symmetric},
                            {"clip_search", format.clip_search},
                            {"damp", format.damp},
                            {"act_order", format.act_order},
                            {"group_scales", spelled(format.group_scales, kGroupScales)}};
}

WeightFormat weights_from_json(const io::Json& json) {
    WeightFormat format;
    format.method = read_name(json.at("method"));
    format.bits = read_width(json.at("bits"));
    format.group_size = read_group(json.at("group_size"));
    format.symmetric = json.at("symmetric").as_bool();
    format.clip_search = json.at("clip_search").as_bool();
    format.damp = read_share(json.at("damp"));
    format.act_order = json.at("act_order").as_bool();
    format.group_scales = read_spelled(json.at("group_scales"), kGroupScales);
    return format;
}

io::Json activations_to_json(const kernels::ActivationFormat& format) {
    return io::Json::Object{{"bits", format.bits},
                            {"group_size", format.group_size},
                            {"symmetric", format.symmetric},
                            {"clip", shortest(format.clip)},
                            {"zero_point", spelled(format.zero, kZeroPoints)}};
}

kernels::ActivationFormat activations_from_json(const io::Json& json) {
    return {.bits = read_width(json.at("bits")),
            .group_size = read_group(json.at("group_size")),
            .symmetric = json.at("symmetric").as_bool(),
            .clip = read_clip(json.at("clip")),
            .zero = read_spelled(json.at("zero_point"), kZeroPoints)};
}

io::Json kv_to_json(const kernels::KvFormat& format) {
    return io::Json::Object{{"bits", format.bits},
                            {"axis", spelled(format.axis, kAxes)},
                            {"group_size", format.group_size},
                            {"clip", shortest(format.clip)},
                            {"exempt_positions", format.exempt_positions},
                            {"range_includes_zero", format.range_includes_zero}};
}

kernels::KvFormat kv_from_json(const io::Json& json) {
    return {.bits = read_width(json.at("bits")),
            .axis = read_spelled(json.at("axis"), kAxes),
            .group_size = read_size(json.at("group_size")),
            .clip = read_clip(json.at("clip")),
            .exempt_positions = read_size(json.at("exempt_positions")),
            .range_includes_zero = json.at("range_includes_zero").as_bool()};
}

io::Json calibration_to_json(const CalibrationSpec& spec) {
    return io::Json::Object{{"nsamples", spec.n_samples},
                            {"seqlen", spec.seqlen},
                            {"windows", spelled(spec.windows, kWindows)},
                            {"activations", spelled(spec.activations, kCalibrationActivations)}};
}

CalibrationSpec calibration_from_json(const io::Json& json) {
    return {.n_samples = json.at("nsamples").as_int(1, kMaxSize),
            .seqlen = json.at("seqlen").as_int(2, kMaxSize),
            .windows = read_spelled(json.at("windows"), kWindows),
            .activations = read_spelled(json.at("activations"), kCalibrationActivations)};
}

SmoothingSpec smoothing_from_json(const io::Json& json) {
    return {.enabled = true, .alpha = read_share(json.at("alpha"))};
}

io::Json outliers_to_json(const OutlierSpec& spec) {
    io::Json json = io::Json::Object{{"share", spec.share},
                                     {"bits", spec.bits},
                                     {"sorted", spec.sorted},
                                     {"measure", spelled(spec.measure, kMeasures)}};
    if (spec.by_hidden) json.set("by_hidden", true);
    return json;
}

OutlierSpec outliers_from_json(const io::Json& json) {
    const io::Json& share = json.at("share");
    if (!is_outlier_share(share.as_double())) {
        fail(ErrorCode::Corrupt, "{} is {}, expected 0 to 0.5", share.place(), share.as_double());
    }
    const io::Json* by_hidden = json.find("by_hidden");
    return {.share = share.as_double(),
            .by_hidden = by_hidden != nullptr && by_hidden->as_bool(),
            .bits = read_width(json.at("bits")),
            .sorted = json.at("sorted").as_bool(),
            .measure = read_spelled(json.at("measure"), kMeasures)};
}

// Folders of version 1 were made before transforms could be cut for several ranks.
int64_t tp_max_from_json(const io::Json& json) {
    if (json.at("format_version").as_int() < 2) return 1;
    return json.at("tp_max").as_int(1, kMaxSize);
}

// Nor could the cache leave the bias out.
KeyBiasUse k_bias_from_json(const io::Json& json) {
    if (json.at("format_version").as_int() < 2) return KeyBiasUse::Keep;
    return read_spelled(json.at("k_bias"), kKeyBiasUses);
}

std::optional<DType> storage_from_json(const io::Json& json) {
    if (json.is_string() && json.as_string() == "keep") return std::nullopt;
    return read_spelled(json, kStorages);
}

void check_version(const io::Json& json) {
    const int64_t version = json.at("format_version").as_int(1, kMaxSize);
    if (version <= kFormatVersion) return;
    fail(ErrorCode::Unsupported, "{} is {}, and this version reads up to {}; update the program",
         json.at("format_version").place(), version, kFormatVersion);
}

void add_changes(const std::string& prefix, const io::Json& named, const io::Json& found,
                 std::vector<ChangedSetting>& changes) {
    for (const auto& [key, value] : found.as_object()) {
        const io::Json* other = named.find(key);
        if (value.is_object()) {
            const io::Json none = io::Json::Object{};
            add_changes(prefix + key + ".", other != nullptr ? *other : none, value, changes);
        } else if (other == nullptr || other->dump(-1) != value.dump(-1)) {
            changes.push_back({prefix + key, value.dump(-1)});
        }
    }
    for (const auto& [key, value] : named.as_object()) {
        if (found.find(key) == nullptr) changes.push_back({prefix + key, "null"});
    }
}

// What version 2 has room for: embeddings in codes, and a tied matrix that R1 is applied to as it
// is read.
void refuse_what_is_to_come(const io::Json& json) {
    const auto refuse = [](const io::Json& value, std::string_view expected) {
        fail(ErrorCode::Unsupported, "{} is {}, and this version runs {} only", value.place(),
             value.dump(-1), expected);
    };
    const io::Json& embedding = json.at("embedding_bits");
    if (read_width(embedding) != 16) refuse(embedding, "16");
    const io::Json& tied = json.at("tied_rotation");
    if (tied.as_bool()) refuse(tied, "false");
}

// A folder may be newer than the program that reads it.
void refuse_what_cannot_run(const Recipe& recipe, const io::Json& json) {
    if (recipe.k.group_size != 0 || recipe.v.group_size != 0) {
        fail(ErrorCode::Unsupported,
             "{} has groups inside a head of K or V, and this version runs whole heads only",
             json.place());
    }
    if (recipe.activations.zero == kernels::ZeroPoint::Real && recipe.activations.symmetric) {
        fail(ErrorCode::Corrupt, "{} has a real zero point and symmetric codes", json.place());
    }
    if (json.at("format_version").as_int() >= 2) refuse_what_is_to_come(json);
    if (recipe.k.exempt_positions != 0 || recipe.v.exempt_positions != 0) {
        fail(ErrorCode::Unsupported, "{} has exempt positions, and this version runs 0 only",
             json.place());
    }
}

}  // namespace

io::Json to_json(const Recipe& recipe) {
    io::Json json = io::Json::Object{
        {"quant_method", "quarot"},
        {"format_version", kFormatVersion},
        {"recipe", recipe.name},
        {"rotation", rotation_to_json(recipe.rotation)},
        {"weights", weights_to_json(recipe.weights)},
        {"activations", activations_to_json(recipe.activations)},
        {"k", kv_to_json(recipe.k)},
        {"v", kv_to_json(recipe.v)},
        {"embedding_bits", 16},
        {"tied_rotation", false},
        {"tp_max", recipe.tp_max},
        {"k_bias", spelled(recipe.k_bias, kKeyBiasUses)},
        {"down_bits", recipe.down_bits},
        {"head_bits", recipe.head_bits},
        {"storage", recipe.storage ? spelled(*recipe.storage, kStorages) : io::Json("keep")},
        {"calibration", calibration_to_json(recipe.calibration)}};
    if (recipe.smoothing.enabled) {
        json.set("smoothing", io::Json::Object{{"alpha", recipe.smoothing.alpha}});
    }
    if (recipe.outliers.enabled()) json.set("outliers", outliers_to_json(recipe.outliers));
    return json;
}

std::vector<ChangedSetting> changed_settings(const Recipe& named, const Recipe& recipe) {
    Recipe other = recipe;
    other.name = named.name;
    other.rotation.seed = named.rotation.seed;
    const CalibrationActivations activations = recipe.calibration.activations;
    other.calibration = named.calibration;
    other.calibration.activations = activations;
    std::vector<ChangedSetting> changes;
    add_changes("", to_json(named), to_json(other), changes);
    return changes;
}

std::string nearest_name(const Recipe& recipe) {
    std::string nearest;
    size_t fewest = std::numeric_limits<size_t>::max();
    for (const std::string& name : known_recipes()) {
        const size_t n = changed_settings(named_recipe(name), recipe).size();
        if (n >= fewest) continue;
        nearest = name;
        fewest = n;
    }
    return nearest;
}

Recipe recipe_from_json(const io::Json& json) {
    check_version(json);
    Recipe recipe;
    recipe.name = read_name(json.at("recipe"));
    recipe.rotation = rotation_from_json(json.at("rotation"));
    recipe.weights = weights_from_json(json.at("weights"));
    recipe.activations = activations_from_json(json.at("activations"));
    recipe.k = kv_from_json(json.at("k"));
    recipe.v = kv_from_json(json.at("v"));
    recipe.k_bias = k_bias_from_json(json);
    recipe.tp_max = tp_max_from_json(json);
    recipe.down_bits = read_width(json.at("down_bits"), true);
    recipe.head_bits = read_width(json.at("head_bits"));
    recipe.storage = storage_from_json(json.at("storage"));
    recipe.calibration = calibration_from_json(json.at("calibration"));
    if (const io::Json* smoothing = json.find("smoothing")) {
        recipe.smoothing = smoothing_from_json(*smoothing);
    }
    if (const io::Json* outliers = json.find("outliers")) {
        recipe.outliers = outliers_from_json(*outliers);
    }
    refuse_what_cannot_run(recipe, json);
    return recipe;
}

}  // namespace quarot::folder

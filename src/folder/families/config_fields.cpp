#include "folder/families/config_fields.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "core/error.h"
#include "folder/families/rope_fields.h"
#include "folder/limits.h"
#include "io/text.h"

namespace quarot::folder {

namespace {

constexpr IntRange kWidth = {1, limits::kHiddenSize};
constexpr IntRange kFfn = {1, limits::kIntermediateSize};
constexpr IntRange kLayers = {1, limits::kLayers};
constexpr IntRange kHeads = {1, limits::kHeads};
constexpr IntRange kHeadDim = {2, limits::kHeadDim};
constexpr IntRange kVocab = {1, limits::kVocabulary};
constexpr IntRange kPositions = {1, limits::kPositions};
constexpr IntRange kWindow = {1, int64_t{1} << 40};
constexpr RealRange kScale = {1e-6, 1e6};
constexpr RealRange kEps = {limits::kLeastNormEpsilon, limits::kNormEpsilon};

struct NamedActivation {
    std::string_view name;
    model::Activation activation;
};
constexpr std::array<NamedActivation, 7> kActivations = {{
    {"silu", model::Activation::Silu},
    {"swish", model::Activation::Silu},
    {"gelu", model::Activation::Gelu},
    {"gelu_new", model::Activation::GeluTanh},
    {"gelu_fast", model::Activation::GeluTanh},
    {"gelu_pytorch_tanh", model::Activation::GeluTanh},
    {"relu", model::Activation::Relu},
}};

model::Activation read_activation(const io::Json& config, const CommonFields& fields) {
    const io::Json* act = config.find(fields.activation);
    if (act == nullptr) return fields.default_activation;
    std::string names;
    for (const NamedActivation& known : kActivations) {
        if (act->as_string() == known.name) return known.activation;
        names += fmt::format("{}{}", names.empty() ? "" : ", ", known.name);
    }
    fail(ErrorCode::Unsupported, "{} is \"{}\", and this version runs {}", act->place(),
         io::printable(act->as_string()), names);
}

double read_norm_eps(const io::Json& config, const CommonFields& fields) {
    const bool given = config.find(fields.norm_eps) != nullptr;
    if (!given && fields.default_norm_eps) return *fields.default_norm_eps;
    return required_real(config, fields.norm_eps, kEps);
}

int64_t read_kv_heads(const io::Json& config, int64_t n_heads) {
    const int64_t n = int_or(config, "num_key_value_heads", kHeads, n_heads);
    if (n_heads % n == 0) return n;
    fail(ErrorCode::Corrupt, "{} is {}, expected a divisor of num_attention_heads, which is {}",
         config.at("num_key_value_heads").place(), n, n_heads);
}

int64_t read_head_dim(const io::Json& config, int64_t hidden, int64_t n_heads) {
    const bool given = config.find("head_dim") != nullptr;
    if (!given && hidden % n_heads != 0) {
        fail(ErrorCode::Corrupt,
             "{} is {}, which num_attention_heads ({}) does not divide, and there is no head_dim",
             config.at("hidden_size").place(), hidden, n_heads);
    }
    const int64_t head_dim = given ? required_int(config, "head_dim", kHeadDim) : hidden / n_heads;
    if (head_dim % 2 == 0 && head_dim >= kHeadDim.min && head_dim <= kHeadDim.max) return head_dim;
    fail(ErrorCode::Corrupt, "{} gives heads of {} values, expected an even number from {} to {}",
         config.at(given ? "head_dim" : "hidden_size").place(), head_dim, kHeadDim.min,
         kHeadDim.max);
}

}  // namespace

int64_t required_int(const io::Json& config, std::string_view key, IntRange range) {
    return config.at(key).as_int(range.min, range.max);
}

int64_t int_or(const io::Json& config, std::string_view key, IntRange range, int64_t absent) {
    const io::Json* value = config.find(key);
    return value == nullptr ? absent : value->as_int(range.min, range.max);
}

bool bool_or(const io::Json& config, std::string_view key, bool absent) {
    const io::Json* value = config.find(key);
    return value == nullptr ? absent : value->as_bool();
}

double real_in(const io::Json& value, RealRange range) {
    const double real = value.as_double();
    if (real >= range.min && real <= range.max) return real;
    fail(ErrorCode::Corrupt, "{} is {}, expected a number from {} to {}", value.place(), real,
         range.min, range.max);
}

double required_real(const io::Json& config, std::string_view key, RealRange range) {
    return real_in(config.at(key), range);
}

io::Json completed(io::Json config, const io::Json::Object& absent) {
    for (const auto& [key, value] : absent) {
        if (!config.contains(key)) config.set(key, value);
    }
    return config;
}

int64_t read_window(const io::Json& config, int64_t absent, const model::ModelConfig& model) {
    constexpr std::string_view kKey = "sliding_window";
    const int64_t window =
        config.contains(kKey) ? int_or(config, kKey, kWindow, model.max_positions) : absent;
    return window < model.max_positions ? window : 0;
}

std::vector<bool> read_sliding_layers(const io::Json& config, std::vector<bool> otherwise) {
    const io::Json* types = config.find("layer_types");
    if (types == nullptr) return otherwise;
    const io::Json::Array& names = types->as_array();
    if (names.size() != otherwise.size()) {
        fail(ErrorCode::Corrupt, "{} has {} entries, expected one for each of {} layers",
             types->place(), names.size(), otherwise.size());
    }
    for (size_t layer = 0; layer < names.size(); ++layer) {
        const std::string& name = names[layer].as_string();
        otherwise[layer] = name == "sliding_attention";
        if (otherwise[layer] || name == "full_attention") continue;
        fail(ErrorCode::Unsupported,
             "{} has \"{}\", and this version runs \"full_attention\" and \"sliding_attention\"",
             types->place(), io::printable(name));
    }
    return otherwise;
}

void set_windows(model::ModelConfig& model, int64_t window, const std::vector<bool>& slides) {
    if (window == 0) return;
    model.layers.resize(slides.size());
    for (size_t layer = 0; layer < slides.size(); ++layer) {
        if (slides[layer]) model.layers[layer].window = window;
    }
}

void read_window_of_all_layers(const io::Json& config, int64_t absent, model::ModelConfig& model) {
    set_windows(model, read_window(config, absent, model),
                std::vector<bool>(static_cast<size_t>(model.n_layers), true));
}

void read_windows_of_late_layers(const io::Json& config, model::ModelConfig& model) {
    constexpr int64_t kAbsentWindow = 4096, kAbsentFirst = 28;
    if (!bool_or(config, "use_sliding_window", false)) return;
    const int64_t first = int_or(config, "max_window_layers", {0, limits::kLayers}, kAbsentFirst);
    std::vector<bool> slides(static_cast<size_t>(model.n_layers), false);
    for (int64_t layer = first; layer < model.n_layers; ++layer) {
        slides[static_cast<size_t>(layer)] = true;
    }
    set_windows(model, read_window(config, kAbsentWindow, model),
                read_sliding_layers(config, std::move(slides)));
}

model::RoleSet read_biases(const io::Json& config) {
    model::RoleSet biases;
    if (bool_or(config, "attention_bias", false)) biases = biases | kAttentionLinears;
    if (bool_or(config, "mlp_bias", false)) biases = biases | kMlpLinears;
    return biases;
}

double factor_or(const io::Json& config, std::string_view key, double absent) {
    if (!config.contains(key)) return absent;
    const io::Json* value = config.find(key);
    return value == nullptr ? 0.0 : real_in(*value, kScale);
}

int32_t read_bos(const io::Json& config, int64_t vocab) {
    const io::Json* bos = config.find("bos_token_id");
    if (bos == nullptr) return -1;
    if (bos->is_array() && bos->as_array().empty()) return -1;
    const io::Json& id = bos->is_array() ? bos->as_array().front() : *bos;
    const bool is_token = id.is_int() && id.as_int() >= 0 && id.as_int() < vocab;
    return is_token ? static_cast<int32_t>(id.as_int()) : -1;
}

std::vector<int32_t> read_eos(const io::Json& config) {
    const io::Json* eos = config.find("eos_token_id");
    if (eos == nullptr) return {};
    constexpr int64_t kMaxId = std::numeric_limits<int32_t>::max();
    if (eos->is_int() && eos->as_int() == -1) return {};
    if (!eos->is_array()) return {static_cast<int32_t>(eos->as_int(0, kMaxId))};
    const io::Json::Array& ids = eos->as_array();
    if (ids.size() > limits::kEndTokens) {
        fail(ErrorCode::Corrupt, "{} lists {} tokens, expected at most {}", eos->place(),
             ids.size(), limits::kEndTokens);
    }
    std::vector<int32_t> result;
    for (const io::Json& id : ids) {
        const auto token = static_cast<int32_t>(id.as_int(0, kMaxId));
        if (std::find(result.begin(), result.end(), token) == result.end()) {
            result.push_back(token);
        }
    }
    return result;
}

void expect_bool(const io::Json& config, std::string_view key, bool expected) {
    if (bool_or(config, key, expected) == expected) return;
    fail(ErrorCode::Unsupported, "{} is {}, and this version runs models with {} only",
         config.at(key).place(), !expected, expected);
}

model::ModelConfig read_common_fields(const io::Json& config, const CommonFields& fields) {
    model::ModelConfig model;
    model.activation = read_activation(config, fields);
    model.architecture = config.at("architectures").as_array().at(0).as_string();
    model.hidden = required_int(config, "hidden_size", kWidth);
    model.ffn = required_int(config, fields.ffn, kFfn);
    model.n_layers = required_int(config, "num_hidden_layers", kLayers);
    model.n_heads = required_int(config, "num_attention_heads", kHeads);
    model.n_kv_heads = read_kv_heads(config, model.n_heads);
    model.head_dim = read_head_dim(config, model.hidden, model.n_heads);
    model.vocab = required_int(config, "vocab_size", kVocab);
    model.max_positions = required_int(config, "max_position_embeddings", kPositions);
    model.norm_eps = read_norm_eps(config, fields);
    if (fields.has_rope) {
        model.ropes = {read_rope(config, {.head_dim = model.head_dim,
                                          .max_positions = model.max_positions,
                                          .theta = fields.default_theta,
                                          .rotary_part = fields.default_rotary_part})};
        model.max_positions = positions_with(model.ropes.front(), model.max_positions);
    } else {
        model.ropes.clear();
        model.layers.assign(static_cast<size_t>(model.n_layers), {.rope = -1});
    }
    model.tied_embeddings = bool_or(config, "tie_word_embeddings", fields.tied);
    model.bos = read_bos(config, model.vocab);
    model.eos = read_eos(config);
    return model;
}

}  // namespace quarot::folder

#include "folder/families/gguf_fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/decimal.h"
#include "core/error.h"
#include "folder/limits.h"
#include "io/text.h"
#include "model/rope.h"

namespace quarot::folder {

namespace {

constexpr int64_t kMostInt = std::numeric_limits<int32_t>::max();
constexpr double kFactorError = 1e-5;  // they are stored as fp32
constexpr std::string_view kFrequencyFactors = "rope_freqs.weight";
constexpr std::string_view kLongFactors = "rope_factors_long.weight";
constexpr std::string_view kShortFactors = "rope_factors_short.weight";
constexpr std::string_view kTokenKinds = "tokenizer.ggml.token_type";
constexpr std::string_view kWindowKey = "attention.sliding_window";
constexpr std::string_view kExpertsKey = "expert_count";

// "llama.block_count": a key of the file's own architecture.
std::string gguf_key(const io::GgufMetadata& metadata, std::string_view name) {
    return fmt::format("{}.{}", metadata.text("general.architecture"), name);
}

int64_t head_dim_of(const GgufFields& fields, int64_t hidden, int64_t n_heads) {
    const auto keys = fields.find_integer("attention.key_length");
    const auto values = fields.find_integer("attention.value_length");
    if (keys && values && *keys != *values) {
        fail(ErrorCode::Unsupported,
             "{} is {} and {} is {}, and this version has one width for both",
             fields.place("attention.key_length"), *keys, fields.place("attention.value_length"),
             *values);
    }
    if (keys) return *keys;
    return n_heads == 0 ? 0 : hidden / n_heads;  // which read_common_fields refuses
}

// Those of the type llama3 with these parameters, as divisors of the plain frequencies.
bool are_llama3_factors(const std::vector<float>& factors, const model::RopeConfig& rope) {
    const int64_t head_dim = 2 * std::ssize(factors);
    const std::vector<double> plain =
        model::rope_frequencies({.theta = rope.theta}, head_dim, limits::kPositions);
    const std::vector<double> scaled = model::rope_frequencies(rope, head_dim, limits::kPositions);
    for (size_t i = 0; i < factors.size(); ++i) {
        const double factor = static_cast<double>(factors[i]);
        const double error = std::abs(scaled[i] * factor / plain[i] - 1.0);
        if (!(error <= kFactorError)) return false;  // nor NaN
    }
    return true;
}

// Files keep the factors that llama3 leads to and not what it was told. All models have the same
// borders between high and low frequencies, and contexts that are powers of two.
io::Json llama3_scaling(const GgufFields& fields, int64_t head_dim, double theta) {
    const std::vector<float> factors = fields.floats(kFrequencyFactors);
    if (2 * std::ssize(factors) != head_dim) {
        fail(ErrorCode::Corrupt, "{}: tensor {} has {} factors, expected one for two of {} values",
             fields.file().path(), kFrequencyFactors, factors.size(), head_dim);
    }
    model::RopeConfig rope{
        .type = model::RopeType::Llama3,
        .theta = theta,
        .factor = static_cast<double>(*std::max_element(factors.begin(), factors.end())),
        .low_freq_factor = 1.0,
        .high_freq_factor = 4.0};
    for (int64_t context = 256; context <= limits::kPositions; context *= 2) {
        rope.original_max_positions = context;
        if (!are_llama3_factors(factors, rope)) continue;
        return io::Json::Object{{"rope_type", "llama3"},
                                {"factor", rope.factor},
                                {"low_freq_factor", rope.low_freq_factor},
                                {"high_freq_factor", rope.high_freq_factor},
                                {"original_max_position_embeddings", context}};
    }
    fail(ErrorCode::Unsupported,
         "{}: tensor {} holds factors of RoPE's frequencies that are not those of the type llama3",
         fields.file().path(), kFrequencyFactors);
}

// Files have more of yarn than folders; what has no place there must not change anything.
void add_yarn(const GgufFields& fields, io::Json& scaling) {
    constexpr std::array<std::pair<const char*, double>, 4> kNeutral = {
        {{"rope.scaling.attn_factor", 1.0},
         {"rope.scaling.yarn_ext_factor", 1.0},
         {"rope.scaling.yarn_attn_factor", 1.0},
         {"rope.scaling.yarn_log_multiplier", 0.0}}};
    for (const auto& [name, neutral] : kNeutral) {
        const double value = fields.find_real(name).value_or(neutral);
        if (value == neutral) continue;
        fail(ErrorCode::Unsupported, "{} is {}, and {} is read only", fields.place(name), value,
             neutral);
    }
    for (const char* name : {"beta_fast", "beta_slow"}) {
        const auto value = fields.find_real(fmt::format("rope.scaling.yarn_{}", name));
        if (value) scaling.set(name, *value);
    }
}

// null for plain RoPE.
io::Json rope_scaling(const GgufFields& fields, int64_t head_dim, double theta) {
    if (fields.holds(kFrequencyFactors)) return llama3_scaling(fields, head_dim, theta);
    const std::string* type = fields.file().metadata().find_text(fields.key("rope.scaling.type"));
    if (type == nullptr) {
        const double factor = fields.find_real("rope.scale_linear").value_or(1.0);  // older files
        if (factor == 1.0) return {};
        return io::Json::Object{{"rope_type", "linear"}, {"factor", factor}};
    }
    if (*type == "none") return {};
    io::Json scaling = io::Json::Object{{"rope_type", *type}};
    if (const auto factor = fields.find_real("rope.scaling.factor")) scaling.set("factor", *factor);
    if (const auto context = fields.find_integer("rope.scaling.original_context_length")) {
        scaling.set("original_max_position_embeddings", *context);
    }
    if (*type == "yarn") add_yarn(fields, scaling);
    return scaling;
}

// The quotient, or the number after it, whose product with `whole` truncates to `part`.
double part_of(int64_t part, int64_t whole) {
    const double n = static_cast<double>(whole);
    const double quotient = static_cast<double>(part) / n;
    return static_cast<int64_t>(n * quotient) < part ? std::nextafter(quotient, 1.0) : quotient;
}

void add_rope(const GgufFields& fields, int64_t head_dim, io::Json& config) {
    const double theta = fields.find_real("rope.freq_base").value_or(10000.0);
    config.set("rope_theta", theta);
    config.set("rope_scaling", rope_scaling(fields, head_dim, theta));
    if (head_dim == 0) return;
    const int64_t rotated = fields.find_integer("rope.dimension_count").value_or(head_dim);
    config.set("partial_rotary_factor", part_of(rotated, head_dim));  // families have defaults
}

// Of RMSNorm or of LayerNorm; some files have both.
void add_norm_eps(const GgufFields& fields, io::Json& config) {
    constexpr std::string_view kRms = "attention.layer_norm_rms_epsilon";
    const auto layer = fields.find_real("attention.layer_norm_epsilon");
    if (layer) config.set("layer_norm_eps", *layer);
    if (!layer || fields.find_real(kRms)) config.set("rms_norm_eps", fields.real(kRms));
}

// The weights of a token's experts are a softmax over all experts, of which there are no groups,
// and there are no experts that see every token.
void refuse_other_routing(const GgufFields& fields) {
    const auto expect = [&](std::string_view name, std::initializer_list<double> neutral) {
        const auto value = fields.find_real(name);
        if (!value || std::find(neutral.begin(), neutral.end(), *value) != neutral.end()) return;
        fail(ErrorCode::Unsupported, "{} is {}, and {} is read only", fields.place(name), *value,
             *neutral.begin());
    };
    constexpr double kSoftmax = 1.0;
    expect("expert_gating_func", {kSoftmax});
    expect("expert_weights_scale", {1.0, 0.0});  // 0: none
    expect("expert_group_count", {1.0, 0.0});
    expect("expert_shared_count", {0.0});
    expect("expert_shared_feed_forward_length", {0.0});
}

// Files name one end of texts, and often not the one that ends a turn of a chat: that is known by
// its text.
constexpr std::array<std::string_view, 5> kEndTexts = {"<|eot_id|>", "<|im_end|>", "<|end|>",
                                                       "<end_of_turn>", "<|endoftext|>"};
constexpr std::array<std::string_view, 3> kEndKeys = {"eos_token_id", "eot_token_id",
                                                      "eom_token_id"};
constexpr int64_t kNormalToken = 1;

std::vector<int64_t> end_tokens(const io::GgufMetadata& metadata) {
    std::vector<int64_t> ids;
    const auto add = [&](int64_t id) {
        if (std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(id);
    };
    for (const std::string_view name : kEndKeys) {
        const std::string key = fmt::format("tokenizer.ggml.{}", name);
        if (const auto id = metadata.find_integer(key, -1, UINT32_MAX)) {
            if (*id >= 0 && *id <= kMostInt) add(*id);
        }
    }
    const std::vector<int64_t>* kinds = metadata.find_integers(kTokenKinds);
    if (kinds == nullptr || !metadata.contains("tokenizer.ggml.tokens")) return ids;
    const std::vector<std::string>& tokens = metadata.texts("tokenizer.ggml.tokens");
    for (size_t id = 0; id < std::min(tokens.size(), kinds->size()); ++id) {
        const bool ends =
            (*kinds)[id] != kNormalToken &&
            std::find(kEndTexts.begin(), kEndTexts.end(), tokens[id]) != kEndTexts.end();
        if (ends) add(static_cast<int64_t>(id));
    }
    return ids;
}

void add_tokens(const io::GgufMetadata& metadata, io::Json& config) {
    const auto bos = metadata.find_integer("tokenizer.ggml.bos_token_id", -1, UINT32_MAX);
    if (bos && *bos >= 0 && *bos <= kMostInt) config.set("bos_token_id", *bos);
    const std::vector<int64_t> ends = end_tokens(metadata);
    if (!ends.empty()) config.set("eos_token_id", io::Json::Array(ends.begin(), ends.end()));
}

}  // namespace

std::string GgufFields::key(std::string_view name) const {
    return gguf_key(metadata_, name);
}

int64_t GgufFields::integer(std::string_view name) const {
    return metadata_.integer(key(name), 0, kMostInt);
}

std::optional<int64_t> GgufFields::find_integer(std::string_view name) const {
    return metadata_.find_integer(key(name), 0, kMostInt);
}

int64_t GgufFields::n_layers() const {
    return metadata_.integer(key("block_count"), 1, limits::kLayers);
}

bool GgufFields::holds(std::string_view tensor) const {
    return file_.tensors().contains(std::string(tensor));
}

const io::GgufTensor& GgufFields::tensor(std::string_view name) const {
    const auto found = file_.tensors().find(std::string(name));
    if (found != file_.tensors().end()) return found->second;
    fail(ErrorCode::Corrupt, "{} has no tensor {}, which its model needs", file_.path(), name);
}

std::vector<float> GgufFields::floats(std::string_view name) const {
    const io::GgufTensor& found = tensor(name);
    const bool fits =
        found.shape.size() == 1 && found.shape[0] <= limits::kHeadDim && found.type->name == "F32";
    if (!fits) {
        fail(ErrorCode::Corrupt, "{}: tensor {} is not a vector of F32, at most {} long",
             file_.path(), name, limits::kHeadDim);
    }
    std::vector<float> values(static_cast<size_t>(found.shape[0]));
    file_.read_rows(found, 0, found.shape[0], std::as_writable_bytes(std::span(values)));
    return values;
}

io::Json common_gguf_fields(const io::GgufFile& file) {
    const GgufFields fields(file);
    const int64_t hidden = fields.integer("embedding_length");
    const int64_t n_heads = fields.integer("attention.head_count");
    const int64_t head_dim = head_dim_of(fields, hidden, n_heads);
    io::Json config;
    config.set("hidden_size", hidden);
    config.set("intermediate_size", fields.integer("feed_forward_length"));
    config.set("num_hidden_layers", fields.integer("block_count"));
    config.set("num_attention_heads", n_heads);
    config.set("num_key_value_heads",
               fields.find_integer("attention.head_count_kv").value_or(n_heads));
    config.set("head_dim", head_dim);
    config.set("hidden_act", "silu");
    config.set("vocab_size", fields.tensor("token_embd.weight").shape.front());
    config.set("max_position_embeddings", fields.integer("context_length"));
    add_norm_eps(fields, config);
    config.set("tie_word_embeddings", !fields.holds("output.weight"));
    add_rope(fields, head_dim, config);
    add_tokens(file.metadata(), config);
    return config;
}

bool has_gguf_window(const io::GgufMetadata& metadata) {
    return metadata.find_integer(gguf_key(metadata, kWindowKey), 0, kMostInt).value_or(0) > 0;
}

void add_gguf_window(const io::GgufFile& file, io::Json& config) {
    if (!has_gguf_window(file.metadata())) return;
    config.set("sliding_window", GgufFields(file).integer(kWindowKey));
}

void add_gguf_sliding_layers(const io::GgufFile& file, int64_t period, io::Json& config) {
    const GgufFields fields(file);
    const io::GgufMetadata& metadata = file.metadata();
    const std::string key = fields.key("attention.sliding_window_pattern");
    const bool is_period = metadata.holds_integer(key);
    const std::vector<int64_t>* flags = is_period ? nullptr : metadata.find_integers(key);
    if (is_period) period = metadata.integer(key, 0, limits::kLayers);  // 0: all slide
    io::Json::Array types;
    const int64_t n = flags == nullptr ? fields.n_layers() : std::ssize(*flags);
    for (int64_t layer = 0; layer < n; ++layer) {
        const bool slides = flags != nullptr ? (*flags)[static_cast<size_t>(layer)] != 0
                                             : period == 0 || (layer + 1) % period != 0;
        types.emplace_back(slides ? "sliding_attention" : "full_attention");
    }
    config.set("layer_types", std::move(types));
}

void add_gguf_biases(const io::GgufFile& file, io::Json& config) {
    const GgufFields fields(file);
    config.set("attention_bias", fields.holds("blk.0.attn_q.bias"));
    config.set("mlp_bias", fields.holds("blk.0.ffn_up.bias"));
}

bool has_gguf_experts(const io::GgufMetadata& metadata) {
    return metadata.find_integer(gguf_key(metadata, kExpertsKey), 0, kMostInt).value_or(0) > 0;
}

void add_gguf_experts(const io::GgufFile& file, io::Json& config) {
    const GgufFields fields(file);
    refuse_other_routing(fields);
    config.set("num_local_experts", fields.integer(kExpertsKey));
    config.set("num_experts_per_tok", fields.integer("expert_used_count"));
}

void refuse_gguf_experts(const io::GgufFile& file) {
    if (!has_gguf_experts(file.metadata())) return;
    const GgufFields fields(file);
    fail(ErrorCode::Unsupported,
         "{} is {}, and mixtures of experts of this architecture are not read",
         fields.place(kExpertsKey), fields.integer(kExpertsKey));
}

void add_gguf_longrope(const io::GgufFile& file, io::Json& config) {
    const GgufFields fields(file);
    if (!fields.holds(kLongFactors) && !fields.holds(kShortFactors)) return;
    const auto list = [&](std::string_view name) {
        io::Json::Array numbers;
        for (const float factor : fields.floats(name)) numbers.emplace_back(as_written(factor));
        return numbers;
    };
    io::Json scaling = io::Json::Object{{"rope_type", "longrope"},
                                        {"long_factor", list(kLongFactors)},
                                        {"short_factor", list(kShortFactors)}};
    if (const auto factor = fields.find_real("rope.scaling.attn_factor")) {
        scaling.set("attention_factor", *factor);
    }
    config.set("rope_scaling", std::move(scaling));
    config.set("original_max_position_embeddings",
               fields.integer("rope.scaling.original_context_length"));
}

bool is_gguf_field(std::string_view tensor) {
    return tensor == kFrequencyFactors || tensor == kLongFactors || tensor == kShortFactors;
}

}  // namespace quarot::folder

// How the numbers of a config.json are read: every one within a stated range, every default named.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "io/json.h"
#include "model/config.h"

namespace quarot::folder {

struct IntRange {
    int64_t min;
    int64_t max;
};

struct RealRange {
    double min;  // both ends belong to the range
    double max;
};

// Error{Corrupt} naming file, key, what was found and what is expected.
int64_t required_int(const io::Json& config, std::string_view key, IntRange range);
int64_t int_or(const io::Json& config, std::string_view key, IntRange range, int64_t absent);
bool bool_or(const io::Json& config, std::string_view key, bool absent);
double real_in(const io::Json& value, RealRange range);
double required_real(const io::Json& config, std::string_view key, RealRange range);

// The config with the members that it lacks, as transformers completes it.
io::Json completed(io::Json config, const io::Json::Object& absent);

// "sliding_window": positions that a token sees where attention slides; 0 if it is null, or if the
// whole context fits; absent: `absent`.
int64_t read_window(const io::Json& config, int64_t absent, const model::ModelConfig& model);
// "layer_types": does attention slide, layer by layer? `otherwise` if there is no such list.
std::vector<bool> read_sliding_layers(const io::Json& config, std::vector<bool> otherwise);
// Gives the window to the layers that slide.
void set_windows(model::ModelConfig& model, int64_t window, const std::vector<bool>& slides);
// "sliding_window" for all layers alike; absent: `absent`.
void read_window_of_all_layers(const io::Json& config, int64_t absent, model::ModelConfig& model);
// As Qwen 2 and 3 spell it: only if "use_sliding_window", from layer "max_window_layers" on.
void read_windows_of_late_layers(const io::Json& config, model::ModelConfig& model);

// A factor or cap of the forward pass; null: 0. absent: `absent`.
double factor_or(const io::Json& config, std::string_view key, double absent);

// "bos_token_id": the first of a list; -1 if null, absent or no token of the vocabulary.
int32_t read_bos(const io::Json& config, int64_t vocab);
// "eos_token_id": one id or a list, none if null, -1 or absent.
std::vector<int32_t> read_eos(const io::Json& config);

// What "attention_bias" and "mlp_bias" speak of.
inline constexpr model::RoleSet kAttentionLinears = {model::LinearRole::Q, model::LinearRole::K,
                                                     model::LinearRole::V, model::LinearRole::O};
inline constexpr model::RoleSet kMlpLinears = {model::LinearRole::Gate, model::LinearRole::Up,
                                               model::LinearRole::Down};
// The linears that have a bias, as Llama says it: by both keys, absent: none.
model::RoleSet read_biases(const io::Json& config);

// What families name differently, and what holds where their files are silent.
struct CommonFields {
    std::string_view ffn = "intermediate_size";
    std::string_view norm_eps = "rms_norm_eps";
    std::string_view activation = "hidden_act";
    model::Activation default_activation = model::Activation::Silu;
    std::optional<double> default_norm_eps = {};  // none: the key is required
    bool tied = false;
    bool has_rope = true;
    double default_theta = 10000.0;
    double default_rotary_part = 1.0;
};

// The widths, counts and constants that most families write alike; family-specific fields (biases,
// windows) keep their defaults.
model::ModelConfig read_common_fields(const io::Json& config, const CommonFields& fields = {});

// Error{Unsupported} unless the key is absent, null or has the value that this version runs.
void expect_bool(const io::Json& config, std::string_view key, bool expected);

}  // namespace quarot::folder

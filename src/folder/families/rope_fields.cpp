#include "folder/families/rope_fields.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <initializer_list>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "folder/families/config_fields.h"
#include "folder/limits.h"
#include "io/text.h"

namespace quarot::folder {

namespace {

using model::RopeConfig;
using model::RopeType;

constexpr RealRange kTheta = {1.0 + 1e-9, 1e12};
constexpr RealRange kFactor = {1e-6, 1e6};
constexpr RealRange kPart = {1e-6, 1.0};
constexpr IntRange kTrainedPositions = {2, limits::kPositions};

struct NamedType {
    std::string_view name;
    RopeType type;
};
constexpr std::array<NamedType, 7> kTypes = {{{"default", RopeType::Default},
                                              {"linear", RopeType::Linear},
                                              {"dynamic", RopeType::Dynamic},
                                              {"yarn", RopeType::Yarn},
                                              {"llama3", RopeType::Llama3},
                                              {"longrope", RopeType::LongRope},
                                              {"su", RopeType::LongRope}}};

// "rope_type", or "type" in older files.
std::string type_name(const io::Json& rope) {
    const io::Json* now = rope.find("rope_type");
    const io::Json* before = rope.find("type");
    if (now != nullptr && before != nullptr && now->as_string() != before->as_string()) {
        fail(ErrorCode::Corrupt, "{} is \"{}\" but {} is \"{}\", expected them to agree",
             now->place(), io::printable(now->as_string()), before->place(),
             io::printable(before->as_string()));
    }
    if (now != nullptr) return now->as_string();
    if (before != nullptr) return before->as_string();
    if (rope.contains("factor")) {
        fail(ErrorCode::Corrupt, "{} has a factor and no rope_type, expected one beside it",
             rope.place());
    }
    return "default";
}

RopeType read_type(const io::Json& rope) {
    const std::string name = type_name(rope);
    for (const NamedType& known : kTypes) {
        if (name == known.name) return known.type;
    }
    std::string names;
    for (const NamedType& known : kTypes) {
        names += fmt::format("{}{}", names.empty() ? "" : ", ", known.name);
    }
    fail(ErrorCode::Unsupported, "{} has the RoPE type \"{}\", and this version supports {}",
         rope.place(), io::printable(name), names);
}

double real_or(const io::Json& object, std::string_view key, RealRange range, double absent) {
    const io::Json* value = object.find(key);
    return value == nullptr ? absent : real_in(*value, range);
}

// A number that may stand in several places and must be the same one wherever it does.
class Agreed {
  public:
    Agreed(RealRange range, double absent) : range_(range), value_(absent) {}
    void read(const io::Json* object, std::string_view key) {
        const io::Json* found = object == nullptr ? nullptr : object->find(key);
        if (found == nullptr) return;
        const double value = real_in(*found, range_);
        if (last_ != nullptr && value != value_) {
            fail(ErrorCode::Corrupt, "{} is {} but {} is {}, expected them to agree",
                 last_->place(), value_, found->place(), value);
        }
        last_ = found;
        value_ = value;
    }
    double value() const { return value_; }
    const io::Json* place() const { return last_; }  // of the last that was read; null: none

  private:
    RealRange range_;
    const io::Json* last_ = nullptr;
    double value_;
};

class ScalingReader {
  public:
    // rope: a rope_scaling or rope_parameters object.
    ScalingReader(const io::Json& config, const io::Json& rope, const RopeReading& reading,
                  int64_t rotary_dim)
        : config_(config), rope_(rope), reading_(reading), rotary_dim_(rotary_dim) {}

    // Everything but theta.
    RopeConfig read() const {
        RopeConfig result;
        result.type = read_type(rope_);
        result.rotary_dim = rotary_dim_;
        switch (result.type) {
            case RopeType::Default:
                break;
            case RopeType::Linear:
                result.factor = required_real(rope_, "factor", kFactor);
                break;
            case RopeType::Dynamic:
                read_dynamic(result);
                break;
            case RopeType::Yarn:
                read_yarn(result);
                break;
            case RopeType::Llama3:
                read_llama3(result);
                break;
            case RopeType::LongRope:
                read_longrope(result);
                break;
        }
        return result;
    }

  private:
    // Phi-3 has it beside the object, where it wins.
    std::optional<int64_t> original_positions() const {
        constexpr std::string_view kKey = "original_max_position_embeddings";
        for (const io::Json* place : {&config_, &rope_}) {
            if (place->find(kKey) != nullptr) return required_int(*place, kKey, kTrainedPositions);
        }
        return std::nullopt;
    }
    int64_t required_original() const {
        if (const auto original = original_positions()) return *original;
        return required_int(rope_, "original_max_position_embeddings", kTrainedPositions);
    }

    // The original context is the one that the file names; it can be stretched without end.
    void read_dynamic(RopeConfig& result) const {
        result.factor = required_real(rope_, "factor", {1.0, kFactor.max});
        result.original_max_positions = reading_.max_positions;
        if (rotary_dim_ > 2) return;
        fail(ErrorCode::Unsupported, "{} is dynamic, which heads with {} turning values cannot be",
             rope_.place(), rotary_dim_);
    }

    void read_yarn(RopeConfig& result) const {
        if (!bool_or(rope_, "truncate", true)) {
            fail(ErrorCode::Unsupported,
                 "{} is false, and this version rounds the borders of yarn (true)",
                 rope_.at("truncate").place());
        }
        const auto original = original_positions();
        result.original_max_positions = original.value_or(reading_.max_positions);
        result.factor =
            original && rope_.find("factor") == nullptr
                ? static_cast<double>(reading_.max_positions) / static_cast<double>(*original)
                : required_real(rope_, "factor", kFactor);
        result.beta_fast = real_or(rope_, "beta_fast", kFactor, result.beta_fast);
        result.beta_slow = real_or(rope_, "beta_slow", kFactor, result.beta_slow);
        if (result.beta_fast < result.beta_slow) {
            fail(ErrorCode::Corrupt, "{} has beta_fast {} and beta_slow {}, expected fast >= slow",
                 rope_.place(), result.beta_fast, result.beta_slow);
        }
        result.amplitude = yarn_amplitude(result.factor);
    }

    // As the paper advises for a factor, unless the file says otherwise.
    double yarn_amplitude(double factor) const {
        if (rope_.find("attention_factor") != nullptr) {
            return required_real(rope_, "attention_factor", kFactor);
        }
        const auto advised = [factor](double weight) {
            return factor <= 1.0 ? 1.0 : 0.1 * weight * std::log(factor) + 1.0;
        };
        const double above = real_or(rope_, "mscale", {0.0, kFactor.max}, 0.0);
        const double below = real_or(rope_, "mscale_all_dim", {0.0, kFactor.max}, 0.0);
        const bool both = above != 0.0 && below != 0.0;
        return both ? advised(above) / advised(below) : advised(1.0);
    }

    void read_llama3(RopeConfig& result) const {
        result.factor = required_real(rope_, "factor", kFactor);
        result.low_freq_factor = required_real(rope_, "low_freq_factor", kFactor);
        result.high_freq_factor = required_real(rope_, "high_freq_factor", kFactor);
        result.original_max_positions = required_original();
        if (result.low_freq_factor < result.high_freq_factor) return;
        fail(ErrorCode::Corrupt,
             "{} has low_freq_factor {} and high_freq_factor {}, expected low < high",
             rope_.place(), result.low_freq_factor, result.high_freq_factor);
    }

    void read_longrope(RopeConfig& result) const {
        for (const char* key : {"short_mscale", "long_mscale"}) {
            if (const io::Json* scale = rope_.find(key)) {
                fail(ErrorCode::Unsupported,
                     "{} is set, and this version has attention_factor only", scale->place());
            }
        }
        result.short_factors = read_factors("short_factor");
        result.long_factors = read_factors("long_factor");
        result.original_max_positions = required_original();
        result.amplitude = longrope_amplitude(static_cast<double>(result.original_max_positions));
    }

    double longrope_amplitude(double original) const {
        if (rope_.find("attention_factor") != nullptr) {
            return required_real(rope_, "attention_factor", kFactor);
        }
        const double factor = real_or(rope_, "factor", kFactor,
                                      static_cast<double>(reading_.max_positions) / original);
        return factor <= 1.0 ? 1.0 : std::sqrt(1.0 + std::log(factor) / std::log(original));
    }

    std::vector<double> read_factors(std::string_view key) const {
        const io::Json& list = rope_.at(key);
        const io::Json::Array& values = list.as_array();
        if (std::ssize(values) != rotary_dim_ / 2) {
            fail(
                ErrorCode::Corrupt,
                "{} has {} numbers, expected {}, one for each pair of the {} values of a head that "
                "turn",
                list.place(), values.size(), rotary_dim_ / 2, rotary_dim_);
        }
        std::vector<double> factors;
        for (const io::Json& value : values) factors.push_back(real_in(value, kFactor));
        return factors;
    }

    const io::Json& config_;
    const io::Json& rope_;
    const RopeReading& reading_;
    int64_t rotary_dim_;
};

// Truncated, as those who made the models do.
int64_t read_rotary_dim(std::initializer_list<const io::Json*> places, const RopeReading& reading) {
    const int64_t head_dim = reading.head_dim;
    Agreed part(kPart, reading.rotary_part);
    for (const io::Json* place : places) {
        part.read(place, "partial_rotary_factor");
        part.read(place, "rotary_pct");
    }
    if (part.value() == 1.0) return head_dim;
    const auto dim = static_cast<int64_t>(static_cast<double>(head_dim) * part.value());
    if (dim >= 2 && dim % 2 == 0) return dim;
    fail(ErrorCode::Unsupported,
         "{} is {}, by which {} of {} values of a head turn, and this version turns pairs",
         part.place() == nullptr ? "partial_rotary_factor, which the file does not have,"
                                 : part.place()->place(),
         part.value(), dim, head_dim);
}

void require_one_for_all(const io::Json& parameters) {
    for (const auto& [key, value] : parameters.as_object()) {
        if (!value.is_object()) continue;
        fail(ErrorCode::Unsupported, "{} has RoPE for each kind of layers, expected one for all",
             parameters.place());
    }
}

// rope_parameters, or its object for a kind of layers.
const io::Json* parameters_of(const io::Json& config, std::string_view layer_type) {
    const io::Json* all = config.find("rope_parameters");
    if (all == nullptr) return all;
    if (layer_type.empty()) {
        require_one_for_all(*all);
        return all;
    }
    const io::Json* nested = all->find(layer_type);
    return nested == nullptr ? all : nested;
}

}  // namespace

RopeConfig read_rope(const io::Json& config, const RopeReading& reading) {
    const io::Json* scaling = config.find("rope_scaling");
    const io::Json* parameters = parameters_of(config, reading.layer_type);
    const int64_t dim = read_rotary_dim({&config, scaling, parameters}, reading);
    std::optional<RopeConfig> rope;
    for (const io::Json* object : {scaling, parameters}) {
        if (object == nullptr) continue;
        RopeConfig found = ScalingReader(config, *object, reading, dim).read();
        if (rope && *rope != found) {
            fail(ErrorCode::Corrupt, "{} and {} ask for different RoPE, expected one or equal ones",
                 scaling->place(), parameters->place());
        }
        rope = std::move(found);
    }
    if (!rope) rope = RopeConfig{.rotary_dim = dim};
    Agreed theta(kTheta, reading.theta);
    for (const io::Json* place : {&config, scaling, parameters}) {
        theta.read(place, "rope_theta");
        theta.read(place, "rotary_emb_base");
    }
    rope->theta = theta.value();
    return *rope;
}

io::Json with_rope_scaling(io::Json config, const io::Json& scaling) {
    const auto move_to_config = [&config](const io::Json& from, const char* key) {
        if (const io::Json* value = from.find(key)) config.set(key, *value);
    };
    if (const io::Json* parameters = config.find("rope_parameters")) {
        require_one_for_all(*parameters);
        const io::Json stood = *parameters;
        move_to_config(stood, "rope_theta");
        move_to_config(stood, "partial_rotary_factor");
    }
    move_to_config(scaling, "original_max_position_embeddings");  // beside, where it wins
    config.set("rope_parameters", io::Json());
    config.set("rope_scaling", scaling);
    return config;
}

int64_t positions_with(const RopeConfig& rope, int64_t max_positions) {
    const bool is_original = rope.type == RopeType::Dynamic || rope.type == RopeType::Yarn;
    if (!is_original) return max_positions;
    const double reach = rope.factor * static_cast<double>(rope.original_max_positions);
    const auto limit = static_cast<double>(limits::kPositions);
    return std::max(max_positions, static_cast<int64_t>(std::min(reach, limit)));
}

}  // namespace quarot::folder

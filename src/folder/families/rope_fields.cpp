#include "folder/families/rope_fields.h"

#include <optional>
#include <string>

#include "core/error.h"
#include "folder/families/config_fields.h"
#include "folder/limits.h"
#include "io/text.h"

namespace quarot::folder {

namespace {

constexpr double kDefaultTheta = 10000.0;
constexpr RealRange kTheta = {1.0 + 1e-9, 1e12};
constexpr RealRange kFactor = {1e-6, 1e6};
constexpr IntRange kTrainedPositions = {1, limits::kPositions};

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
    return before != nullptr ? before->as_string() : "default";
}

model::RopeType read_type(const io::Json& rope) {
    const std::string name = type_name(rope);
    if (name == "default") return model::RopeType::Default;
    if (name == "linear") return model::RopeType::Linear;
    if (name == "llama3") return model::RopeType::Llama3;
    fail(ErrorCode::Unsupported,
         "{} has the RoPE type \"{}\", and this version supports default, linear and llama3",
         rope.place(), io::printable(name));
}

// Everything but theta of a rope_scaling or rope_parameters object.
model::RopeConfig read_scaling(const io::Json& rope) {
    model::RopeConfig result;
    result.type = read_type(rope);
    const io::Json* partial = rope.find("partial_rotary_factor");
    if (partial != nullptr && partial->as_double() != 1.0) {
        fail(ErrorCode::Unsupported, "{} is {}, and this version rotates whole heads only (1.0)",
             partial->place(), partial->as_double());
    }
    if (result.type == model::RopeType::Default) return result;
    result.factor = required_real(rope, "factor", kFactor);
    if (result.type == model::RopeType::Linear) return result;
    result.low_freq_factor = required_real(rope, "low_freq_factor", kFactor);
    result.high_freq_factor = required_real(rope, "high_freq_factor", kFactor);
    result.original_max_positions =
        required_int(rope, "original_max_position_embeddings", kTrainedPositions);
    if (result.low_freq_factor < result.high_freq_factor) return result;
    fail(ErrorCode::Corrupt,
         "{} has low_freq_factor {} and high_freq_factor {}, expected low < high", rope.place(),
         result.low_freq_factor, result.high_freq_factor);
}

bool equal_scaling(const model::RopeConfig& a, const model::RopeConfig& b) {
    return a.type == b.type && a.factor == b.factor && a.low_freq_factor == b.low_freq_factor &&
           a.high_freq_factor == b.high_freq_factor &&
           a.original_max_positions == b.original_max_positions;
}

// Every theta there is must be the same one.
class ThetaReader {
  public:
    void read(const io::Json* object) {
        const io::Json* found = object == nullptr ? nullptr : object->find("rope_theta");
        if (found == nullptr) return;
        const double theta = real_in(*found, kTheta);
        if (first_ != nullptr && theta != theta_) {
            fail(ErrorCode::Corrupt, "{} is {} but {} is {}, expected them to agree",
                 first_->place(), theta_, found->place(), theta);
        }
        first_ = found;
        theta_ = theta;
    }
    double theta() const { return theta_; }

  private:
    const io::Json* first_ = nullptr;
    double theta_ = kDefaultTheta;
};

}  // namespace

model::RopeConfig read_rope(const io::Json& config) {
    const io::Json* scaling = config.find("rope_scaling");
    const io::Json* parameters = config.find("rope_parameters");
    model::RopeConfig rope;
    if (scaling != nullptr) rope = read_scaling(*scaling);
    if (parameters != nullptr) {
        const model::RopeConfig newer = read_scaling(*parameters);
        if (scaling != nullptr && !equal_scaling(rope, newer)) {
            fail(ErrorCode::Corrupt, "{} and {} ask for different RoPE, expected one or equal ones",
                 scaling->place(), parameters->place());
        }
        rope = newer;
    }
    ThetaReader theta;
    theta.read(&config);
    theta.read(scaling);
    theta.read(parameters);
    rope.theta = theta.theta();
    return rope;
}

}  // namespace quarot::folder

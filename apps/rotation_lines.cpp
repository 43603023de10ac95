// What does a person read about the rotations of a folder?
#include "apps/rotation_lines.h"

#include <fmt/format.h>

#include <optional>
#include <string_view>

#include "rotate/rotation.h"

namespace quarot::apps {

namespace {

RotationLine line_of(const char* name, const std::optional<linalg::Mixer>& mixer) {
    if (!mixer) return {.name = name};
    return {name, linalg::name_of(mixer->kind), mixer->n, mixer->describe()};
}

RotationLine random_line(const char* name, int64_t order) {
    return {name, "random", order, fmt::format("random orthogonal {}", order)};
}

}  // namespace

std::vector<RotationLine> rotation_lines(const RotationSpec& spec,
                                         const model::ModelConfig& config) {
    const bool random = spec.residual == ResidualRotation::Random;
    RotationSpec cheap = spec;
    if (random) cheap.residual = ResidualRotation::None;  // the matrix is not needed
    const rotate::Rotation rotation = rotate::make_rotation(cheap, config);
    const int64_t order = spec.residual_block == 0 ? config.hidden : spec.residual_block;
    return {random ? random_line("R1", order) : line_of("R1", rotation.residual),
            line_of("R2", rotation.head_dim), line_of("R3", rotation.online.query_key),
            line_of("R4", rotation.online.ffn), line_of("head_mix", rotation.online.head_mix)};
}

std::string describe_rotation(const RotationSpec& spec, const model::ModelConfig& config) {
    std::string text;
    for (const RotationLine& line : rotation_lines(spec, config)) {
        if (line.kind == "none" || line.kind == "identity") continue;
        const std::string_view name = line.name;
        text += text.empty() ? "" : ", ";
        text += name == "head_mix" ? "head mix" : name;
        if (name == "R1") text += fmt::format(" ({})", line.kind);
    }
    return text.empty() ? "none" : text;
}

}  // namespace quarot::apps

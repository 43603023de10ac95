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

constexpr size_t kDigitsShown = 12;
constexpr const char* kExpertsLine = "R4_experts";

// An R1 that is a whole matrix.
RotationLine dense_line(const RotationSpec& spec, int64_t order) {
    if (spec.residual == ResidualRotation::Random) {
        return {"R1", "random", order, fmt::format("random orthogonal {}", order)};
    }
    if (spec.residual == ResidualRotation::Aligned) {
        return {"R1", "aligned", order, fmt::format("orthogonal {}, found on a text", order)};
    }
    return {"R1", "file", order,
            fmt::format("orthogonal {} from a file, SHA-256 {}...", order,
                        spec.residual_sha256.substr(0, kDigitsShown))};
}

RotationLine aligned_values(const model::ModelConfig& config) {
    return {"R2", "aligned", config.head_dim,
            fmt::format("orthogonal {} for each KV head, found on a text", config.head_dim)};
}

}  // namespace

std::vector<RotationLine> rotation_lines(const RotationSpec& spec,
                                         const model::ModelConfig& config) {
    const bool dense = spec.has_dense_residual();
    RotationSpec cheap = spec;
    if (dense) cheap.residual = ResidualRotation::None;  // the matrix is not needed
    const rotate::Rotation rotation = rotate::make_rotation(cheap, config);
    const int64_t order = spec.residual_block == 0 ? config.hidden : spec.residual_block;
    std::vector<RotationLine> lines = {
        dense ? dense_line(spec, order) : line_of("R1", rotation.residual),
        spec.aligned_values ? aligned_values(config) : line_of("R2", rotation.head_dim),
        line_of("R3", rotation.online.query_key), line_of("R4", rotation.online.ffn),
        line_of("head_mix", rotation.online.head_mix)};
    if (config.has_mixtures()) {
        lines.push_back(line_of(kExpertsLine, rotation.online.expert_ffn));
    }
    lines.front().online = rotation.online.residual.has_value();
    return lines;
}

std::string describe_rotation(const RotationSpec& spec, const model::ModelConfig& config) {
    std::string text;
    for (const RotationLine& line : rotation_lines(spec, config)) {
        const std::string_view name = line.name;
        if (line.kind == "none" || line.kind == "identity" || name == kExpertsLine) continue;
        text += text.empty() ? "" : ", ";
        text += name == "head_mix" ? "head mix" : name;
        if (name == "R1") text += fmt::format(" ({})", line.kind);
    }
    return text.empty() ? "none" : text;
}

}  // namespace quarot::apps

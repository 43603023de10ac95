// The places of a layer at which activations are looked at, and which of them a run looks at.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <variant>
#include <vector>

#include "kernels/formats.h"
#include "model/config.h"
#include "model/roles.h"
#include "recipe/recipe.h"

namespace quarot::stats {

// What linears read, and what the cache holds: K after RoPE, V.
enum class Point { AttentionIn, OutputIn, MlpIn, DownIn, Key, Value };

struct PointRule {
    Point point;
    std::string_view name;                 // "attn_in"
    std::string_view what;                 // for people
    std::optional<model::InputSite> site;  // none: of the cache
};

std::span<const PointRule> point_rules();
const PointRule& rule_of(Point point);

int64_t width_of(Point point, const model::ModelConfig& config);

// How the values at a point are quantized: as rows of this many columns, each a token's, or in the
// cache a head's.
struct PointFormat {
    int64_t cols = 0;  // a divisor of the point's width
    std::variant<kernels::ActivationFormat, kernels::KvFormat> format;

    int bits() const {
        return std::visit([](const auto& of_rows) { return of_rows.bits; }, format);
    }
};
PointFormat format_of(Point point, const Recipe& recipe, const model::ModelConfig& config);

struct Selection {
    std::vector<int64_t> layers;  // ascending, within the model
    std::vector<Point> points;    // each once

    bool wants(int64_t layer, Point point) const;
};

}  // namespace quarot::stats

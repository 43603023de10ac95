#include "stats/point.h"

#include <algorithm>

#include "core/error.h"
#include "core/setting.h"
#include "model/role_formats.h"

namespace quarot::stats {
namespace {

using model::InputSite;

constexpr std::array<PointRule, 6> kPoints = {{
    {Point::AttentionIn, "attn_in", "input of q, k and v", InputSite::Attention},
    {Point::OutputIn, "o_in", "input of o_proj", InputSite::Output},
    {Point::MlpIn, "mlp_in", "input of gate and up", InputSite::Mlp},
    {Point::DownIn, "down_in", "input of down_proj", InputSite::Down},
    {Point::Key, "k", "K after RoPE", std::nullopt},
    {Point::Value, "v", "V", std::nullopt},
}};

}  // namespace

std::span<const PointRule> point_rules() {
    return kPoints;
}

const PointRule& rule_of(Point point) {
    return kPoints[static_cast<size_t>(point)];
}

int64_t width_of(Point point, const model::ModelConfig& config) {
    const PointRule& rule = rule_of(point);
    if (!rule.site) return config.kv_dim();
    return in_features(model::rule_of(*rule.site).roles.front(), config);
}

PointFormat format_of(Point point, const Recipe& recipe, const model::ModelConfig& config) {
    const PointRule& rule = rule_of(point);
    if (!rule.site) {
        if (point == Point::Key && recipe.k.by_channel()) {
            fail(ErrorCode::Unsupported,
                 "the noise of keys by channel is not measured in this version; give {} token",
                 Setting{"k.axis"});
        }
        return {config.head_dim, point == Point::Key ? recipe.k : recipe.v};
    }
    return {width_of(point, config),
            activation_format(recipe, model::rule_of(*rule.site).roles.front())};
}

bool Selection::wants(int64_t layer, Point point) const {
    return std::binary_search(layers.begin(), layers.end(), layer) &&
           std::find(points.begin(), points.end(), point) != points.end();
}

}  // namespace quarot::stats

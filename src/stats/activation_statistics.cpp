#include "stats/activation_statistics.h"

#include <algorithm>
#include <map>
#include <utility>

#include "core/error.h"
#include "core/progress.h"
#include "folder/load_weights.h"
#include "model/role_formats.h"
#include "stats/rounding_noise.h"
#include "stats/window_walk.h"

namespace quarot::stats {
namespace {

using model::Basis;
using model::NormRole;

constexpr int64_t kRowsOfTask = rotate::kRotationRows;

// The basis of what stands at a point; K is turned by R3, which is none of them.
Basis basis_of(Point point, const model::ModelConfig& config) {
    const PointRule& rule = rule_of(point);
    if (!rule.site) return Basis::ValueHeads;
    return rule_of(model::rule_of(*rule.site).roles.front(), config).input;
}

NormRole norm_before(Point point, const model::ModelConfig& config) {
    const PointRule& rule = rule_of(point);
    if (!rule.site) return NormRole::None;
    return rule_of(model::rule_of(*rule.site).roles.front(), config).folded_norm;
}

void rotate_keys(const rotate::Rotation& rotation, std::span<double> values) {
    const auto& mixer = rotation.online.query_key;
    if (!mixer) return;
    const auto n = static_cast<size_t>(mixer->n);
    for (size_t first = 0; first < values.size(); first += n) {
        linalg::apply(*mixer, values.subspan(first, n));
    }
}

bool rotates(const RotationSpec& spec) {
    return rotation_parts(spec) != "none";
}

void refuse_changed_inputs(const Recipe& recipe) {
    if (!recipe.smoothing.enabled && !recipe.outliers.enabled()) return;
    fail(ErrorCode::Unsupported,
         "recipe {} changes what linears read by more than a rotation (smoothing, or columns kept "
         "apart), expected one that does not",
         recipe.name);
}

SettingChanges nothing_quantized() {
    return {{"activations.bits", int64_t{16}}, {"k.bits", int64_t{16}}, {"v.bits", int64_t{16}}};
}

// All points of a run, filled window by window.
class Measurement {
  public:
    Measurement(const folder::SourceModel& source, const ActivationOptions& options)
        : source_(source),
          recipe_(options.recipe),
          stages_(stages_of(source, options.rotation)),
          rotation_(options.rotation),
          pool_(options.n_threads),
          noise_(options.n_threads) {
        for (const int64_t layer : options.selection.layers) {
            for (const PointRule& rule : point_rules()) {
                if (options.selection.wants(layer, rule.point)) add_point(layer, rule.point);
            }
        }
    }

    void add(const Look& look) {
        Stands& stands = points_.at({look.layer, look.point});
        if (stands.before) add(look.point, look.read, *stands.before);
        if (!stands.after) return;
        if (rotation_ == nullptr) return add(look.point, look.read, *stands.after);
        const std::span<const float> from = folds_gain(look.point) ? look.ungained : look.read;
        std::vector<float> rotated(from.begin(), from.end());
        rotate_rows(look.point, *rotation_, source_.config(), rotated, pool_);
        add(look.point, rotated, *stands.after);
    }

    std::vector<PointReport> reports() const {
        std::vector<PointReport> reports;
        for (const auto& [place, stands] : points_) {
            const auto& [layer, point] = place;
            reports.push_back({.layer = layer,
                               .point = point,
                               .n_channels = width_of(point, source_.config()),
                               .bits = format_of(point, recipe_, source_.config()).bits(),
                               .gain_folded = stands.before && stands.after && folds_gain(point),
                               .before = summary_of(stands.before),
                               .after = summary_of(stands.after)});
        }
        return reports;
    }

  private:
    struct Stands {
        std::optional<Statistics> before, after;
    };

    void add_point(int64_t layer, Point point) {
        const int64_t width = width_of(point, source_.config());
        Stands& stands = points_[{layer, point}];
        if (stages_.before) stands.before.emplace(width);
        if (stages_.after) stands.after.emplace(width);
    }

    void add(Point point, std::span<const float> values, Statistics& to) {
        const model::ModelConfig& config = source_.config();
        const auto errors =
            noise_.of(values, width_of(point, config), format_of(point, recipe_, config));
        to.add(values, errors, pool_);
    }

    bool folds_gain(Point point) const {
        return folds(recipe_, source_.config(), norm_before(point, source_.config()));
    }

    static std::optional<Summary> summary_of(const std::optional<Statistics>& statistics) {
        if (!statistics) return std::nullopt;
        return statistics->summary();
    }

    const folder::SourceModel& source_;
    const Recipe& recipe_;
    const Stages stages_;
    const rotate::Rotation* const rotation_;
    ThreadPool pool_;
    RoundingNoise noise_;
    std::map<std::pair<int64_t, Point>, Stands> points_;
};

}  // namespace

std::optional<rotate::Rotation> rotation_of(const folder::SourceModel& source, const Recipe& recipe,
                                            std::vector<double> r1) {
    if (source.is_quantized()) return std::nullopt;
    if (recipe.rotation.looks_at_text()) {
        fail(ErrorCode::Unsupported,
             "recipe {} finds its rotation on a calibration text, expected one that needs none; "
             "quantize {} and look at what that gives",
             recipe.name, source.folder());
    }
    if (!rotates(recipe.rotation)) return std::nullopt;
    return rotate::make_rotation(recipe.rotation, source.config(), std::move(r1));
}

Stages stages_of(const folder::SourceModel& source, const rotate::Rotation* rotation) {
    if (!source.is_quantized()) return {.before = true, .after = rotation != nullptr};
    const bool rotated = rotates(source.recipe().rotation);
    return {.before = !rotated, .after = rotated};
}

void rotate_rows(Point point, const rotate::Rotation& rotation, const model::ModelConfig& config,
                 std::span<float> values, ThreadPool& pool) {
    const int64_t width = width_of(point, config), n_rows = std::ssize(values) / width;
    pool.parallel_for(ceil_div(n_rows, kRowsOfTask), [&](int64_t task, int) {
        const int64_t first = task * kRowsOfTask, count = std::min(kRowsOfTask, n_rows - first);
        const auto part =
            values.subspan(static_cast<size_t>(first * width), static_cast<size_t>(count * width));
        std::vector<double> rows(part.begin(), part.end());
        if (point == Point::Key) {
            rotate_keys(rotation, rows);
        } else {
            rotate::rotate_input(rotation, basis_of(point, config), config, {}, rows, count);
        }
        std::transform(rows.begin(), rows.end(), part.begin(),
                       [](double x) { return static_cast<float>(x); });
    });
}

std::vector<PointReport> measure_activations(const folder::SourceModel& source,
                                             const ActivationOptions& options,
                                             kernels::Backend& backend) {
    refuse_changed_inputs(options.recipe);
    if (source.config().has_mixtures()) {
        fail(ErrorCode::Unsupported,
             "{} has mixtures of experts, whose activations statistics do not look at in this "
             "version",
             source.folder());
    }
    if (options.selection.points.empty()) return {};
    Measurement measurement(source, options);
    const model::Weights weights =
        folder::load_weights(source, nothing_quantized(), options.window, backend);
    WindowWalk walk(weights, backend, options.selection);
    Progress progress("activations", std::ssize(options.ids));
    for (auto rest = options.ids; !rest.empty();) {
        const auto window = rest.first(std::min(rest.size(), static_cast<size_t>(options.window)));
        walk.run(window, [&](const Look& look) { measurement.add(look); });
        progress.advance(std::ssize(window));
        rest = rest.subspan(window.size());
    }
    return measurement.reports();
}

}  // namespace quarot::stats

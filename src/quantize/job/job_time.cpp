// Operations of every step of a job, over the speeds at which this machine does them.
#include "quantize/job/job_time.h"

#include <filesystem>
#include <system_error>

#include "core/check.h"
#include "core/thread_pool.h"
#include "kernels/backend.h"
#include "model/role_formats.h"
#include "quantize/job/machine_speeds.h"
#include "quantize/rounding/quantizer.h"

namespace quarot::quantize {
namespace {

using model::LinearId;
using model::LinearRole;

constexpr double kDiskBytesPerSecond = 4e8;
constexpr double kSyncSeconds = 0.04;  // of a layer's file, its folder and the journal

double as_double(int64_t value) {
    return static_cast<double>(value);
}

class WorkTime {
  public:
    WorkTime(const folder::SourceModel& source, const QuantizeOptions& options,
             const MachineSpeeds& speeds)
        : config_(source.config()), recipe_(options.recipe), speeds_(speeds) {
        const CalibrationSpec& spec = recipe_.calibration;
        const bool known = !options.calibration.empty();
        seqlen_ = as_double(known ? std::ssize(options.calibration.front()) : spec.seqlen);
        n_tokens_ = seqlen_ * as_double(known ? std::ssize(options.calibration) : spec.n_samples);
    }

    // Rotating and rounding, whatever the method.
    double weights_of(int64_t layer) const {
        double seconds = 0.0;
        for (const LinearId& id : linears_of(config_, layer)) {
            const double n = weights(id);
            const bool mixed = rule_of(id, config_).output != model::Basis::Plain;
            seconds += n * (mixed ? 2.0 : 1.0) / speeds_.rotated_weights;
            if (weight_bits(recipe_, id.role) < 16) seconds += n / speeds_.rounded_weights;
        }
        return seconds;
    }

    // All tokens through a layer, gate and up twice, and causal attention; each through as many
    // experts as it is routed to.
    double calibration_of(int64_t layer) const {
        double n = 0.0;
        for (const LinearId& id : linears_of(config_, layer)) {
            const bool twice = id.role == LinearRole::Gate || id.role == LinearRole::Up;
            n += weights(id) * (twice ? 2.0 : 1.0) * share_of(id.expert);
        }
        const double attention = 2.0 * n_tokens_ * seqlen_ * as_double(config_.q_dim());
        const double exact = refits_weights(recipe_) ? 2.0 * n_tokens_ * n + attention : 0.0;
        return 2.0 * n_tokens_ * n / speeds_.coded_linear_flops +
               (attention + exact) / speeds_.float_linear_flops;
    }

    // Of a rotation: all tokens through a layer of floats, and the second moment of what both norms
    // give.
    double finding_of(int64_t layer) const {
        double n = 0.0;
        for (const LinearId& id : linears_of(config_, layer)) {
            n += weights(id) * share_of(id.expert);
        }
        const double hidden = as_double(config_.hidden);
        const double attention = 2.0 * n_tokens_ * seqlen_ * as_double(config_.q_dim());
        return (2.0 * n_tokens_ * n + attention) / speeds_.float_linear_flops +
               2.0 * 2.0 * hidden * hidden * n_tokens_ / speeds_.gram_flops;
    }

    // n^2 tokens multiply-adds for the Hessian; 2/3 n^3 for its factor; n^2 for each row of the
    // weights in the solve, and 2 n^2 for each of the two errors that are weighted with it. A
    // refit has the other moment, which is not symmetric, a factor of its own, and 4 n^2 a row.
    double solving_of(int64_t layer) const {
        const bool refits = refits_weights(recipe_);
        double seconds = 0.0;
        for (const model::SiteRule& site : sites_of(config_, layer)) {
            const double n = as_double(in_features(site.first(layer), config_));
            const double n_tokens = n_tokens_ * share_of(site.expert);
            seconds += (refits ? 3.0 : 1.0) * 2.0 * n * n * n_tokens / speeds_.gram_flops;
            seconds += (refits ? 2.0 : 1.0) * 2.0 / 3.0 * n * n * n / speeds_.fp64_flops;
            for (const LinearRole role : site.roles) {
                const double rows = as_double(out_features(site.linear(role, layer), config_));
                seconds += (refits ? 5.0 : 1.0) * rows * n * n / speeds_.fp64_flops;
                seconds += 4.0 * rows * n * n / speeds_.float_linear_flops;
            }
        }
        return seconds;
    }

    double embedding_and_head(bool calibrated) const {
        const double n = as_double(config_.vocab * config_.hidden);
        return n * (calibrated ? 3.0 : 2.0) / speeds_.rotated_weights;
    }

  private:
    double weights(const LinearId& id) const {
        return as_double(in_features(id, config_) * out_features(id, config_));
    }

    // Of the tokens that pass an expert.
    double share_of(int64_t expert) const {
        const model::Mixture& mixture = config_.mixture;
        return expert < 0 ? 1.0 : as_double(mixture.top_k) / as_double(mixture.n_experts);
    }

    const model::ModelConfig& config_;
    const Recipe& recipe_;
    const MachineSpeeds& speeds_;
    double seqlen_ = 0.0;
    double n_tokens_ = 0.0;
};

double file_bytes(const folder::SourceModel& source) {
    double bytes = 0.0;
    for (const std::string& path : source.checkpoint().files()) {
        std::error_code error;
        const auto size = std::filesystem::file_size(path, error);
        if (!error) bytes += static_cast<double>(size);
    }
    return bytes;
}

}  // namespace

std::optional<double> estimate_seconds(const PreparedJob& job) {
    if (needs_calibration(job.options.recipe) && device_kind(job) != "cpu") return std::nullopt;
    const QuantizeOptions& options = job.options;
    const Recipe& recipe = options.recipe;
    const folder::SourceModel& source = job.source;
    ThreadPool pool(options.n_threads);
    const auto cpu =
        job.backend != nullptr
            ? job.backend
            : kernels::make_backend("cpu", {.n_threads = options.n_threads, .isa = ""});
    QUAROT_CHECK(job.rotation.has_value() && job.plan.has_value());
    const MachineSpeeds speeds = measure_speeds(recipe, *job.rotation, source.config(), *cpu, pool);
    const bool calibrated = needs_calibration(recipe);
    const WorkTime time(source, options, speeds);
    double layers = 0.0;
    for (int64_t layer = 0; layer < source.config().n_layers; ++layer) {
        if (recipe.rotation.looks_at_text()) layers += time.finding_of(layer);
        if (recipe.smoothing.enabled || calibrates_layers(recipe)) {
            layers += time.calibration_of(layer);
        }
        if (layer < job.needs.finished_layers) continue;
        layers += time.weights_of(layer) + kSyncSeconds;
        if (calibrates_layers(recipe)) layers += time.solving_of(layer);
    }
    const double written = as_double(job.plan->total_bytes);
    return layers + time.embedding_and_head(calibrated) +
           (file_bytes(source) + written) / speeds.hashed_bytes +
           2.0 * written / kDiskBytesPerSecond;
}

}  // namespace quarot::quantize

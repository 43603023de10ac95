// Goes through a model once, weight by weight: read, rotate, quantize, write.
#include "quantize/quantize_model.h"

#include <chrono>
#include <utility>

#include "core/error.h"
#include "core/process.h"
#include "core/progress.h"
#include "core/thread_pool.h"
#include "model/source_model.h"
#include "quantize/output_plan.h"
#include "quantize/provenance.h"
#include "quantize/quantizer.h"
#include "quantize/rotated_weight.h"
#include "quantize/shard_writer.h"
#include "quantize/weight_writer.h"

namespace quarot::quantize {
namespace {

using model::LinearId;
using model::LinearRole;
using model::NormRole;

class ModelQuantizer {
  public:
    ModelQuantizer(const model::SourceModel& source, const model::Recipe& recipe,
                   const rotate::Rotation& rotation, const OutputPlan& plan, ShardWriter& shards,
                   ThreadPool& pool)
        : source_(source),
          recipe_(recipe),
          rotation_(rotation),
          plan_(plan),
          writer_(plan, shards, pool),
          pool_(pool) {}

    void run() {
        const int64_t n_layers = source_.config().n_layers;
        constexpr int64_t kPerLayer = model::kLayerRoles.size();
        Progress progress("quantizing", n_layers * kPerLayer + (plan_.tied_embeddings ? 1 : 2));
        writer_.dense(RotatedWeight(embedding_source(source_), rotation_, source_.config(), pool_));
        progress.advance();
        for (int64_t layer = 0; layer < n_layers; ++layer) {
            write_norm(NormRole::Attention, layer);
            write_norm(NormRole::Mlp, layer);
            for (const LinearRole role : model::kLayerRoles) {
                write_linear({role, layer});
                progress.advance();
            }
        }
        write_norm(NormRole::Final, 0);
        if (!plan_.tied_embeddings) {
            write_linear({LinearRole::LmHead});
            progress.advance();
        }
    }

    const std::vector<QuantizedLayerReport>& layers() const { return layers_; }
    // Of the quantized linears; if there is none, of the decoder's.
    double bits_per_weight() const {
        if (quantized_weights_ == 0) return dense_bits_per_weight();
        return 8.0 * static_cast<double>(quantized_bytes_) /
               static_cast<double>(quantized_weights_);
    }

  private:
    void write_norm(NormRole role, int64_t layer) {
        std::vector<float> gain = source_.norm_gain(role, layer);
        if (recipe_.rotation.fold_norms) gain.assign(gain.size(), 1.0f);
        writer_.vector(source_.family().norm(role, layer), gain);
    }

    void write_linear(const LinearId& id) {
        throw_if_interrupted();
        const RotatedWeight weight(linear_source(source_, id, recipe_.rotation.fold_norms),
                                   rotation_, source_.config(), pool_);
        QuantizedLayerReport report;
        report.name = source_.linear_name(id);
        report.bits = weight_bits(recipe_, id.role);
        if (report.bits < 16) {
            write_quantized(weight, report);
        } else {
            report.method = "none";
            writer_.dense(weight);
        }
        layers_.push_back(std::move(report));
        if (has_bias(id.role, source_.config())) write_bias(id);
    }

    void write_quantized(const RotatedWeight& weight, QuantizedLayerReport& report) {
        model::WeightFormat format = recipe_.weights;
        format.bits = report.bits;
        const WrittenWeight written =
            writer_.quantized(report.name, weight, quantizer_named(format.method), format);
        report.group_size = format.group_size;
        report.method = format.method;
        report.relative_error = written.relative_error;
        quantized_bytes_ += written.bytes;
        quantized_weights_ += weight.rows() * weight.cols();
    }

    void write_bias(const LinearId& id) {
        const std::vector<float> stored = source_.bias(id);
        std::vector<double> bias(stored.begin(), stored.end());
        rotate::rotate_output(rotation_, rule_of(id.role).output, source_.config(), bias, 1);
        const std::vector<float> rounded(bias.begin(), bias.end());
        writer_.vector(source_.linear_name(id) + ".bias", rounded);
    }

    double dense_bits_per_weight() const {
        int64_t bytes = 0;
        int64_t weights = 0;
        for (const LinearRole role : model::kLayerRoles) {
            for (int64_t layer = 0; layer < source_.config().n_layers; ++layer) {
                const int64_t n =
                    out_features(role, source_.config()) * in_features(role, source_.config());
                const std::string name = source_.linear_name({role, layer}) + ".weight";
                weights += n;
                bytes += n * size_of(plan_.dtype_of.at(name));
            }
        }
        return 8.0 * static_cast<double>(bytes) / static_cast<double>(weights);
    }

    const model::SourceModel& source_;
    const model::Recipe& recipe_;
    const rotate::Rotation& rotation_;
    const OutputPlan& plan_;
    WeightWriter writer_;
    ThreadPool& pool_;
    std::vector<QuantizedLayerReport> layers_;
    int64_t quantized_bytes_ = 0;
    int64_t quantized_weights_ = 0;
};

void refuse_quantized(const model::SourceModel& source) {
    if (!source.is_quantized()) return;
    fail(ErrorCode::Unsupported,
         "{} is already the work of this program (recipe {}), expected an unquantized model folder",
         source.folder(), source.recipe().name);
}

}  // namespace

QuantizeReport quantize_model(const std::string& in, const std::string& out,
                              const QuantizeOptions& options) {
    const auto start = std::chrono::steady_clock::now();
    const model::Recipe& recipe = options.recipe;
    check_recipe(recipe);
    if (recipe.quantizes_weights()) quantizer_named(recipe.weights.method);
    const model::SourceModel source = model::SourceModel::open(in);
    refuse_quantized(source);
    const rotate::Rotation rotation = rotate::make_rotation(recipe.rotation, source.config());
    const OutputPlan plan = plan_output(source, rotation, recipe, options.shard_bytes);

    io::OutputFolder folder(out, options.overwrite, {in});
    ThreadPool pool(options.n_threads);
    ShardWriter shards(plan, folder);
    ModelQuantizer quantizer(source, recipe, rotation, plan, shards, pool);
    quantizer.run();
    shards.finish();

    copy_companions(source, folder);
    folder.write_text("config.json", output_config(source, recipe, plan).dump() + "\n");
    write_provenance({source, recipe, rotation, quantizer.layers(), shards.hashes()}, folder, pool);
    folder.commit();
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    return {quantizer.bits_per_weight(), elapsed.count(), quantizer.layers()};
}

}  // namespace quarot::quantize

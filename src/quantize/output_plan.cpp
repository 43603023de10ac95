#include "quantize/output_plan.h"

#include <utility>

#include "core/check.h"
#include "core/error.h"
#include "core/setting.h"
#include "folder/stored_linear.h"
#include "folder/stored_names.h"
#include "io/model_folder.h"
#include "model/role_formats.h"
#include "quantize/calibration/smoothing.h"

namespace quarot::quantize {
namespace {

using io::PlannedTensor;
using model::LinearId;
using model::LinearRole;
using model::NormRole;

using Unit = std::vector<PlannedTensor>;  // what must stand in one file

int64_t bytes_of(const PlannedTensor& tensor) {
    return element_count(tensor.shape) * size_of(tensor.dtype);
}

// Goes through the model in the order in which it is written.
class Planner {
  public:
    Planner(const folder::SourceModel& source, const rotate::Rotation& rotation,
            const Recipe& recipe)
        : source_(source),
          rotation_(rotation),
          recipe_(recipe),
          config_(source.config()),
          written_(folded_config(config_, recipe)) {
        written_.tied_embeddings = tied_embeddings();
    }

    bool tied_embeddings() const { return stays_tied(recipe_, config_); }
    const model::ModelConfig& written() const { return written_; }

    std::vector<Unit> units() {
        for (const LinearRole table : tables_of(config_)) add_linear({table});
        for (int64_t layer = 0; layer < config_.n_layers; ++layer) {
            for (const NormRole role : norms_of(config_, layer)) add_norm(role, layer);
            for (const LinearId& id : linears_of(config_, layer)) add_linear(id);
        }
        add_norm(NormRole::Final, 0);
        if (!tied_embeddings()) add_linear({LinearRole::LmHead});
        return std::move(units_);
    }

  private:
    DType storage(bool changed, DType stored) const {
        return changed ? recipe_.storage.value_or(stored) : stored;
    }

    void add_norm(NormRole role, int64_t layer) {
        units_.push_back({{folder::norm_name(role, layer, config_),
                           storage(is_smoothed(recipe_, role), source_.norm_dtype(role, layer)),
                           {width_of(role, config_)}}});
        if (!model::has_bias(role, written_)) return;
        units_.back().push_back(
            {folder::norm_bias_name(role, layer, config_),
             storage(is_smoothed(recipe_, role), source_.norm_dtype(role, layer)),
             {width_of(role, config_)}});
    }

    void add_linear(const LinearId& id) {
        const std::string name = folder::linear_name(id);
        const bool quantized = weight_bits(recipe_, id.role) < 16;
        Unit unit =
            quantized ? folder::stored_tensors(name, id, config_, recipe_) : dense_weight(id, name);
        if (has_bias(id.role, written_)) {
            const bool scaled = rotation_.balances_up && id.role == LinearRole::Up;
            const bool changed = rotate::changes(rotation_, rule_of(id, config_).output) ||
                                 scaled || folds_means(recipe_, config_);
            const DType stored =
                has_bias(id.role, config_) ? source_.bias_dtype(id) : source_.dense_dtype(id);
            unit.push_back({name + ".bias", storage(changed, stored), {out_features(id, config_)}});
        }
        units_.push_back(std::move(unit));
    }

    // Signs alone, as in a tied matrix, suit every dtype.
    bool is_rotated(const LinearId& id) const {
        const model::RoleRule rule = rule_of(id, config_);
        if (id.role == LinearRole::Embedding && rotates_embedding_online(recipe_, config_)) {
            return false;
        }
        const bool scaled =
            rotation_.balances_up && (id.role == LinearRole::Up || id.role == LinearRole::Down);
        return scaled || rotate::changes(rotation_, rule.input) ||
               rotate::changes(rotation_, rule.output);
    }

    Unit dense_weight(const LinearId& id, const std::string& name) const {
        const NormRole norm = rule_of(id, config_).folded_norm;
        const bool centred = folds_means(recipe_, config_) && model::writes_residual(id.role);
        const bool changed = is_rotated(id) || centred || folds(recipe_, config_, norm) ||
                             is_smoothed(recipe_, norm);
        return {{name + ".weight",
                 storage(changed, source_.dense_dtype(id)),
                 {out_features(id, config_), in_features(id, config_)}}};
    }

    const folder::SourceModel& source_;
    const rotate::Rotation& rotation_;
    const Recipe& recipe_;
    const model::ModelConfig& config_;
    model::ModelConfig written_;
    std::vector<Unit> units_;
};

std::vector<ShardPlan> pack(std::vector<Unit> units, int64_t shard_bytes) {
    std::vector<ShardPlan> shards;
    int64_t used = 0;
    for (Unit& unit : units) {
        int64_t bytes = 0;
        for (const PlannedTensor& tensor : unit) bytes += bytes_of(tensor);
        if (shards.empty() || bytes > shard_bytes - used) {
            shards.emplace_back();
            used = 0;
        }
        used += bytes;
        auto& tensors = shards.back().tensors;
        tensors.insert(tensors.end(), std::make_move_iterator(unit.begin()),
                       std::make_move_iterator(unit.end()));
    }
    return shards;
}

void name_shards(std::vector<ShardPlan>& shards) {
    if (shards.size() == 1) {
        shards.front().file = io::kWeightsName;
        return;
    }
    for (size_t i = 0; i < shards.size(); ++i) {
        shards[i].file = fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
    }
}

}  // namespace

OutputPlan plan_output(const folder::SourceModel& source, const rotate::Rotation& rotation,
                       const Recipe& recipe, int64_t shard_bytes) {
    if (shard_bytes < 1) {
        fail(ErrorCode::Usage, "{} is {} bytes, expected at least 1", Setting{"shard_bytes"},
             shard_bytes);
    }
    Planner planner(source, rotation, recipe);
    OutputPlan plan;
    plan.tied_embeddings = planner.tied_embeddings();
    plan.config = planner.written();
    plan.shards = pack(planner.units(), shard_bytes);
    name_shards(plan.shards);
    for (size_t shard = 0; shard < plan.shards.size(); ++shard) {
        for (const PlannedTensor& tensor : plan.shards[shard].tensors) {
            const bool is_new = plan.shard_of.emplace(tensor.name, shard).second;
            QUAROT_CHECK(is_new, "tensor {} is planned twice", tensor.name);
            plan.dtype_of.emplace(tensor.name, tensor.dtype);
            plan.total_bytes += bytes_of(tensor);
        }
    }
    return plan;
}

}  // namespace quarot::quantize

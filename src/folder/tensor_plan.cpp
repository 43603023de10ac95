#include "folder/tensor_plan.h"

#include <algorithm>

#include "core/error.h"
#include "core/log.h"
#include "folder/stored_linear.h"
#include "folder/stored_names.h"
#include "io/text.h"

namespace quarot::folder {

namespace {

const std::vector<DType> kFloats = {DType::F32, DType::F16, DType::BF16};
constexpr std::string_view kHiddenKey = "hidden_size";
constexpr std::string_view kQueryKey = "num_attention_heads x head_dim";
constexpr std::string_view kHeadKey = "head_dim";
constexpr std::string_view kKvKey = "num_key_value_heads x head_dim";

std::string_view ffn_key(const model::LinearId& id) {
    return id.expert < 0 ? "intermediate_size" : "the width of experts";
}

std::string_view out_key(const model::LinearId& id) {
    switch (id.role) {
        case model::LinearRole::Q:
            return kQueryKey;
        case model::LinearRole::K:
        case model::LinearRole::V:
            return kKvKey;
        case model::LinearRole::Gate:
        case model::LinearRole::Up:
            return ffn_key(id);
        case model::LinearRole::Router:
            return "the number of experts";
        case model::LinearRole::LmHead:
        case model::LinearRole::Embedding:
            return "vocab_size";
        case model::LinearRole::Positions:
            return "max_position_embeddings";
        case model::LinearRole::O:
        case model::LinearRole::Down:
            break;
    }
    return kHiddenKey;
}

std::string_view in_key(const model::LinearId& id) {
    if (id.role == model::LinearRole::O) return kQueryKey;
    return id.role == model::LinearRole::Down ? ffn_key(id) : kHiddenKey;
}

class Planner {
  public:
    Planner(const Family& family, const model::ModelConfig& config, const Recipe& recipe)
        : family_(family), config_(config), recipe_(recipe) {}

    TensorPlan plan() {
        for (const model::LinearRole table : tables_of(config_)) add_linear({table});
        for (int64_t layer = 0; layer < config_.n_layers; ++layer) {
            for (const model::NormRole role : norms_of(config_, layer)) add_norm(role, layer);
            for (const model::LinearId& id : linears_of(config_, layer)) add_linear(id);
        }
        add_norm(model::NormRole::Final, 0);
        if (!config_.tied_embeddings) add_linear({model::LinearRole::LmHead});
        return std::move(plan_);
    }

  private:
    // Roles of a fused tensor add up to its rows.
    void add(const std::string& name, Shape shape, const std::vector<DType>& dtypes,
             std::array<std::string_view, 2> keys) {
        const auto [there, is_new] = plan_.try_emplace(name, ExpectedTensor{shape, dtypes, keys});
        if (!is_new) there->second.shape[0] = std::max(there->second.shape[0], shape[0]);
    }

    void add_norm(model::NormRole role, int64_t layer) {
        const std::string stem = recipe_.name == "none" ? family_.norm(role, layer, config_)
                                                        : norm_stem(role, layer, config_);
        const Shape shape = {width_of(role, config_)};
        add(stem + ".weight", shape, kFloats, {width_key(role), {}});
        if (has_bias(role, config_)) add(stem + ".bias", shape, kFloats, {width_key(role), {}});
    }

    std::string_view width_key(model::NormRole role) const {
        const bool is_query = role == model::NormRole::Query;
        if (!is_query && role != model::NormRole::Key) return kHiddenKey;
        if (config_.qk_norm == model::QkNormSpan::Head) return kHeadKey;
        return is_query ? kQueryKey : kKvKey;
    }

    void add_linear(const model::LinearId& id) {
        const std::array<std::string_view, 2> keys = {out_key(id), in_key(id)};
        const int64_t n_rows = out_features(id, config_);
        // Our own folders have one tensor a linear, those of other programs may fuse several.
        const TensorSlice slice =
            recipe_.name == "none" ? family_.linear(id, config_) : whole_tensor(id, config_);
        const int64_t rows = slice.row(n_rows - 1) + 1;
        if (weight_bits(recipe_, id.role) < 16) {
            for (const auto& tensor : stored_tensors(slice.name, id, config_, recipe_)) {
                add(tensor.name, tensor.shape, {tensor.dtype}, keys_of(tensor, keys));
            }
        } else {
            add(slice.name + ".weight", {rows, in_features(id, config_)}, kFloats, keys);
        }
        if (has_bias(id.role, config_)) {
            add(slice.name + ".bias", {rows}, kFloats, {keys[0], {}});
        }
    }

    // A shape and an order of columns have one dimension, which is not the outputs.
    static std::array<std::string_view, 2> keys_of(const io::PlannedTensor& tensor,
                                                   std::array<std::string_view, 2> keys) {
        if (tensor.shape.size() == 2) return keys;
        return {tensor.dtype == DType::I64 ? std::string_view() : keys[1], {}};
    }

    const Family& family_;
    const model::ModelConfig& config_;
    const Recipe& recipe_;
    TensorPlan plan_;
};

std::string text_of(const Shape& shape) {
    return io::Json(io::Json::Array(shape.begin(), shape.end())).dump(-1);
}

// " from config.json intermediate_size; ...", naming the dimension that differs, or both.
std::string shape_source(const ExpectedTensor& expected, const Shape& found) {
    std::string keys;
    for (size_t i = 0; i < expected.shape.size() && i < expected.shape_keys.size(); ++i) {
        const bool differs = found.size() != expected.shape.size() || found[i] != expected.shape[i];
        if (!differs || expected.shape_keys[i].empty()) continue;
        keys += fmt::format("{}{}", keys.empty() ? "" : " and ", expected.shape_keys[i]);
    }
    if (keys.empty()) return "";
    return fmt::format(" from config.json {}; is this the right config?", keys);
}

std::string names_of(const std::vector<DType>& dtypes) {
    std::string list;
    for (size_t i = 0; i < dtypes.size(); ++i) {
        const bool last = i + 1 == dtypes.size();
        list += fmt::format("{}{}", i == 0 ? "" : last ? " or " : ", ", name_of(dtypes[i]));
    }
    return list;
}

void check_tensor(const std::string& name, const ExpectedTensor& expected,
                  const io::Checkpoint& checkpoint) {
    const io::TensorInfo& info = checkpoint.info(name);
    if (info.shape != expected.shape) {
        fail(ErrorCode::Corrupt, "{}: tensor {} is {}, expected {}{}", checkpoint.file_of(name),
             name, text_of(info.shape), text_of(expected.shape),
             shape_source(expected, info.shape));
    }
    const auto& dtypes = expected.dtypes;
    if (std::find(dtypes.begin(), dtypes.end(), info.dtype) == dtypes.end()) {
        fail(ErrorCode::Corrupt, "{}: tensor {} has dtype {}, expected {}",
             checkpoint.file_of(name), name, name_of(info.dtype), names_of(dtypes));
    }
}

bool is_harmless(const std::string& name) {
    // Derived values and masks that old programs stored, and the second copy of a tied head.
    return name.ends_with("rotary_emb.inv_freq") || name.ends_with(".attention.bias") ||
           name.ends_with(".attention.masked_bias") || name == "lm_head.weight";
}

void refuse_unplanned_bias(const std::string& name, const TensorPlan& plan,
                           const io::Checkpoint& checkpoint) {
    constexpr std::string_view kSuffix = ".bias";
    if (!name.ends_with(kSuffix)) return;
    const std::string stem = name.substr(0, name.size() - kSuffix.size());
    if (!plan.contains(stem + ".weight") && !plan.contains(stem + ".weight_packed")) return;
    fail(ErrorCode::Corrupt,
         "{}: tensor {} is there, expected none, since config.json gives this linear no bias "
         "(attention_bias, mlp_bias)",
         checkpoint.file_of(name), name);
}

}  // namespace

TensorPlan plan_tensors(const Family& family, const model::ModelConfig& config,
                        const Recipe& recipe) {
    return Planner(family, config, recipe).plan();
}

void check_tensors(const TensorPlan& plan, const io::Checkpoint& checkpoint) {
    for (const auto& [name, expected] : plan) check_tensor(name, expected, checkpoint);
    int64_t n_unused = 0;
    std::string first_unused;
    for (const std::string& name : checkpoint.names()) {
        if (plan.contains(name)) continue;
        refuse_unplanned_bias(name, plan, checkpoint);
        if (is_harmless(name)) continue;
        if (n_unused++ == 0) first_unused = io::printable(name);
    }
    if (n_unused == 0) return;
    log_warning("{} holds {} tensors that the model does not use, the first of them {}",
                checkpoint.folder(), n_unused, first_unused);
}

std::vector<std::string> tensor_problems(const TensorPlan& plan, const io::Checkpoint& checkpoint) {
    std::vector<std::string> problems;
    const auto collect = [&](const auto& check) {
        try {
            check();
        } catch (const Error& error) {
            problems.emplace_back(error.what());
        }
    };
    for (const auto& [name, expected] : plan) {
        collect([&] { check_tensor(name, expected, checkpoint); });
    }
    for (const std::string& name : checkpoint.names()) {
        if (plan.contains(name)) continue;
        collect([&] { refuse_unplanned_bias(name, plan, checkpoint); });
    }
    return problems;
}

}  // namespace quarot::folder

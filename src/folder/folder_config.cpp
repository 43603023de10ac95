#include "folder/folder_config.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "core/error.h"
#include "core/log.h"
#include "core/setting.h"
#include "folder/families/config_fields.h"
#include "folder/families/rope_fields.h"
#include "folder/recipe_json.h"
#include "io/text.h"
#include "model/head_rows.h"
#include "model/role_formats.h"
#include "model/shard.h"

namespace quarot::folder {

namespace {

Recipe recipe_of(const io::Json& config) {
    if (const io::Json* foreign = config.find("compression_config")) {
        fail(ErrorCode::Unsupported,
             "{} marks a model compressed by another program, and this version reads unquantized "
             "models and its own",
             foreign->place());
    }
    const io::Json* quantization = config.find("quantization_config");
    if (quantization == nullptr) return full_precision_recipe();
    const io::Json* named = quantization->find("quant_method");
    if (named == nullptr) {
        fail(ErrorCode::Unsupported,
             "{} names no quant_method, so another program made it, and this version reads "
             "unquantized models and its own",
             quantization->place());
    }
    const io::Json& method = *named;
    if (method.as_string() == "quarot") return recipe_from_json(*quantization);
    fail(ErrorCode::Unsupported,
         "{} is \"{}\", and this version reads unquantized models and its own (\"quarot\")",
         method.place(), io::printable(method.as_string()));
}

void check_block(std::string_view key, int64_t block, int64_t width, const std::string& place) {
    if (block == 0 || width % block == 0) return;
    fail(ErrorCode::Corrupt, "{} has a {} of {}, expected a divisor of {}", place, key, block,
         width);
}

void check_group(std::string_view section, int64_t group, const model::ModelConfig& config,
                 const std::string& place) {
    if (group == 0) return;
    for (const model::LinearId& id : linears_of(config)) {
        const int64_t n = in_features(id, config);
        if (n % group == 0) continue;
        fail(ErrorCode::Corrupt,
             "{} has {}.group_size {}, expected 0 or a divisor of the {} inputs of {}; is this the "
             "right config?",
             place, section, group, n, name_of(id.role));
    }
}

// One matrix can have one width, and nothing in it that only the head may have.
void check_tied(const Recipe& recipe, const model::ModelConfig& config, const std::string& place) {
    if (!config.tied_embeddings || stays_tied(recipe, config)) return;
    if (recipe.head_bits != recipe.embedding_bits) {
        fail(ErrorCode::Corrupt,
             "{} has an lm_head of {} bits and an embedding of {}, expected one width, since "
             "tie_word_embeddings is true",
             place, recipe.head_bits, recipe.embedding_bits);
    }
    fail(ErrorCode::Corrupt,
         "{} folds the last norm and the residual rotation into lm_head, expected tied_rotation "
         "true and a rotation that is Hadamard, since tie_word_embeddings is true",
         place);
}

// What the recipe of a folder has made of the original's config, which the folder keeps.
model::ModelConfig as_made(model::ModelConfig original, const Recipe& recipe) {
    return recipe.name == "none" ? original : folded_config(std::move(original), recipe);
}

// Weights of all layers go to a backend in one order of rows.
model::ModelConfig read_model(const Family& family, const io::Json& config) {
    model::ModelConfig model = family.read_config(config);
    for (const model::RopeConfig& rope : model.ropes) {
        const auto order = head_row_order(rope, model.head_dim);
        if (order == head_row_order(model.ropes.front(), model.head_dim)) continue;
        fail(ErrorCode::Unsupported,
             "{} turns other parts of heads in some layers than in others, and this version turns "
             "the same in all",
             config.place());
    }
    return model;
}

}  // namespace

FolderConfig read_folder_config(const io::Json& config) {
    const Family& family = family_of(config);
    FolderConfig read{
        .family = &family, .model = read_model(family, config), .recipe = recipe_of(config)};
    read.model = as_made(std::move(read.model), read.recipe);
    // Where keys have no bias it says nothing, so folders of version 1 have their recipe's name.
    if (!has_bias(model::LinearRole::K, read.model)) read.recipe.k_bias = Recipe{}.k_bias;
    return read;
}

void override_rope(const io::Json& config, const io::Json& scaling, FolderConfig& read) {
    const std::vector<model::RopeConfig> before = read.model.ropes;
    if (before.empty()) {
        throw Error(ErrorCode::Usage,
                    config.place() + " is of a model without RoPE, which no scaling stretches",
                    "rope_scaling");
    }
    try {
        read.model =
            as_made(read_model(*read.family, with_rope_scaling(config, scaling)), read.recipe);
    } catch (const Error& error) {
        throw Error(ErrorCode::Usage, error.what(), "rope_scaling");
    }
    const bool has_own = std::any_of(before.begin(), before.end(), [](const auto& rope) {
        return rope.type != model::RopeType::Default;
    });
    if (!has_own || read.model.ropes == before) return;
    log_warning("{} scales RoPE otherwise than {}, which counts", config.place(),
                Setting{"rope_scaling"});
}

void add_end_tokens(const io::Json& generation, model::ModelConfig& config) {
    for (const int32_t token : read_eos(generation)) {
        if (std::find(config.eos.begin(), config.eos.end(), token) == config.eos.end()) {
            config.eos.push_back(token);
        }
    }
}

void check_recipe_fits(const Recipe& recipe, const model::ModelConfig& config,
                       const io::Json& json) {
    if (recipe.name == "none") return;
    const std::string& place = json.at("quantization_config").place();
    check_block("residual_block", recipe.rotation.residual_block, config.hidden, place);
    check_block("heads_block", recipe.rotation.heads_block, config.n_heads, place);
    if (config.has_dense_mlp()) {
        check_block("ffn_block", recipe.rotation.ffn_block, config.ffn, place);
    }
    if (config.has_mixtures()) {
        check_block("ffn_block", recipe.rotation.ffn_block, config.mixture.ffn, place);
        if (recipe.outliers.enabled()) {
            fail(ErrorCode::Corrupt,
                 "{} keeps columns apart, expected none, since the model has mixtures of experts",
                 place);
        }
    }
    if (!column_blocks_fit(recipe, config)) {
        fail(ErrorCode::Corrupt,
             "{} has tp_max {}, expected 1, or a power of two that divides heads, KV heads and "
             "FFN into blocks of the sizes that its rotation has",
             place, recipe.tp_max);
    }
    for (const model::LinearId& id : linears_of(config)) {
        const int64_t n = in_features(id, config);
        if (n_outliers(recipe, id.role, config) < n) continue;
        fail(ErrorCode::Corrupt,
             "{} keeps all {} inputs of {} apart as outliers, expected fewer; is this the right "
             "config?",
             place, n, name_of(id.role));
    }
    check_group("weights", recipe.weights.group_size, config, place);
    check_group("activations", recipe.activations.group_size, config, place);
    if (const int64_t size = recipe.head_group_size; size != 0 && config.hidden % size != 0) {
        fail(ErrorCode::Corrupt, "{} has head_group_size {}, expected 0 or a divisor of the {} {}",
             place, size, config.hidden, "columns of the embedding; is this the right config?");
    }
    check_tied(recipe, config, place);
    check_clip_search(recipe, config);
}

}  // namespace quarot::folder

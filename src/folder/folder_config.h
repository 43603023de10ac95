// What do config.json and generation_config.json of a folder say, weights apart?
#pragma once

#include "folder/families/family.h"
#include "io/json.h"
#include "model/config.h"
#include "recipe/recipe.h"

namespace quarot::folder {

struct FolderConfig {
    const Family* family = nullptr;
    model::ModelConfig model;
    Recipe recipe;  // full_precision_recipe() without quantization_config
};

// Error{Corrupt} for values out of range, Error{Unsupported} for models and features we lack,
// other programs' quantization among them.
FolderConfig read_folder_config(const io::Json& config);

// Lets the model turn as `scaling` says, an object like rope_scaling of `config`, with a warning
// where the config asks for another. Error{Usage} for one that it cannot have.
void override_rope(const io::Json& config, const io::Json& scaling, FolderConfig& read);

// Chat models keep their further end tokens in generation_config.json.
void add_end_tokens(const io::Json& generation, model::ModelConfig& config);

// What of the recipe must fit the model it stands in; Error{Corrupt} naming the place in `config`.
void check_recipe_fits(const Recipe& recipe, const model::ModelConfig& model,
                       const io::Json& config);

}  // namespace quarot::folder

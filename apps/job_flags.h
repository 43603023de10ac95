// The flags that say all of a quantize job but its two folders; quantize and plan share them.
#pragma once

#include <string>

#include "apps/args.h"
#include "apps/recipe_flags.h"
#include "folder/source_model.h"
#include "quantize/calibration/calibration_windows.h"
#include "quantize/options.h"
#include "tokenizer/tokenizer.h"

namespace quarot::apps {

class JobFlags {
  public:
    void declare(Args& args);
    // The recipe, its calibration windows cut from the text, and where unfinished work lies.
    // Error{Usage} if the recipe's method needs a text and none was named.
    quantize::QuantizeOptions resolve(const folder::SourceModel& source) const;
    // The same before any text is read.
    quantize::QuantizeOptions settings(const folder::SourceModel& source) const;

  private:
    quantize::TokenWindows windows(const std::string& model_folder, const Recipe& recipe) const;

    RecipeFlags recipe_;
    quantize::QuantizeOptions options_;
    std::string calib_;
    int64_t tp_max_ = 1;
    std::string text_format_ = "raw";
    tokenizer::AddBos bos_ = tokenizer::AddBos::Auto;
};

}  // namespace quarot::apps

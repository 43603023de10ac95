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
    // The recipe, with an R1 from a file that is read here, and where unfinished work lies; no text
    // is read yet.
    quantize::QuantizeOptions settings(const folder::SourceModel& source) const;
    // Adds the calibration windows, cut from the text. Error{Usage} if the recipe's method needs a
    // text and none was named.
    void read_text(const folder::SourceModel& source, quantize::QuantizeOptions& options) const;

  private:
    // Q of the file that was named; the recipe takes it for R1.
    std::vector<double> read_r1(const model::ModelConfig& config, Recipe& recipe) const;
    quantize::TokenWindows windows(const std::string& model_folder, const Recipe& recipe) const;

    RecipeFlags recipe_;
    quantize::QuantizeOptions options_;
    std::string calib_, r1_;
    int64_t tp_max_ = 1;
    std::string text_format_ = "raw";
    tokenizer::AddBos bos_ = tokenizer::AddBos::Auto;
};

}  // namespace quarot::apps

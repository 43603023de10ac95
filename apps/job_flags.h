// The flags that say all of a quantize job but its two folders; quantize and plan share them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "apps/args.h"
#include "apps/recipe_flags.h"
#include "folder/source_model.h"
#include "quantize/options.h"
#include "search/held_out.h"
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

    // The same of a text whose end is held out, so that no calibration window sees it. Error{Usage}
    // also where it is too short for both, or none was named: `what_for` begins that message.
    search::HeldOutText read_text_apart(const folder::SourceModel& source,
                                        quantize::QuantizeOptions& options,
                                        std::string_view what_for) const;

  private:
    // Q of the file that was named; the recipe takes it for R1.
    std::vector<double> read_r1(const model::ModelConfig& config, Recipe& recipe) const;
    std::vector<int32_t> text_ids(const std::string& model_folder) const;

    RecipeFlags recipe_;
    quantize::QuantizeOptions options_;
    std::string calib_, r1_;
    int64_t tp_max_ = 1;
    std::string text_format_ = "raw";
    tokenizer::AddBos bos_ = tokenizer::AddBos::Auto;
};

}  // namespace quarot::apps

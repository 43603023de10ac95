// Perplexities of recipes on the texts of the reference values.
#pragma once

#include <string>
#include <vector>

#include "eval/evaluation_text.h"
#include "eval/perplexity.h"
#include "golden/golden_support.h"
#include "quantize/calibration/calibration_windows.h"
#include "quantize/quantize_model.h"
#include "support/temp_dir.h"
#include "tokenizer/tokenizer.h"

namespace quarot::test {

// Path of the text behind a model's reference perplexities, or "".
inline std::string evaluation_text(const std::string& model) {
    return model == "smollm2-135m" ? shared_data("eval/wikitext-2-raw/wiki.test.raw")
                                   : shared_data("text/hound.txt");
}

// The text that reference runs calibrated on, or "".
inline std::string calibration_text() {
    return shared_data("eval/wikitext-2-raw/wiki.train.first-1MB.nonblank.txt");
}

// Options for a job; with windows of the calibration text if the recipe needs them.
inline quantize::QuantizeOptions job_of(const std::string& model, const Recipe& recipe) {
    quantize::QuantizeOptions options{.recipe = recipe, .n_threads = 2};
    if (quantize::needs_calibration(recipe)) {
        const auto text = eval::read_evaluation_text(calibration_text(), "raw");
        const auto ids = tokenizer::Tokenizer::load(model_folder(model)).encode(text);
        options.calibration =
            quantize::calibration_windows(ids, recipe.calibration, recipe.rotation.seed);
    }
    return options;
}

// Quantizes `model` by `recipe` and measures it.
inline double perplexity_of(const std::string& model, const Recipe& recipe, int64_t seqlen,
                            int64_t windows, const std::string& device = "cpu") {
    const TempDir dir;
    const std::string out = dir / "out", in = model_folder(model);
    quantize::quantize_model(in, out, job_of(model, recipe));
    LoadedModel loaded = load(out, {.device = device, .context = seqlen});
    const auto text = eval::read_evaluation_text(evaluation_text(model), "raw");
    const auto ids = tokenizer::Tokenizer::load(in).encode(text);
    return eval::perplexity(*loaded.engine, nullptr, ids,
                            {.seqlen = seqlen, .max_windows = windows})
        .perplexity;
}

}  // namespace quarot::test

// What do the flags of quantize and plan say of the job: its recipe, texts and places?
#include "apps/job_flags.h"

#include <algorithm>
#include <utility>

#include "apps/arg_values.h"
#include "apps/common_flags.h"
#include "core/error.h"
#include "core/log.h"
#include "eval/evaluation_text.h"
#include "model/shard.h"
#include "quantize/calibration/calibration_windows.h"
#include "quantize/residual_matrix.h"

namespace quarot::apps {

namespace {

constexpr int64_t kWindowsApart = 4;  // of a text, that calibrating does not see

// The reference backend serves tests of others; a job of days is no test.
std::string as_job_device(const Given& given) {
    if (given.value != "reference") return given.value;
    fail(ErrorCode::Usage, "{} is reference, expected auto, cpu, cuda or cuda:N", given.source);
}

}  // namespace

void JobFlags::declare(Args& args) {
    recipe_.declare(args);
    args.add({"--calib", "FILE",
              "the text that gptq, smoothing and outliers look at; - is standard input",
              [this](const Given& g) { calib_ = g.value; }, Shown::First});
    args.add({"--text-format", "FORMAT",
              "of --calib: raw, or wikitext-rows (blank line after each row) [raw]",
              [this](const Given& g) { text_format_ = g.value; }})
        .choices = {"raw", "wikitext-rows"};
    add_bos_flag(args, bos_);
    args.add({"--r1", "FILE",
              "an orthogonal R1 from a safetensors file, such as SpinQuant's: h' = h R1",
              [this](const Given& g) { r1_ = g.value; }});
    args.add({"--work-dir", "FOLDER", "where finished layers wait [OUT.work]",
              [this](const Given& g) { options_.work_folder = g.value; }});
    args.add({"--resume", "", "go on with the unfinished work that lies there",
              [this](const Given& g) { options_.resume = as_switch(g); }, Shown::First});
    args.add({"--overwrite", "", "replace OUT if it exists",
              [this](const Given& g) { options_.overwrite = as_switch(g); }, Shown::First});
    args.add({"--shard-size", "SIZE", "largest file, such as 500M or 5G [5G]",
              [this](const Given& g) { options_.shard_bytes = as_byte_count(g); }});
    args.add({"--tp-max", "N", "the same results on 1, 2, 4 ... N ranks: rotations in N blocks [1]",
              [this](const Given& g) { tp_max_ = as_integer(g, 1, 1024); }});
    add_threads_flag(args, options_.n_threads);
    options_.device = "auto";
    args.add({"--device", "NAME",
              "auto, cpu or cuda[:N]: where the text runs and gptq solves [auto]",
              [this](const Given& g) { options_.device = as_job_device(g); }})
        .likely = {"auto", "cpu", "cuda"};
}

quantize::QuantizeOptions JobFlags::settings(const folder::SourceModel& source) const {
    quantize::QuantizeOptions options = options_;
    options.recipe = recipe_.resolve(!calib_.empty());
    const bool lacks_seqlen = quantize::needs_calibration(options.recipe) && !recipe_.has_seqlen();
    const model::ModelConfig& config = source.config();
    int64_t& seqlen = options.recipe.calibration.seqlen;
    if (lacks_seqlen) seqlen = std::min(seqlen, config.max_positions);
    options.recipe = with_column_blocks(options.recipe, config, tp_max_);
    if (!r1_.empty()) options.residual = read_r1(config, options.recipe);
    return options;
}

std::vector<double> JobFlags::read_r1(const model::ModelConfig& config, Recipe& recipe) const {
    ThreadPool pool(options_.n_threads);
    quantize::ResidualMatrix matrix = quantize::read_residual_matrix(r1_, config.hidden, pool);
    quantize::use_as_residual(matrix, recipe);
    log_info("R1 is from {}, which is {:.1e} from orthogonal", r1_, matrix.orthogonality_error);
    return std::move(matrix.q);
}

void JobFlags::read_text(const folder::SourceModel& source,
                         quantize::QuantizeOptions& options) const {
    const bool calibrated = quantize::needs_calibration(options.recipe);
    if (calibrated && calib_.empty()) quantize::fail_without_text(options.recipe);
    if (calibrated) {
        options.calibration = quantize::calibration_windows(
            text_ids(source.folder()), options.recipe.calibration, options.recipe.rotation.seed);
    } else if (!calib_.empty()) {
        log_info("--calib {} is not used: nothing in this recipe calibrates", calib_);
    }
}

search::HeldOutText JobFlags::read_text_apart(const folder::SourceModel& source,
                                              quantize::QuantizeOptions& options,
                                              std::string_view what_for) const {
    if (calib_.empty()) {
        fail(ErrorCode::Usage, "{} by what they change on a text: give one with --calib", what_for);
    }
    const Recipe& recipe = options.recipe;
    search::HeldOutText text;
    text.seqlen = std::min(recipe.calibration.seqlen, source.config().max_positions);
    std::vector<int32_t> ids = text_ids(source.folder());
    const int64_t n_apart = kWindowsApart * text.seqlen;
    if (std::ssize(ids) < 2 * n_apart) {
        fail(ErrorCode::Usage,
             "{} has {} tokens, expected at least {}: its last {} windows of {} are held out, and "
             "calibrating needs others; give a longer text or a smaller --seqlen",
             calib_, ids.size(), 2 * n_apart, kWindowsApart, text.seqlen);
    }
    text.ids.assign(ids.end() - n_apart, ids.end());
    ids.resize(ids.size() - static_cast<size_t>(n_apart));
    if (quantize::needs_calibration(recipe)) {
        options.calibration =
            quantize::calibration_windows(ids, recipe.calibration, recipe.rotation.seed);
    }
    return text;
}

std::vector<int32_t> JobFlags::text_ids(const std::string& model_folder) const {
    const std::string text = eval::read_evaluation_text(calib_, text_format_);
    return tokenizer::Tokenizer::load(model_folder).encode(text, bos_);
}

}  // namespace quarot::apps

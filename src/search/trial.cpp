#include "search/trial.h"

#include <utility>

#include "kernels/backend.h"
#include "quantize/quantize_model.h"

namespace quarot::search {

FolderTrial::FolderTrial(const folder::SourceModel& source,
                         const quantize::QuantizeOptions& options, HeldOutText text,
                         const std::string& out)
    : source_(source),
      options_(options),
      scratch_(out),
      backend_(kernels::make_backend(options.device, {.n_threads = options.n_threads, .isa = ""})),
      held_out_(source, std::move(text), *backend_) {}

std::string FolderTrial::made(const Recipe& recipe, const std::string& name) {
    quantize::QuantizeOptions options = options_;
    options.recipe = recipe;
    options.work_folder.clear();
    options.resume = false;
    options.overwrite = true;
    if (!quantize::needs_calibration(recipe)) options.calibration.clear();
    quantize::quantize_model(source_.folder(), scratch_ / name, options);
    return scratch_ / name;
}

}  // namespace quarot::search

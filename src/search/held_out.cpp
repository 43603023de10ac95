#include "search/held_out.h"

#include <utility>

#include "core/check.h"
#include "eval/perplexity.h"
#include "folder/load_weights.h"

namespace quarot::search {

HeldOut::HeldOut(const folder::SourceModel& source, HeldOutText text, kernels::Backend& backend)
    : text_(std::move(text)),
      backend_(backend),
      weights_(folder::load_weights(source, {}, text_.seqlen, backend)),
      base_(weights_, backend, {.context = text_.seqlen}) {}

double HeldOut::kl_of(const std::string& folder, const SettingChanges& changes) {
    const folder::SourceModel source = folder::SourceModel::open(folder);
    const model::Weights weights = folder::load_weights(source, changes, text_.seqlen, backend_);
    runtime::Engine engine(weights, backend_, {.context = text_.seqlen});
    const eval::PerplexityResult run =
        eval::perplexity(engine, &base_, text_.ids, {.seqlen = text_.seqlen});
    QUAROT_CHECK(run.divergence.has_value());
    return run.divergence->kl.value;
}

}  // namespace quarot::search

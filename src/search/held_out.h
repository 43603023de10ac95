// How far is a quantized folder from the model that it was made of, on text that calibrating does
// not see?
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "folder/source_model.h"
#include "kernels/ops.h"
#include "model/weights.h"
#include "recipe/settings.h"
#include "runtime/engine.h"

namespace quarot::search {

// The end of a calibration text, in whole windows.
struct HeldOutText {
    std::vector<int32_t> ids;
    int64_t seqlen = 0;
};

// Holds the whole model at full precision in the backend's memory, which must outlive it.
class HeldOut {
  public:
    HeldOut(const folder::SourceModel& source, HeldOutText text, kernels::Backend& backend);

    // Mean KL(full precision || folder) of the predictions, nats; the folder runs with these
    // changes. Error{Numeric} where a NaN or Inf arises.
    double kl_of(const std::string& folder, const SettingChanges& changes);

  private:
    HeldOutText text_;
    kernels::Backend& backend_;
    model::Weights weights_;
    runtime::Engine base_;
};

}  // namespace quarot::search

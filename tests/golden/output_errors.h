// Squared errors of what quantized linears give, measured while their model runs.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "folder/source_model.h"
#include "model/weights.h"
#include "support/watched_backend.h"

namespace quarot::test {

// Sums over all inputs x of |W_q x - W x|^2, W the weight before it was quantized.
struct OutputError {
    double of_codes = 0.0;
    double of_nearest_codes = 0.0;  // on the same grids
    double share() const { return of_codes / of_nearest_codes; }
};

// Multiplies what a watched linear reads by the errors of its weight as well, in fp32.
class OutputErrors final : public WatchedBackend {
  public:
    using WatchedBackend::WatchedBackend;

    // Watches every linear of the layers of `weights`, which are those of `quantized`, symmetric.
    // exact: a folder of the same rotation with weights as floats.
    void watch(const model::Weights& weights, const folder::SourceModel& quantized,
               const folder::SourceModel& exact);
    // By name.
    const std::map<std::string, OutputError>& errors() const { return errors_; }

    void linear(const kernels::LinearArgs& args) override;
    void linear_group(const kernels::LinearGroupArgs& args) override;

  private:
    struct Watched {
        std::unique_ptr<kernels::Linear> codes, nearest_codes;  // less the exact weight
        OutputError* error = nullptr;
    };

    void measure(const kernels::Operand& in, const kernels::Linear& weight);
    double square_of_product(const Rows& in, const kernels::Linear& weight);

    std::map<const kernels::Linear*, Watched> watched_;
    std::map<std::string, OutputError> errors_;
};

}  // namespace quarot::test

#include "support/model_weights.h"

#include "folder/load_weights.h"

namespace quarot::test {

model::Weights load_model(const std::string& folder, int64_t n_positions,
                          kernels::Backend& backend) {
    return folder::load_weights(folder::SourceModel::open(folder), {}, n_positions, backend);
}

}  // namespace quarot::test

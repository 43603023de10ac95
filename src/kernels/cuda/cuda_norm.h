// Norms of the contract: of rows, of runs of columns, and behind the addition of partial sums,
// which ranks may share row by row.
#pragma once

#include "kernels/cuda/norm.h"
#include "kernels/cuda/stream.h"
#include "kernels/ops.h"

namespace quarot::kernels::cuda {

// Whether every row is normalized as a whole.
bool norms_whole_rows(const NormArgs& args);
// Of whole rows.
NormInput norm_input(const NormArgs& args);

void norm(const NormArgs& args, Stream stream);
// A group that shares rows is a PeerComm: then other ranks' rows of the residual stay as they are.
void add_norm_quantize(const AddNormArgs& args, const Operand& out, SiteNote note, Stream stream);

}  // namespace quarot::kernels::cuda

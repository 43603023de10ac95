// The queue of work of one device, without CUDA's headers: cudaStream_t is the same pointer.
#pragma once

struct CUstream_st;

namespace quarot::kernels::cuda {

using Stream = CUstream_st*;  // null: the default stream

}  // namespace quarot::kernels::cuda

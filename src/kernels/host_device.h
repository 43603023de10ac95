// Functions that both compilers take.
#pragma once

#ifdef __CUDACC__
#define QUAROT_HOST_DEVICE __host__ __device__
#else
#define QUAROT_HOST_DEVICE
#endif

// The functions of the CUDA runtime that the program calls, on a device that is host memory: copies
// copy, kernels leave their results as they were (new memory is zero), and one call fails when
// told:
//   QUAROT_TEST_GPU_FAULT="NAME N STATUS": the Nth call of the function NAME, or of any where NAME
//     is "any", gives the cudaError_t STATUS. All but out of memory (2) stay: every later call
//     gives it, too.
//   QUAROT_TEST_GPU_BYTES: the device's memory.
#include <cuda_runtime_api.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <sstream>
#include <string>
#include <string_view>

namespace {

constexpr size_t kMostBytes = size_t{8} << 30;

class StubGpu {
  public:
    // To be asked by every call that can fail.
    cudaError_t enter(std::string_view function) {
        const std::lock_guard lock(mutex_);
        if (is_lost_) return status_;
        if (name_ != "any" && name_ != function) return cudaSuccess;
        if (n_calls_left_ == 0 || --n_calls_left_ > 0) return cudaSuccess;
        is_lost_ = status_ != cudaErrorMemoryAllocation;
        return last_ = status_;
    }
    cudaError_t allocate(void** data, size_t bytes) {
        const std::lock_guard lock(mutex_);
        if (bytes > total_ - used_) return last_ = cudaErrorMemoryAllocation;
        *data = std::calloc(1, bytes);
        sizes_[*data] = bytes;
        used_ += bytes;
        return cudaSuccess;
    }
    void release(void* data) {
        const std::lock_guard lock(mutex_);
        const auto found = sizes_.find(data);
        if (found == sizes_.end()) return;
        used_ -= found->second;
        sizes_.erase(found);
        std::free(data);
    }
    size_t total() const { return total_; }
    size_t free_bytes() const {
        const std::lock_guard lock(mutex_);
        return total_ - used_;
    }
    cudaError_t take_last() {
        const std::lock_guard lock(mutex_);
        const cudaError_t last = last_;
        if (!is_lost_) last_ = cudaSuccess;
        return last;
    }

    static StubGpu& get() {
        static StubGpu gpu;
        return gpu;
    }

  private:
    StubGpu() {
        if (const char* bytes = std::getenv("QUAROT_TEST_GPU_BYTES")) total_ = std::stoull(bytes);
        const char* fault = std::getenv("QUAROT_TEST_GPU_FAULT");
        if (fault == nullptr) return;
        std::istringstream words(fault);
        int status = 0;
        words >> name_ >> n_calls_left_ >> status;
        status_ = static_cast<cudaError_t>(status);
    }

    mutable std::mutex mutex_;
    std::map<void*, size_t> sizes_;
    size_t total_ = kMostBytes, used_ = 0;
    std::string name_;
    int64_t n_calls_left_ = 0;  // of name_, the one that fails counted; 0: none fails
    cudaError_t status_ = cudaSuccess, last_ = cudaSuccess;
    bool is_lost_ = false;
};

cudaError_t enter(std::string_view function) {
    return StubGpu::get().enter(function);
}

cudaError_t copy(std::string_view function, void* to, const void* from, size_t bytes) {
    const cudaError_t status = enter(function);
    if (status == cudaSuccess) std::memcpy(to, from, bytes);
    return status;
}

// Any address serves as a handle.
int handle;
template <typename Handle>
cudaError_t make(std::string_view function, Handle* to) {
    *to = reinterpret_cast<Handle>(&handle);
    return enter(function);
}

int encode_nothing() {
    return 0;
}

}  // namespace

extern "C" {

cudaError_t cudaDriverGetVersion(int* version) {
    *version = CUDART_VERSION;
    return cudaSuccess;
}
cudaError_t cudaGetDeviceCount(int* count) {
    *count = 1;
    return enter("cudaGetDeviceCount");
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
    std::memset(properties, 0, sizeof(*properties));
    std::strcpy(properties->name, "stub");
    properties->major = 9;
    properties->totalGlobalMem = StubGpu::get().total();
    return enter("cudaGetDeviceProperties");
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr which, int) {
    switch (which) {
        case cudaDevAttrComputeCapabilityMajor:
            *value = 9;
            break;
        case cudaDevAttrMultiProcessorCount:
            *value = 132;
            break;
        case cudaDevAttrMaxSharedMemoryPerBlockOptin:
            *value = 227 * 1024;
            break;
        default:
            *value = 0;
    }
    return enter("cudaDeviceGetAttribute");
}
cudaError_t cudaGetDevice(int* device) {
    *device = 0;
    return enter("cudaGetDevice");
}
cudaError_t cudaSetDevice(int) {
    return enter("cudaSetDevice");
}
cudaError_t cudaGetLastError() {
    return StubGpu::get().take_last();
}
const char* cudaGetErrorName(cudaError_t status) {
    return status == cudaErrorMemoryAllocation ? "cudaErrorMemoryAllocation" : "cudaErrorOfTheStub";
}
const char* cudaGetErrorString(cudaError_t) {
    return "as the test wants it";
}

cudaError_t cudaMalloc(void** data, size_t bytes) {
    const cudaError_t status = enter("cudaMalloc");
    return status == cudaSuccess ? StubGpu::get().allocate(data, bytes) : status;
}
cudaError_t cudaFree(void* data) {
    StubGpu::get().release(data);
    return enter("cudaFree");
}
cudaError_t cudaMallocHost(void** data, size_t bytes) {
    const cudaError_t status = enter("cudaMallocHost");
    if (status == cudaSuccess) *data = std::calloc(1, bytes);
    return status;
}
cudaError_t cudaFreeHost(void* data) {
    std::free(data);
    return enter("cudaFreeHost");
}
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
    *free = StubGpu::get().free_bytes();
    *total = StubGpu::get().total();
    return enter("cudaMemGetInfo");
}
cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind) {
    return copy("cudaMemcpy", to, from, bytes);
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind,
                            cudaStream_t) {
    return copy("cudaMemcpyAsync", to, from, bytes);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
    return make("cudaStreamCreateWithFlags", stream);
}
cudaError_t cudaStreamDestroy(cudaStream_t) {
    return enter("cudaStreamDestroy");
}
cudaError_t cudaStreamSynchronize(cudaStream_t) {
    return enter("cudaStreamSynchronize");
}
cudaError_t cudaStreamBeginCapture(cudaStream_t, cudaStreamCaptureMode) {
    return enter("cudaStreamBeginCapture");
}
cudaError_t cudaStreamEndCapture(cudaStream_t, cudaGraph_t* graph) {
    return make("cudaStreamEndCapture", graph);
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t, unsigned long long) {
    return make("cudaGraphInstantiate", executable);
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t, cudaStream_t) {
    return enter("cudaGraphLaunch");
}
cudaError_t cudaGraphDestroy(cudaGraph_t) {
    return enter("cudaGraphDestroy");
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t) {
    return enter("cudaGraphExecDestroy");
}

cudaError_t cudaFuncSetAttribute(const void*, cudaFuncAttribute, int) {
    return enter("cudaFuncSetAttribute");
}
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t*, const void*, void**) {
    return enter("cudaLaunchKernelExC");
}
cudaError_t cudaOccupancyMaxActiveClusters(int* n, const void*, const cudaLaunchConfig_t*) {
    *n = 66;
    return enter("cudaOccupancyMaxActiveClusters");
}
cudaError_t cudaGetDriverEntryPointByVersion(const char*, void** function, unsigned,
                                             unsigned long long,
                                             cudaDriverEntryPointQueryResult* found) {
    *function = reinterpret_cast<void*>(&encode_nothing);
    *found = cudaDriverEntryPointSuccess;
    return enter("cudaGetDriverEntryPointByVersion");
}

// What nvcc puts into the objects of kernels.
void** __cudaRegisterFatBinary(void*) {
    static void* registered = nullptr;
    return &registered;
}
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}
void __cudaRegisterFunction(void**, const char*, char*, const char*, int, uint3*, uint3*, dim3*,
                            dim3*, int*) {}
void __cudaRegisterVar(void**, char*, char*, const char*, int, size_t, int, int) {}
cudaError_t __cudaPopCallConfiguration(dim3*, dim3*, size_t*, void*) {
    return cudaSuccess;
}
cudaError_t __cudaGetKernel(cudaKernel_t*, const void*) {
    return cudaSuccess;
}
cudaError_t __cudaLaunchKernel(cudaKernel_t, dim3, dim3, void**, size_t, cudaStream_t) {
    return cudaSuccess;
}

}  // extern "C"

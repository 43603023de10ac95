#include "cuda/gpu.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "kernels/cuda/status.h"

namespace quarot::cuda_test {

using kernels::cuda::check;

namespace {

constexpr int64_t kGuard = 4096;
constexpr int kPoison = 0xA5;

bool is_poison(const std::byte* device, int64_t bytes) {
    std::vector<std::byte> host(static_cast<size_t>(bytes));
    check(cudaMemcpy(host.data(), device, host.size(), cudaMemcpyDeviceToHost), "cudaMemcpy");
    return std::ranges::all_of(host, [](std::byte b) { return b == std::byte{kPoison}; });
}

}  // namespace

void OnGpu::SetUp() {
    int n_devices = 0;
    const cudaError_t status = cudaGetDeviceCount(&n_devices);
    if (status == cudaSuccess && n_devices > 0) return;
    std::fprintf(stderr, "SKIPPED: no GPU: %s\n", cudaGetErrorString(status));
    GTEST_SKIP() << "no GPU: " << cudaGetErrorString(status);
}

void synchronize() {
    check(cudaGetLastError(), "launch");
    check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
}

Memory::Memory(int64_t bytes) : bytes_(bytes) {
    void* base = nullptr;
    check(cudaMalloc(&base, static_cast<size_t>(bytes + 2 * kGuard)), "cudaMalloc");
    base_ = static_cast<std::byte*>(base);
    check(cudaMemset(base_, kPoison, static_cast<size_t>(bytes + 2 * kGuard)), "cudaMemset");
}

Memory::Memory(std::span<const std::byte> host) : Memory(static_cast<int64_t>(host.size())) {
    check(cudaMemcpy(data(), host.data(), host.size(), cudaMemcpyHostToDevice), "cudaMemcpy");
}

Memory::Memory(Memory&& other) noexcept
    : base_(std::exchange(other.base_, nullptr)), bytes_(other.bytes_) {}

Memory::~Memory() {
    cudaFree(base_);
}

void* Memory::data() const {
    return base_ + kGuard;
}

void Memory::poison() {
    check(cudaMemset(data(), kPoison, static_cast<size_t>(bytes_)), "cudaMemset");
}

void Memory::upload(const void* host) {
    check(cudaMemcpy(data(), host, static_cast<size_t>(bytes_), cudaMemcpyHostToDevice),
          "cudaMemcpy");
}

void Memory::download(void* host) const {
    check(cudaMemcpy(host, data(), static_cast<size_t>(bytes_), cudaMemcpyDeviceToHost),
          "cudaMemcpy");
}

bool Memory::guards_intact() const {
    return is_poison(base_, kGuard) && is_poison(base_ + kGuard + bytes_, kGuard);
}

}  // namespace quarot::cuda_test

#include "kernels/cuda/cuda_recording.h"

#include <cuda_runtime_api.h>

#include "kernels/cuda/status.h"

namespace quarot::kernels::cuda {

namespace {

class CapturedStep final : public Recording {
  public:
    CapturedStep(cudaGraphExec_t graph, Stream stream) : graph_(graph), stream_(stream) {}
    ~CapturedStep() override { cudaGraphExecDestroy(graph_); }
    CapturedStep(const CapturedStep&) = delete;
    CapturedStep& operator=(const CapturedStep&) = delete;
    void replay() override { check(cudaGraphLaunch(graph_, stream_), "cudaGraphLaunch"); }

  private:
    cudaGraphExec_t graph_;
    Stream stream_;
};

}  // namespace

std::unique_ptr<Recording> capture(const std::function<void()>& enqueue, Stream stream) {
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal),
          "cudaStreamBeginCapture");
    cudaGraph_t graph = nullptr;
    try {
        enqueue();
    } catch (...) {
        cudaStreamEndCapture(stream, &graph);
        if (graph != nullptr) cudaGraphDestroy(graph);
        throw;
    }
    check(cudaStreamEndCapture(stream, &graph), "cudaStreamEndCapture");
    cudaGraphExec_t executable = nullptr;
    const cudaError_t status = cudaGraphInstantiate(&executable, graph, 0);
    cudaGraphDestroy(graph);
    check(status, "cudaGraphInstantiate");
    return std::make_unique<CapturedStep>(executable, stream);
}

}  // namespace quarot::kernels::cuda

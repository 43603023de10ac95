// The program where the GPU or its driver is at fault: exit code 10, or 6 where memory is short,
// one sentence, and no file lost or half-written. The driver and the GPU are stubs, so no GPU is
// needed.
#include <gtest/gtest.h>

#include "e2e/expectations.h"
#include "e2e/model_surgery.h"
#include "e2e/program.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace quarot::test {
namespace {

// Of cudaError_t.
constexpr int kMemoryAllocation = 2;
constexpr int kLaunchFailure = 719;

// ---- the program as it is, on another driver ----

class Driver : public testing::Test {
  protected:
    void SetUp() override { write_tiny_model(model_); }

    static RunOptions with_driver(const std::string& fault) {
        return {.environment = {{"LD_LIBRARY_PATH", QUAROT_STUB_DRIVER},
                                {"QUAROT_TEST_DRIVER", fault}}};
    }
    Outcome generate(const std::string& device, const std::string& fault) const {
        return run_program({"generate", model_, "-p", "a", "-n", "2", "--device", device, "--json"},
                           with_driver(fault));
    }

    const TempDir dir_;
    const std::string model_ = dir_ / "model";
};

TEST_F(Driver, WithoutAGpuIsToldApartFromOneThatIsTooOldOrBroken) {
    expect_failure(generate("cuda", "no-gpu"), kDevice,
                   {"cuda:0", "shows no GPU", "CUDA_VISIBLE_DEVICES", "--device cpu"});
    expect_failure(
        generate("cuda:2", "old"), kDevice,
        {"cuda:2", "its driver is for CUDA 12.4", "CUDA 13.0 is needed", "--device cpu"});
    expect_failure(generate("cuda", "broken"), kDevice,
                   {"cuda:0", "cudaErrorUnknown", "nvidia-smi", "--device cpu"});
}

TEST_F(Driver, WithoutAGpuLeavesTheCpu) {
    for (const char* fault : {"no-gpu", "old", "broken"}) {
        const Outcome outcome = generate("auto", fault);
        expect_success(outcome);
        EXPECT_TRUE(outcome.err.starts_with("quarot: backend cpu")) << outcome.err;
        EXPECT_EQ(outcome.err.find('\n'), outcome.err.size() - 1) << outcome.err;

        const Outcome version = run_program({"version", "--json"}, with_driver(fault));
        expect_success(version);
        EXPECT_EQ(version.out.find("cuda:"), std::string::npos) << version.out;
    }
}

// ---- a GPU that fails ----

class StubGpu : public testing::Test {
  protected:
    // Nothing in 16 bits, so that cuBLAS is not asked for.
    void SetUp() override {
        write_tiny_model(dir_ / "original");
        expect_success(run_program(
            {"quantize", dir_ / "original", model_, "--recipe", "quarot-rtn", "--head-bits", "8"}));
        write_bytes(out_, "from before");
    }

    static Outcome run(const std::vector<std::string>& arguments,
                       std::map<std::string, std::string> environment) {
        return run_program(arguments,
                           {.environment = std::move(environment), .program = QUAROT_ON_STUB_GPU});
    }
    Outcome logits(std::map<std::string, std::string> environment) const {
        return run({"logits", model_, "-p", "abc", "--out", out_, "--overwrite", "--device", "cuda",
                    "--json"},
                   std::move(environment));
    }
    // With the given call of a function failing.
    Outcome logits_with(const std::string& function, int64_t call, int status) const {
        return logits({{"QUAROT_TEST_GPU_FAULT",
                        function + " " + std::to_string(call) + " " + std::to_string(status)}});
    }
    // Lets ever later calls of a function fail until none is left and the run succeeds. How many
    // runs failed.
    int64_t fail_each(const std::string& function, int64_t step, int status, int exit_code) {
        write_bytes(out_, "from before");
        const std::vector<std::string> before = listing(dir_.path());
        for (int64_t call = 1;; call += step) {
            const Outcome outcome = logits_with(function, call, status);
            if (outcome.exit_code == 0) return (call - 1) / step;
            SCOPED_TRACE(function + " " + std::to_string(call));
            expect_failure(outcome, exit_code, {status == kMemoryAllocation ? "GPU" : "cuda"});
            EXPECT_EQ(listing(dir_.path()), before);
            EXPECT_TRUE(read_bytes(out_) == "from before");
            if (HasFailure()) return 0;
        }
    }

    const TempDir dir_;
    const std::string model_ = dir_ / "model";
    const std::string out_ = dir_ / "out";
};

TEST_F(StubGpu, RunsAWholeModel) {
    expect_success(logits({}));
    EXPECT_FALSE(read_bytes(out_) == "from before");
    const Outcome version = run({"version", "--json"}, {});
    EXPECT_NE(version.out.find("cuda:0"), std::string::npos) << version.out;
}

TEST_F(StubGpu, WithLessMemoryThanAModelTakesIsRefusedBefore) {
    expect_failure(logits({{"QUAROT_TEST_GPU_BYTES", "20000"}}), kOutOfMemory,
                   {model_, "GB of memory", "are available"});
    EXPECT_TRUE(read_bytes(out_) == "from before");
}

TEST_F(StubGpu, AnyAllocationMayFail) {
    EXPECT_GT(fail_each("cudaMalloc", 1, kMemoryAllocation, kOutOfMemory), 40);
    EXPECT_GT(fail_each("cudaGraphInstantiate", 1, kMemoryAllocation, kOutOfMemory), 0);
}

TEST_F(StubGpu, MayBeLostAtAnyCall) {
    EXPECT_GT(fail_each("any", 7, kLaunchFailure, kDevice), 60);
}

TEST_F(StubGpu, MayBeLostAtEachCallOfARun) {
    for (const char* function : {"cudaStreamSynchronize", "cudaGraphLaunch", "cudaMemcpyAsync"}) {
        EXPECT_GT(fail_each(function, 1, kLaunchFailure, kDevice), 0) << function;
    }
}

TEST_F(StubGpu, LostWhileTextIsMadeEndsItInOneSentence) {
    const Outcome outcome =
        run({"generate", model_, "-p", "a", "-n", "9", "--ignore-eos", "--device", "cuda"},
            {{"QUAROT_TEST_GPU_FAULT", "cudaGraphLaunch 6 719"}});
    EXPECT_EQ(outcome.exit_code, kDevice) << outcome.err;
    EXPECT_NE(outcome.err.find("quarot: error: the GPU failed in cudaGraphLaunch"),
              std::string::npos)
        << outcome.err;
    EXPECT_TRUE(outcome.out.ends_with("\n")) << "the error begins a line of its own";
}

}  // namespace
}  // namespace quarot::test

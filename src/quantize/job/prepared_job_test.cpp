#include "quantize/job/prepared_job.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <filesystem>

#include "core/expect_error.h"
#include "core/watch.h"
#include "kernels/backend.h"
#include "quantize/folder_fixture_for_tests.h"
#include "quantize/job/job_identity.h"
#include "quantize/job/job_memory.h"
#include "quantize/job/job_time.h"
#include "quantize/job/work_folder.h"
#include "quantize/quantize_model.h"
#include "quarot/progress.h"
#include "support/watched_backend.h"

namespace quarot::quantize {
namespace {

namespace fs = std::filesystem;
using folder::SourceModel;

class PrepareJobTest : public FolderTest {
  protected:
    PreparedJob plan(const QuantizeOptions& options) const {
        return prepare_job(SourceModel::open(in), options, out);
    }
    // Exactly one problem, of this code, that mentions all of this.
    void expect_problem(const QuantizeOptions& options, ErrorCode code,
                        const std::vector<std::string>& mentions) const {
        const std::vector<std::string> before = left_behind();
        const PreparedJob found = plan(options);
        EXPECT_EQ(left_behind(), before);
        ASSERT_EQ(found.problems.size(), 1u);
        expect_error(code, mentions, [&] { throw found.problems.front(); });
        expect_error(code, {found.problems.front().what()}, [&] { throw_first_problem(found); });
    }
};

int64_t bytes_of_folder(const std::string& folder) {
    int64_t bytes = 0;
    for (const auto& item : fs::directory_iterator(folder)) {
        bytes += static_cast<int64_t>(item.file_size());
    }
    return bytes;
}

QuantizeOptions gptq_options(int64_t n_windows = 2, int64_t seqlen = 32) {
    QuantizeOptions options = with_recipe("quarot");
    std::vector<int32_t> window(static_cast<size_t>(seqlen), 7);
    options.calibration.assign(static_cast<size_t>(n_windows), window);
    return options;
}

TEST_F(PrepareJobTest, AJobThatCanWorkHasNoProblemsAndLeavesNothing) {
    write({});
    for (const QuantizeOptions& options : {with_recipe("quarot-rtn"), gptq_options()}) {
        const PreparedJob found = plan(options);
        EXPECT_TRUE(found.problems.empty());
        EXPECT_NO_THROW(throw_first_problem(found));
        EXPECT_GT(found.needs.ram_bytes, 0);
        EXPECT_TRUE(left_behind().empty());
    }
}

TEST_F(PrepareJobTest, DiskHoldsTheOutputAndTheLayersBesideIt) {
    write({.hidden = 128, .ffn = 256, .vocab = 512});
    const QuantizeOptions options = gptq_options();
    const PreparedJob found = plan(options);
    quantize_model(in, out, options);
    const int64_t output = bytes_of_folder(out);
    EXPECT_GT(found.needs.disk_bytes, output * 9 / 10);
    EXPECT_LT(found.needs.disk_bytes, 3 * output);
}

// A dense layer, and one with eight experts that are each as wide.
test::TinyModel dense_and_mixed() {
    constexpr int kExperts = 8;
    test::TinyModel model = test::make_tiny_model({.architecture = "Qwen3MoeForCausalLM"});
    model.config.set("num_experts", kExperts);
    model.config.set("num_experts_per_tok", 2);
    model.config.set("moe_intermediate_size", 48);
    model.config.set("mlp_only_layers", io::Json::Array{0});
    const auto ones = [](Shape shape) {
        const std::vector<float> values(static_cast<size_t>(element_count(shape)), 1.0f);
        return test::make_stored_tensor(DType::F32, shape, values);
    };
    for (const std::string layer : {"model.layers.0.", "model.layers.1."}) {
        model.tensors[layer + "self_attn.q_norm.weight"] = ones({8});
        model.tensors[layer + "self_attn.k_norm.weight"] = ones({8});
    }
    const std::string mlp = "model.layers.1.mlp.";
    model.tensors[mlp + "gate.weight"] = ones({kExperts, 32});
    for (const std::string name : {"gate_proj.weight", "up_proj.weight", "down_proj.weight"}) {
        const test::StoredTensor tensor = model.tensors.extract(mlp + name).mapped();
        for (int expert = 0; expert < kExperts; ++expert) {
            model.tensors[fmt::format("{}experts.{}.{}", mlp, expert, name)] = tensor;
        }
    }
    return model;
}

TEST_F(PrepareJobTest, DiskHoldsTheLargestLayerTwice) {
    test::write_model(dense_and_mixed(), in);
    const QuantizeOptions options = with_recipe("quarot-rtn");
    const int64_t planned = plan(options).needs.disk_bytes;
    quantize_model(in, out, options);
    const auto written = io::Checkpoint::open(out);
    int64_t all = 0, dense = 0, mixed = 0;
    for (const std::string& name : written.names()) {
        const int64_t bytes = written.info(name).bytes;
        all += bytes;
        if (name.starts_with("model.layers.0.")) dense += bytes;
        if (name.starts_with("model.layers.1.")) mixed += bytes;
    }
    ASSERT_GT(mixed, 3 * dense);
    const int64_t held = all + dense + 2 * mixed;
    EXPECT_EQ(planned, held + held / 20);
}

TEST_F(PrepareJobTest, MemoryGrowsWithTokensAndWidthButNotWithDepth) {
    write({});
    const int64_t base = plan(gptq_options()).needs.ram_bytes;
    const int64_t one_more = plan(gptq_options(3)).needs.ram_bytes - base;
    EXPECT_NEAR(static_cast<double>(plan(gptq_options(4)).needs.ram_bytes - base),
                2.0 * static_cast<double>(one_more), 4.0);
    EXPECT_GT(plan(gptq_options(4)).needs.ram_bytes, base);
    fs::remove_all(in);
    write({.n_layers = 5});
    EXPECT_EQ(plan(gptq_options()).needs.ram_bytes, base);
    fs::remove_all(in);
    write({.hidden = 512, .ffn = 1024, .n_heads = 8, .head_dim = 64});
    EXPECT_GT(plan(gptq_options()).needs.ram_bytes, base);
}

QuantizeOptions refit_options(int64_t n_windows = 2) {
    QuantizeOptions options = gptq_options(n_windows);
    options.recipe.calibration.activations = CalibrationActivations::Quantized;
    options.recipe.weights.target = WeightTarget::Refit;
    return options;
}

TEST_F(PrepareJobTest, RefittingCountsTwoStreamsAndTheirMoments) {
    constexpr int64_t kFfn = 2048;
    write({.hidden = 256, .ffn = kFfn, .n_heads = 4, .head_dim = 64});
    const auto ram = [&](const QuantizeOptions& options) { return plan(options).needs.ram_bytes; };
    const int64_t per_window = ram(gptq_options(40)) - ram(gptq_options(39));
    EXPECT_GT(ram(refit_options(40)) - ram(refit_options(39)), 19 * per_window / 10);
    EXPECT_GT(ram(refit_options()), ram(gptq_options()) + 3 * 8 * kFfn * kFfn);
    const auto seconds = [&](const QuantizeOptions& options) {
        return estimate_seconds(plan(options)).value();
    };
    EXPECT_GT(seconds(refit_options()), 1.2 * seconds(gptq_options()));
}

class OneStreamBackend final : public test::WatchedBackend {
  public:
    using WatchedBackend::WatchedBackend;
    kernels::BackendTraits traits() const override { return {}; }
};

TEST(CheckBackend, RefusesARefitWhereTwoStreamsCannotBeMultiplied) {
    const auto cpu = kernels::make_backend("cpu", {});
    const OneStreamBackend other(kernels::make_backend("cpu", {}));
    check_backend(gptq_options().recipe, other);
    check_backend(refit_options().recipe, *cpu);
    expect_error(ErrorCode::Unsupported,
                 {"`weights.target` refit is not available on cpu, expected `device` cpu"},
                 [&] { check_backend(refit_options().recipe, other); });
}

TEST_F(PrepareJobTest, ARefitNeedsAWindowToHoldOut) {
    write({});
    EXPECT_TRUE(plan(refit_options(2)).problems.empty());
    expect_problem(refit_options(1), ErrorCode::Usage,
                   {"`weights.target` refit", "`calibration.nsamples` is 1"});
    QuantizeOptions unknown = refit_options(2);
    unknown.calibration.clear();
    unknown.recipe.calibration.n_samples = 1;
    unknown.recipe.calibration.seqlen = 32;
    expect_problem(unknown, ErrorCode::Usage, {"`calibration.nsamples` is 1"});
}

// An R1 that has to be found, too, is a matrix in memory, and its eigenvectors are more.
TEST_F(PrepareJobTest, ARotationFoundOnTheTextHoldsSecondMoments) {
    constexpr int64_t kHidden = 4096;
    write({.hidden = kHidden, .ffn = 64});
    QuantizeOptions options = gptq_options();
    options.recipe = named_recipe("quarot-rtn");
    options.recipe.activations.group_size = 16;
    const JobNeeds hadamard = plan(options).needs;
    set_rotation(options.recipe, "aligned");
    EXPECT_GT(plan(options).needs.ram_bytes, hadamard.ram_bytes + 4 * 8 * kHidden * kHidden);
}

TEST_F(PrepareJobTest, SmoothingAloneHoldsNoHessians) {
    constexpr int64_t kFfn = 4096;
    write({.ffn = kFfn});
    QuantizeOptions smoothing = gptq_options();
    smoothing.recipe = named_recipe("smoothquant");
    EXPECT_LT(plan(smoothing).needs.ram_bytes,
              plan(gptq_options()).needs.ram_bytes - 8 * kFfn * kFfn);
}

TEST_F(PrepareJobTest, TimeGrowsWithTheCalibrationText) {
    write({.hidden = 256, .ffn = 512, .n_heads = 8, .head_dim = 32});
    const double rounding = estimate_seconds(plan(with_recipe("quarot-rtn"))).value();
    const double some = estimate_seconds(plan(gptq_options(16, 256))).value();
    const double more = estimate_seconds(plan(gptq_options(512, 256))).value();
    EXPECT_GT(rounding, 0.0);
    EXPECT_GT(some, rounding);
    EXPECT_GT(more, some);
}

TEST_F(PrepareJobTest, ADeviceThatIsNotThereIsAProblem) {
    write({});
    for (QuantizeOptions options : {gptq_options(), with_recipe("quarot-rtn")}) {
        options.device = "cuda:77";
        expect_problem(options, ErrorCode::Device, {"cuda:77"});
        options.device = "abacus";
        expect_problem(options, ErrorCode::Usage, {"abacus"});
    }
    QuantizeOptions options = gptq_options();
    options.device = "cuda:77";
    EXPECT_FALSE(estimate_seconds(plan(options)).has_value()) << "of a GPU no speed is known";
}

TEST_F(PrepareJobTest, OpensADeviceWhereATextRuns) {
    write({});
    QuantizeOptions options = with_recipe("quarot-rtn");
    for (const char* device : {"cpu", "auto"}) {
        options.device = device;
        EXPECT_EQ(plan(options).backend, nullptr);
        EXPECT_EQ(device_kind(plan(options)), "");
    }
    const PreparedJob found = plan(gptq_options());
    ASSERT_NE(found.backend, nullptr);
    EXPECT_EQ(device_kind(found), "cpu");
    EXPECT_EQ(found.needs.device_bytes, 0) << "all of it is the host's";
}

// Sums differ between devices in their last bits: layers of both would be of no device's model.
TEST_F(PrepareJobTest, WorkOfAnotherDeviceIsNotGoneOnWith) {
    write({});
    const QuantizeOptions options = gptq_options();
    const ProgressCallback after_a_layer = [&](const ProgressEvent&) {
        return !fs::exists(out + ".work/layer-00000.safetensors");
    };
    {
        const Watch watch(after_a_layer);
        EXPECT_THROW(quantize_model(in, out, options), Error);
    }
    const PreparedJob job = plan(options);
    ThreadPool pool(1);
    const InputDigests inputs = digest_inputs(job.source, pool);
    const auto finished_on = [&](const std::string& device) {
        return finished_layers_in(
            out + ".work", job_identity(options.recipe, inputs, options.calibration, device), true);
    };
    EXPECT_EQ(finished_on(device_kind(job)), 1);
    try {
        finished_on("cuda");
        ADD_FAILURE() << "it is gone on with";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::Usage);
        EXPECT_NE(std::string(error.what()).find("device = \"cpu\", and this run has \"cuda\""),
                  std::string::npos)
            << error.what();
    }
}

// GPTQ of these tokens on a GPU.
JobShape gpu_shape(const PreparedJob& job, int64_t n_tokens) {
    return {.config = job.source.config(),
            .recipe = job.options.recipe,
            .rotation = *job.rotation,
            .calibrated = true,
            .hessians = true,
            .on_gpu = true,
            .n_tokens = n_tokens,
            .seqlen = 32};
}

TEST_F(PrepareJobTest, AGpuHoldsTheActivationsAndTheHostDoesNot) {
    write({.hidden = 64, .ffn = 96, .n_heads = 4, .n_kv_heads = 2, .head_dim = 16});
    const PreparedJob job = plan(gptq_options());
    JobShape shape = gpu_shape(job, 1 << 20);
    const int64_t device = job_device_bytes(shape), host = job_ram_bytes(shape);
    shape.n_tokens += 1 << 20;
    EXPECT_EQ(job_device_bytes(shape) - device, (int64_t{1} << 20) * (4 * 64 + 2 * 64));
    EXPECT_LT(job_ram_bytes(shape) - host, (int64_t{1} << 20) * 32);
    shape.n_tokens -= 1 << 20;
    shape.hessians = false;
    EXPECT_EQ(device - job_device_bytes(shape), 12 * 96 * 96 + 13 * 96 * 64) << "of down_proj";
}

TEST_F(PrepareJobTest, AGpuHoldsAHessianWithItsFactorAndTheHostNone) {
    write({.hidden = 64, .ffn = 2048, .n_heads = 4, .n_kv_heads = 2, .head_dim = 16});
    const PreparedJob job = plan(gptq_options());
    JobShape shape = gpu_shape(job, 32);
    EXPECT_LT(job_ram_bytes(shape), int64_t{60} << 20) << "a Hessian would be 32 of them";
    const int64_t with_hessian = job_device_bytes(shape);
    shape.hessians = false;
    EXPECT_EQ(with_hessian - job_device_bytes(shape), int64_t{20} * 2048 * 2048);
}

TEST_F(PrepareJobTest, TheLargerOfEmbeddingAndHeadIsCounted) {
    write({});
    const PreparedJob job = plan(with_recipe("quarot-rtn"));
    model::ModelConfig config = job.source.config();
    config.vocab = 1 << 20;
    const auto bytes = [&](int embedding_bits, int head_bits) {
        Recipe recipe = job.options.recipe;
        recipe.embedding_bits = embedding_bits;
        recipe.head_bits = head_bits;
        return job_ram_bytes({.config = config, .recipe = recipe, .rotation = *job.rotation});
    };
    EXPECT_EQ(bytes(8, 4), bytes(8, 8));
    EXPECT_EQ(bytes(4, 8), bytes(8, 8));
    EXPECT_LT(bytes(4, 4), bytes(8, 8));
}

TEST_F(PrepareJobTest, GroupsThatDoNotDivideAreAProblem) {
    write({});
    QuantizeOptions options = with_recipe("quarot-rtn");
    options.recipe.weights.group_size = 20;
    expect_problem(options, ErrorCode::Usage, {"20"});
}

TEST_F(PrepareJobTest, SettingsThatMakeNoSenseAreAProblem) {
    write({});
    QuantizeOptions options = with_recipe("quarot-rtn");
    options.recipe.weights.bits = 1;
    expect_problem(options, ErrorCode::Usage, {"1"});
    options = with_recipe("quarot-rtn");
    options.recipe.rotation.residual_block = 24;
    expect_problem(options, ErrorCode::Usage, {"24"});
    options = with_recipe("quarot-rtn");
    options.recipe.weights.method = "magic";
    expect_problem(options, ErrorCode::Usage, {"`weights.method` is magic", "rtn, gptq"});
    expect_problem(gptq_options(1, 257), ErrorCode::Usage, {"257", "256"});
}

TEST_F(PrepareJobTest, TokensOutsideTheVocabularyAreAProblem) {
    write({.vocab = 300});
    QuantizeOptions options = gptq_options();
    options.calibration[1][5] = 299;
    EXPECT_TRUE(plan(options).problems.empty());
    options.calibration[1][5] = 300;
    expect_problem(options, ErrorCode::Corrupt, {"token id 300", "0 to 299"});
    options.calibration[1][5] = -1;
    expect_problem(options, ErrorCode::Corrupt, {"token id -1"});
}

TEST_F(PrepareJobTest, AFolderOfOursIsAProblem) {
    write({});
    quantize_model(in, dir / "done", with_recipe("rtn"));
    const PreparedJob found = prepare_job(SourceModel::open(dir / "done"), with_recipe("rtn"), out);
    ASSERT_EQ(found.problems.size(), 1u);
    EXPECT_EQ(found.problems.front().code(), ErrorCode::Unsupported);
}

TEST_F(PrepareJobTest, PlacesThatCannotBeUsedAreProblems) {
    write({});
    const QuantizeOptions options = with_recipe("quarot-rtn");
    fs::create_directory(out);
    expect_problem(options, ErrorCode::Usage, {out, "`overwrite`"});
    const auto first_problem = [&](const std::string& place, const std::string& work) {
        QuantizeOptions there = options;
        there.work_folder = work;
        const PreparedJob found = prepare_job(SourceModel::open(in), there, place);
        return found.problems.empty() ? Error(ErrorCode::Internal, "") : found.problems.front();
    };
    EXPECT_EQ(first_problem(in + "/sub", "").code(), ErrorCode::Usage);
    EXPECT_EQ(first_problem(dir / "missing/out", "").code(), ErrorCode::Io);
    EXPECT_EQ(first_problem(dir / "new", in + "/work").code(), ErrorCode::Usage);
    EXPECT_EQ(first_problem(dir / "new", dir / "new").code(), ErrorCode::Usage);
    EXPECT_EQ(first_problem(dir / "new", dir / "missing/work").code(), ErrorCode::Io);
    EXPECT_STREQ(first_problem(dir / "new", dir / "work").what(), "");
}

// What stands in the work folder after one of two layers.
TEST_F(PrepareJobTest, FinishedLayersAreFoundAndDeducted) {
    write({.vocab = 4096});
    const QuantizeOptions options = gptq_options();
    const PreparedJob fresh = plan(options);
    const ProgressCallback after_a_layer = [&](const ProgressEvent&) {
        return !fs::exists(out + ".work/layer-00000.safetensors");
    };
    {
        const Watch watch(after_a_layer);
        EXPECT_THROW(quantize_model(in, out, options), Error);
    }
    const auto looked_at = [&](const QuantizeOptions& how) {
        PreparedJob found = plan(how);
        look_at_work(found);
        return found;
    };
    const PreparedJob refused = looked_at(options);
    ASSERT_EQ(refused.problems.size(), 1u) << "as quantize refuses";
    expect_error(ErrorCode::Usage, {"`resume`"}, [&] { throw_first_problem(refused); });

    QuantizeOptions resumed = options;
    resumed.resume = true;
    const PreparedJob found = looked_at(resumed);
    EXPECT_TRUE(found.problems.empty());
    EXPECT_EQ(found.needs.finished_layers, 1);
    EXPECT_LT(found.needs.disk_bytes, fresh.needs.disk_bytes);
    EXPECT_EQ(found.needs.ram_bytes, fresh.needs.ram_bytes);
    resumed.recipe.weights.damp = 0.5;
    EXPECT_EQ(looked_at(resumed).problems.size(), 1u) << "work of another job";
}

TEST_F(PrepareJobTest, ResumingAFinishedJobIsAProblem) {
    write({});
    QuantizeOptions options = with_recipe("quarot-rtn");
    quantize_model(in, out, options);
    options.resume = true;
    const PreparedJob found = plan(options);
    ASSERT_EQ(found.problems.size(), 1u);
    expect_error(ErrorCode::Usage, {"nothing to resume"}, [&] { throw_first_problem(found); });
}

TEST_F(PrepareJobTest, RunsAsItWasPrepared) {
    write({});
    QuantizeOptions options = with_recipe("quarot-rtn");
    PreparedJob job = plan(options);
    options.shard_bytes = 20000;
    job.plan = plan(options).plan;
    ASSERT_GT(job.plan->shards.size(), 1u);
    run_job(job);
    for (const ShardPlan& shard : job.plan->shards) EXPECT_TRUE(fs::exists(out + "/" + shard.file));
}

TEST_F(PrepareJobTest, TellsTheSizeOfTheResult) {
    write({.vocab = 4096});
    const PreparedJob found = plan(with_recipe("quarot-rtn"));
    quantize_model(in, out, with_recipe("quarot-rtn"));
    const auto written = static_cast<int64_t>(fs::file_size(out + "/model.safetensors"));
    EXPECT_NEAR(static_cast<double>(found.needs.output_bytes), static_cast<double>(written),
                0.02 * static_cast<double>(written));
    EXPECT_EQ(found.needs.run_context, 256);
    EXPECT_GT(found.needs.run_ram_bytes, found.needs.output_bytes);
}

TEST_F(PrepareJobTest, OneReasonIsToldOnce) {
    write({});
    const PreparedJob found =
        prepare_job(SourceModel::open(in), with_recipe("quarot-rtn"), dir / "missing/out");
    EXPECT_EQ(found.problems.size(), 1u);
}

TEST_F(PrepareJobTest, WithoutAPlaceNoneIsLookedAt) {
    write({});
    const PreparedJob found = prepare_job(SourceModel::open(in), with_recipe("quarot-rtn"), "");
    EXPECT_TRUE(found.problems.empty());
    EXPECT_EQ(found.needs.disk_bytes, plan(with_recipe("quarot-rtn")).needs.disk_bytes);
}

TEST_F(PrepareJobTest, FilesThatMayNotGrowEnoughAreAProblem) {
    write({});
    rlimit old{};
    ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &old), 0);
    const rlimit low{1000, old.rlim_max};
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &low), 0);
    const PreparedJob found = plan(with_recipe("quarot-rtn"));
    setrlimit(RLIMIT_FSIZE, &old);
    ASSERT_EQ(found.problems.size(), 1u);
    expect_error(ErrorCode::Io, {"at most 1000"}, [&] { throw_first_problem(found); });
}

TEST_F(PrepareJobTest, MoreMemoryThanThereIsIsAProblem) {
    write({.max_positions = int64_t{1} << 20});
    QuantizeOptions options = with_recipe("quarot");  // windows as the recipe wants them
    options.recipe.calibration.seqlen = int64_t{1} << 20;
    options.recipe.calibration.n_samples = int64_t{1} << 16;
    expect_problem(options, ErrorCode::OutOfMemory, {"GB", in});
}

}  // namespace
}  // namespace quarot::quantize

// Mixtures of experts: do planted mistakes show, does calibration run experts one after another as
// the model runs them together, and what does GPTQ say of experts that few tokens reach?
#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <numeric>
#include <random>

#include "core/expect_error.h"
#include "core/watch.h"
#include "folder/source_model.h"
#include "golden/golden_support.h"
#include "io/checkpoint.h"
#include "model/layer_steps.h"
#include "quantize/calibration/calibration.h"
#include "quantize/job/job_memory.h"
#include "quantize/quantize_model.h"
#include "support/checkout.h"
#include "support/temp_dir.h"
#include "support/watched_backend.h"

namespace quarot::test {

namespace {

using model::InputSite;
using model::LinearRole;

constexpr double kShown = 1e-3;  // a planted mistake must show at least this, of the largest logit
constexpr int64_t kWindowTokens = 40;

std::string mixture_folder(const std::string& family) {
    return in_checkout("tests/golden/families/" + family);
}

std::vector<std::vector<int32_t>> random_windows(size_t n) {
    std::mt19937 random(5);
    std::vector<std::vector<int32_t>> windows(n);
    for (auto& window : windows) {
        for (int64_t t = 0; t < kWindowTokens; ++t) {
            window.push_back(static_cast<int32_t>(random() % 96));
        }
    }
    return windows;
}

class MixtureTeeth : public testing::TestWithParam<std::string> {
  protected:
    MixtureTeeth() : ids_(random_windows(1).front()) {
        quantize::quantize_model(in_, dir_ / "rotated",
                                 {.recipe = rotated_recipe(), .n_threads = 2});
        LoadedModel model = load(in_, {.context = 64});
        original_ = all_logits(model, ids_);
    }

    double difference_with(const std::function<void(LoadedModel&)>& mistake) {
        LoadedModel model = load(dir_ / "rotated", {.context = 64});
        mistake(model);
        return max_abs_difference(original_, all_logits(model, ids_)) / max_abs(original_);
    }
    int64_t last_layer() const { return folder::SourceModel::open(in_).config().n_layers - 1; }

    const std::string in_ = mixture_folder(GetParam());
    const TempDir dir_;
    std::vector<int32_t> ids_;
    std::vector<float> original_;
};

INSTANTIATE_TEST_SUITE_P(Families, MixtureTeeth, testing::Values("mixtral", "qwen3_moe"),
                         [](const auto& test) { return test.param; });

}  // namespace

TEST_P(MixtureTeeth, NoMistakeNoDifference) {
    EXPECT_LE(difference_with([](LoadedModel&) {}), 2e-5);
}

TEST_P(MixtureTeeth, ARouterThatIsNotRotatedShows) {
    EXPECT_GE(difference_with([&](LoadedModel& m) {
                  const model::LinearId id = {LinearRole::Router, last_layer()};
                  const auto source = folder::SourceModel::open(in_);
                  auto bare = std::make_shared<const Tensor>(source.dense(id));
                  m.weights->set_linear(id, {std::move(bare), {}}, *m.backend);
              }),
              kShown);
}

TEST_P(MixtureTeeth, AForgottenRenormalisationShows) {
    EXPECT_GE(difference_with([](LoadedModel& m) {
                  bool& renormalize = m.weights->config.mixture.renormalize;
                  renormalize = !renormalize;
              }),
              kShown);
}

TEST_P(MixtureTeeth, AForgottenTransformOfExpertsShows) {
    EXPECT_GE(difference_with([](LoadedModel& m) { m.weights->expert_ffn.reset(); }), kShown);
}

TEST_P(MixtureTeeth, ExpertsInAnotherOrderShow) {
    EXPECT_GE(
        difference_with([&](LoadedModel& m) {
            auto& layer = m.weights->layers[static_cast<size_t>(last_layer())];
            for (const LinearRole role : {LinearRole::Gate, LinearRole::Up, LinearRole::Down}) {
                auto& experts = layer.experts[static_cast<size_t>(role)];
                std::swap(experts[0], experts[1]);
            }
        }),
        kShown);
}

namespace {

// Sums of x x^T, [n, n], by plain loops.
using Gram = std::vector<double>;
void add_rows(const kernels::Rows& rows, int64_t first, int64_t count, Gram& gram) {
    const int64_t n = rows.cols;
    gram.resize(static_cast<size_t>(n * n));
    for (int64_t r = first; r < first + count; ++r) {
        const float* x = rows.f32(r);
        for (int64_t i = 0; i < n; ++i) {
            for (int64_t j = 0; j < n; ++j) {
                gram[static_cast<size_t>(i * n + j)] += double{x[i]} * double{x[j]};
            }
        }
    }
}

void expect_mean(const Gram& sums, int64_t n_tokens, const quantize::Hessian& hessian) {
    const auto found = hessian.on_host();
    ASSERT_EQ(found.size(), sums.size());
    double largest = 0.0, difference = 0.0;
    for (size_t i = 0; i < sums.size(); ++i) {
        const double mean = sums[i] / static_cast<double>(n_tokens);
        largest = std::max(largest, std::fabs(mean));
        difference = std::max(difference, std::fabs(mean - found[i]));
    }
    EXPECT_GT(largest, 0.0);
    EXPECT_LE(difference, 1e-6 * largest);
}

// What the first layer's experts and the second layer's attention read when the model runs whole.
struct WholeRun {
    std::map<std::pair<int64_t, InputSite>, Gram> experts;
    std::vector<int64_t> n_routed;
    Gram next_attention;

    WholeRun(LoadedModel& model, const std::vector<std::vector<int32_t>>& windows)
        : n_routed(static_cast<size_t>(model.weights->config.mixture.n_experts)) {
        for (const auto& window : windows) run(model, window);
    }

  private:
    void run(LoadedModel& m, const std::vector<int32_t>& ids) {
        const model::Weights& weights = *m.weights;
        model::StepMemory memory(weights, {.tokens = kWindowTokens}, *m.backend);
        const auto kv = m.backend->make_kv_store(weights.kv_descriptor(), 1);
        model::Batch batch;
        batch.token_ids = ids;
        batch.positions.resize(ids.size());
        std::iota(batch.positions.begin(), batch.positions.end(), 0);
        batch.first_token.push_back(kWindowTokens);
        batch.context_lengths = {kWindowTokens};
        batch.pages = {0};
        batch.first_page.push_back(1);
        const auto comm = std::move(m.backend->join({}).front());
        const kernels::BatchView view = memory.upload(batch);
        model::LayerSteps steps(weights, view, *kv, *m.backend, *comm, memory);
        model::Residual residual = {memory.residual.slice(0, kWindowTokens), {}};
        steps.embed(residual);
        const kernels::Rows attended = memory.attended.slice(0, kWindowTokens);
        steps.attention(0, steps.attention_input(0, residual), attended);
        steps.add_linear(0, LinearRole::O, steps.output_input(0, attended), residual);
        const model::SiteInput mlp_in = steps.mlp_input(0, residual);
        look(weights, memory, mlp_in, InputSite::Mlp);
        steps.gate_and_up(0, mlp_in);
        const model::SiteInput down_in = steps.down_input(0);
        look(weights, memory, down_in, InputSite::Down);
        steps.add_linear(0, LinearRole::Down, down_in, residual);
        const auto next = steps.attention_input(1, residual);
        add_rows(std::get<kernels::Rows>(next.main.rows), 0, kWindowTokens, next_attention);
    }

    void look(const model::Weights& weights, const model::StepMemory& memory,
              const model::SiteInput& in, InputSite site) {
        const model::Mixture& mixture = weights.config.mixture;
        const auto routing =
            kernels::place_routing(memory.routing, kWindowTokens, mixture.top_k, mixture.n_experts);
        for (int64_t e = 0; e < mixture.n_experts; ++e) {
            const int64_t first = routing.first_row[e], n = routing.first_row[e + 1] - first;
            add_rows(std::get<kernels::Rows>(in.main.rows), first, n, experts[{e, site}]);
            if (site == InputSite::Mlp) n_routed[static_cast<size_t>(e)] += n;
        }
    }
};

void set_dense(quantize::Calibration& calibration, const folder::SourceModel& source,
               const model::SiteRule& site) {
    for (const LinearRole role : site.roles) {
        const model::LinearId id = site.linear(role, 0);
        calibration.set_linear(id, {std::make_shared<const Tensor>(source.dense(id)), {}});
    }
}

}  // namespace

TEST(MixtureCalibration, RunsExpertsOneByOneAsTheModelRunsThemTogether) {
    const auto windows = random_windows(8);
    const std::string folder = mixture_folder("mixtral");
    const auto source = folder::SourceModel::open(folder);
    LoadedModel model = load(folder, {.context = 64});
    const WholeRun whole(model, windows);

    const Recipe recipe = full_precision_recipe();
    const auto rotation = rotate::make_rotation(recipe.rotation, source.config());
    ThreadPool pool(1);
    quantize::Calibration calibration(source.config(), recipe, "mixtral", windows, *model.backend);
    calibration.embed(
        quantize::RotatedWeight(
            quantize::linear_source(source, {LinearRole::Embedding}, recipe, rotation), rotation,
            source.config(), pool),
        [](std::span<float>) {});
    for (const model::NormRole role : norms_of(source.config(), 0)) {
        calibration.set_norm(role, source.norm_gain(role, 0));
    }
    for (const model::SiteRule& site : sites_of(source.config(), 0)) {
        SCOPED_TRACE(fmt::format("expert {}, {}", site.expert, site.name));
        if (site.expert >= 0) {
            const auto gathered = calibration.hessian_of(site.expert, site.site);
            const int64_t n_routed = whole.n_routed[static_cast<size_t>(site.expert)];
            EXPECT_EQ(gathered.n_routed, n_routed);
            ASSERT_FALSE(gathered.of_all_tokens) << n_routed;
            expect_mean(whole.experts.at({site.expert, site.site}), n_routed, gathered.hessian);
        }
        set_dense(calibration, source, site);
        if (site.expert >= 0 && site.site == InputSite::Down)
            calibration.finish_expert(site.expert);
    }
    calibration.finish_layer();
    for (const model::NormRole role : norms_of(source.config(), 1)) {
        calibration.set_norm(role, source.norm_gain(role, 1));
    }
    expect_mean(whole.next_attention, std::ssize(windows) * kWindowTokens,
                calibration.hessian(InputSite::Attention));
}

namespace {

quantize::QuantizeOptions gptq(size_t n_windows) {
    Recipe recipe = named_recipe("quarot");
    return {.recipe = recipe, .calibration = random_windows(n_windows), .n_threads = 2};
}

std::vector<std::byte> bytes_of(const std::string& folder, const std::string& name) {
    const Tensor tensor = io::Checkpoint::open(folder).read(name);
    return {tensor.data(), tensor.data() + tensor.bytes()};
}

}  // namespace

// 3 windows: some experts of 6 are reached by fewer tokens than they have inputs, others not.
TEST(MixtureGptq, SaysHowManyTokensReachedAnExpertAndWhoseHessianItHas) {
    const TempDir dir;
    const std::string folder = mixture_folder("mixtral");
    const auto config = folder::SourceModel::open(folder).config();
    const auto report = quantize::quantize_model(folder, dir / "out", gptq(3));
    int64_t n_own = 0, n_shared = 0;
    std::map<std::string, int64_t> of_role;
    for (const auto& linear : report.layers) {
        const bool of_expert = linear.name.find(".experts.") != std::string::npos;
        ASSERT_EQ(linear.tokens.has_value(), of_expert) << linear.name;
        if (!of_expert) continue;
        const bool is_down = linear.name.ends_with("down_proj");
        const int64_t inputs = is_down ? config.mixture.ffn : config.hidden;
        EXPECT_EQ(linear.of_all_tokens, *linear.tokens < inputs) << linear.name;
        ++(linear.of_all_tokens ? n_shared : n_own);
        of_role[linear.name.substr(linear.name.rfind('.'))] += *linear.tokens;
    }
    EXPECT_GT(n_own, 0);
    EXPECT_GT(n_shared, 0);
    for (const char* role : {".gate_proj", ".up_proj", ".down_proj"}) {
        EXPECT_EQ(of_role[role], 3 * kWindowTokens * config.mixture.top_k * config.n_layers)
            << role;
    }
    const io::Json provenance = io::Json::parse_file(dir / "out/quarot.json");
    int64_t n_named = 0;
    for (const io::Json& layer : provenance.at("layers").as_array()) {
        const io::Json* hessian = layer.find("hessian");
        if (hessian != nullptr && hessian->as_string() == "all tokens") ++n_named;
    }
    EXPECT_EQ(n_named, n_shared) << "quarot.json says it";
}

TEST(MixtureGptq, IsCloserThanRounding) {
    const TempDir dir;
    const std::string folder = mixture_folder("mixtral");
    const auto report = quantize::quantize_model(folder, dir / "out", gptq(16));
    double solved = 0.0, nearest = 0.0;
    for (const auto& linear : report.layers) {
        if (!linear.tokens) continue;
        solved += linear.weighted_error.value();
        nearest += linear.nearest_weighted_error.value();
    }
    EXPECT_LT(solved, 0.8 * nearest);
}

TEST(MixtureGptq, AStoppedJobGoesOnToTheSameFolder) {
    const TempDir dir;
    const std::string folder = mixture_folder("qwen3_moe");
    quantize::QuantizeOptions options = gptq(4);
    quantize::quantize_model(folder, dir / "whole", options);
    const ProgressCallback stop = [](const ProgressEvent& event) {
        return event.what != "quantizing" || event.done < 30;  // in the last layer
    };
    {
        const Watch watch(stop);
        EXPECT_THROW(quantize::quantize_model(folder, dir / "out", options), Error);
    }
    options.resume = true;
    quantize::quantize_model(folder, dir / "out", options);
    const auto names = io::Checkpoint::open(dir / "whole").names();
    ASSERT_EQ(io::Checkpoint::open(dir / "out").names(), names);
    for (const std::string& name : names) {
        EXPECT_EQ(bytes_of(dir / "out", name), bytes_of(dir / "whole", name)) << name;
    }
}

// One expert is in memory at a time; what grows is the router and its logits.
TEST(MixtureGptq, PlannedMemoryDoesNotGrowWithTheNumberOfExperts) {
    model::ModelConfig config = folder::SourceModel::open(mixture_folder("mixtral")).config();
    config.hidden = 1024;
    config.ffn = config.mixture.ffn = 2816;
    const Recipe recipe = named_recipe("quarot");
    const auto rotation = rotate::make_rotation(recipe.rotation, config);
    const auto bytes_with = [&](int64_t n_experts) {
        config.mixture.n_experts = n_experts;
        return quantize::job_ram_bytes({.config = config,
                                        .recipe = recipe,
                                        .rotation = rotation,
                                        .calibrated = true,
                                        .hessians = true,
                                        .n_tokens = 4096,
                                        .seqlen = 512});
    };
    const int64_t of_an_expert = 3 * config.hidden * config.mixture.ffn / 2;  // in codes
    EXPECT_LT(bytes_with(64) - bytes_with(8), of_an_expert / 4);
}

TEST(Mixtures, RoutersStay16BitsAndExpertsHaveNamesOfTheirOwn) {
    const TempDir dir;
    quantize::quantize_model(mixture_folder("mixtral"), dir / "out",
                             {.recipe = named_recipe("quarot-rtn"), .n_threads = 2});
    const auto checkpoint = io::Checkpoint::open(dir / "out");
    EXPECT_TRUE(checkpoint.contains("model.layers.1.mlp.gate.weight"));
    EXPECT_TRUE(checkpoint.contains("model.layers.1.mlp.experts.5.down_proj.weight_packed"));
    const auto out = folder::SourceModel::open(dir / "out");
    EXPECT_TRUE(out.is_dense({LinearRole::Router, 1}));
    EXPECT_EQ(out.parameter_count(),
              folder::SourceModel::open(mixture_folder("mixtral")).parameter_count());
}

namespace {

void expect_unsupported(const std::string& words, const std::function<void()>& run) {
    expect_error(ErrorCode::Unsupported, {words}, run);
}

// As a GPU's in this version.
class WithoutMixtures final : public WatchedBackend {
  public:
    using WatchedBackend::WatchedBackend;
    kernels::BackendTraits traits() const override {
        kernels::BackendTraits traits = WatchedBackend::traits();
        traits.mixtures = false;
        return traits;
    }
};

}  // namespace

TEST(Mixtures, RowsOfExpertsStandWhereTheirTokensStand) {
    Recipe recipe = named_recipe("quarot-rtn");
    recipe.activations.first_positions = 3;
    const TempDir dir;
    quantize::quantize_model(mixture_folder("mixtral"), dir / "out", {.recipe = recipe});
    LoadedModel model = load(dir / "out", {.context = 64});
    const std::vector<int32_t> ids = random_windows(1).front();
    EXPECT_EQ(all_logits(model, ids, 1), all_logits(model, ids));
}

TEST(Mixtures, ABackendWithoutThemIsRefusedByName) {
    WithoutMixtures backend(kernels::make_backend("cpu", {.n_threads = 1}));
    expect_unsupported("which the cpu backend does not run", [&] {
        folder::load_weights(folder::SourceModel::open(mixture_folder("mixtral")), {}, 64, backend);
    });
}

TEST(Mixtures, WhatTheyDoNotHaveIsRefusedByName) {
    const TempDir dir;
    const std::string folder = mixture_folder("mixtral");
    const auto source = folder::SourceModel::open(folder);
    const auto backend = kernels::make_backend("cpu", {.n_threads = 1});
    expect_unsupported("run on one rank", [&] {
        folder::load_weights(source, {}, 64, *backend, {.rank = 0, .size = 2});
    });
    expect_unsupported("one rank", [&] {
        model::with_column_blocks(named_recipe("quarot-rtn"), source.config(), 2);
    });
    Recipe refit = named_recipe("quarot");
    refit.weights.target = WeightTarget::Refit;
    refit.calibration.activations = CalibrationActivations::Quantized;
    for (const auto& [recipe, words] :
         {std::pair{named_recipe("quik-4b"), "keeps columns apart"},
          std::pair{named_recipe("smoothquant"), "smooths activations"},
          std::pair{refit, "refits weights"}}) {
        expect_unsupported(words, [&] {
            quantize::QuantizeOptions options = gptq(1);
            options.recipe = recipe;
            quantize::quantize_model(folder, dir / "out", options);
        });
    }
}

}  // namespace quarot::test

// The baselines compute what they claim: smoothing and an order of columns change nothing by
// themselves, and a folder with columns kept apart is its weights put together again.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "folder/stored_names.h"
#include "golden/golden_support.h"
#include "io/checkpoint.h"
#include "quantize/quantize_model.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"
#include "tensor/float_convert.h"

namespace quarot::test {

namespace {

constexpr double kRelativeLimit = 2e-5;  // of the largest logit

using model::LinearRole;

std::vector<int32_t> test_ids(int64_t n, int64_t vocab, int64_t seed = 0) {
    std::vector<int32_t> ids;
    for (int64_t i = seed; i < seed + n; ++i) {
        ids.push_back(static_cast<int32_t>((i * i * 13 + 5 * i + 1) % vocab));
    }
    return ids;
}

quantize::TokenWindows windows(int64_t vocab) {
    return {test_ids(64, vocab, 7), test_ids(64, vocab, 100), test_ids(64, vocab, 350)};
}

std::vector<float> logits_of(LoadedModel& model) {
    return all_logits(model, test_ids(90, model.weights->config.vocab));
}

std::vector<float> logits_of(const std::string& folder, LoadOptions options = {}) {
    options.context = 128;
    LoadedModel model = load(folder, options);
    return logits_of(model);
}

Recipe unquantized(Recipe recipe) {
    recipe.weights.bits = recipe.activations.bits = recipe.k.bits = recipe.v.bits = 16;
    return recipe;
}

void quantize_to(const std::string& in, const std::string& out, const Recipe& recipe) {
    const int64_t vocab = folder::SourceModel::open(in).config().vocab;
    quantize::quantize_model(
        in, out,
        {.recipe = recipe, .calibration = windows(vocab), .overwrite = true, .n_threads = 2});
}

void expect_smoothing_changes_nothing(const std::string& in, const std::string& out) {
    const auto original = logits_of(in);
    double worst = 0.0;
    for (int tenths = 1; tenths <= 9; ++tenths) {
        Recipe recipe = unquantized(named_recipe("smoothquant"));
        recipe.smoothing.alpha = tenths / 10.0;
        recipe.storage = DType::F32;
        quantize_to(in, out, recipe);
        worst = std::max(worst, relative_difference(original, logits_of(out)));
    }
    std::printf("smoothing: at most %.1e of the largest logit\n", worst);
    EXPECT_LE(worst, kRelativeLimit);
}

// One linear in two parts: the columns of a dense weight, some of them apart.
Tensor columns_of(const std::vector<float>& weight, int64_t n_cols,
                  std::span<const int32_t> columns) {
    const int64_t n_rows = std::ssize(weight) / n_cols;
    Tensor part(DType::F32, {n_rows, std::ssize(columns)});
    float* to = part.as<float>();
    for (int64_t r = 0; r < n_rows; ++r) {
        for (const int32_t c : columns) *to++ = weight[static_cast<size_t>(r * n_cols + c)];
    }
    return part;
}

std::vector<int32_t> shuffled(int64_t n) {
    std::vector<int32_t> order(static_cast<size_t>(n));
    std::iota(order.begin(), order.end(), 0);
    uint32_t state = 12345;
    for (size_t i = order.size(); i > 1; --i) {
        state = state * 1664525u + 1013904223u;
        std::swap(order[i - 1], order[(state >> 8) % i]);
    }
    return order;
}

enum class Order { Identity, Shuffled };

// Splits every site of a loaded, unquantized model.
void split_columns(const std::string& folder, Order wanted, int64_t n_outliers,
                   LoadedModel& model) {
    const auto source = folder::SourceModel::open(folder);
    const auto dense = [](Tensor tensor) {
        return std::shared_ptr<const Tensor>(std::make_shared<Tensor>(std::move(tensor)));
    };
    for (int64_t layer = 0; layer < source.config().n_layers; ++layer) {
        model::LayerWeights& weights = model.weights->layers[static_cast<size_t>(layer)];
        for (const model::SiteRule& site : sites_of(source.config(), layer)) {
            const int64_t n = in_features(site.roles.front(), source.config());
            std::vector<int32_t> order = shuffled(n);
            if (wanted == Order::Identity) std::sort(order.begin(), order.end());
            weights.splits[static_cast<size_t>(site.site)] =
                model::upload_split(order, n_outliers, *model.backend);
            const auto all = std::span<const int32_t>(order);
            const auto border = static_cast<size_t>(n - n_outliers);
            for (const LinearRole role : site.roles) {
                const Tensor rows =
                    source.dense_rows({role, layer}, 0, out_features(role, source.config()));
                const std::vector<float> w(rows.as<float>(),
                                           rows.as<float>() + element_count(rows.shape()));
                const auto at = static_cast<size_t>(role);
                weights.linears[at] = model.backend->prepare_linear(
                    {dense(columns_of(w, n, all.first(border))), source.bias({role, layer})});
                if (n_outliers == 0) continue;
                weights.outliers[at] = model.backend->prepare_linear(
                    {dense(columns_of(w, n, all.subspan(border))), {}});
            }
        }
    }
    // An engine takes its memory when it is made, for sites as they are then.
    const runtime::EngineLimits limits = model.engine->limits();
    model.engine = std::make_unique<runtime::Engine>(*model.weights, *model.backend, limits);
}

TinyModelOptions shape() {
    return {.hidden = 64, .ffn = 96, .n_heads = 4, .n_kv_heads = 2, .head_dim = 16, .seed = 5};
}

TinyModelOptions with_biases(TinyModelOptions options) {
    options.attention_bias = options.mlp_bias = true;
    return options;
}

// Of tiny shapes, groups of 16.
Recipe atom() {
    Recipe recipe = named_recipe("atom-128g");
    recipe.weights.group_size = recipe.activations.group_size = 16;
    return recipe;
}

constexpr auto kBackends = {"reference", "cpu"};

}  // namespace

TEST(Smoothing, OfEveryAlphaLeavesUnquantizedLogitsOfRandomModels) {
    const TempDir dir;
    int i = 0;
    for (TinyModelOptions options : {shape(), with_biases(shape())}) {
        for (const DType dtype : {DType::F32, DType::BF16}) {
            options.dtype = dtype;
            const std::string in = dir / std::to_string(i++);
            write_tiny_model(in, options);
            expect_smoothing_changes_nothing(in, dir / "out");
        }
    }
}

TEST(Smoothing, OfEveryAlphaLeavesUnquantizedLogitsOfTinyNovels) {
    const std::string in = model_folder("tiny-novels");
    QUAROT_NEED(in, "tiny-novels");
    const TempDir dir;
    expect_smoothing_changes_nothing(in, dir / "out");
}

// What Atom does to a model before it rounds. Sums run in another order, hence not bit for bit.
TEST(ColumnOrder, LeavesUnquantizedLogits) {
    const TempDir dir;
    write_tiny_model(dir / "in", with_biases(shape()));
    const std::string novels = model_folder("tiny-novels");
    for (const std::string& in : {dir / "in", novels}) {
        if (in.empty()) continue;
        for (const char* device : kBackends) {
            if (in == novels && std::string(device) == "reference") continue;  // slow
            LoadedModel model = load(in, {.device = device, .context = 128});
            const auto original = logits_of(model);
            for (const int64_t n_outliers : {0, 16}) {
                split_columns(in, Order::Shuffled, n_outliers, model);
                const double difference = relative_difference(original, logits_of(model));
                std::printf("%s, %d apart: %.1e of the largest logit\n", device,
                            static_cast<int>(n_outliers), difference);
                EXPECT_LE(difference, kRelativeLimit);
            }
        }
    }
}

TEST(ColumnOrder, AsItWasWithNothingApartChangesNoBit) {
    const TempDir dir;
    write_tiny_model(dir / "in", with_biases(shape()));
    for (const char* device : kBackends) {
        LoadedModel model = load(dir / "in", {.device = device, .context = 128});
        const auto original = logits_of(model);
        split_columns(dir / "in", Order::Identity, 0, model);
        EXPECT_EQ(original, logits_of(model)) << device;
    }
}

// The folder's codes, scales, outliers and order put together as an ordinary model.
TEST(Outliers, AFolderComputesWhatItsWeightsSay) {
    const TempDir dir;
    const TinyModelOptions options = with_biases(shape());
    write_tiny_model(dir / "in", options);
    for (const Recipe& recipe : {named_recipe("quik-4b"), atom()}) {
        quantize_to(dir / "in", dir / "out", recipe);
        const auto source = folder::SourceModel::open(dir / "out");
        TinyModel whole = make_tiny_model(options);
        for (int64_t layer = 0; layer < source.config().n_layers; ++layer) {
            for (const model::LinearId& id : linears_of(source.config(), layer)) {
                const QuantizedMatrix main = source.quantized(id);
                const auto outliers = source.outliers(id);
                const std::vector<int32_t> order = source.column_order(id);
                std::vector<float> w(static_cast<size_t>(main.rows) * order.size());
                std::vector<float> row(order.size());
                const auto n_main = static_cast<size_t>(main.cols);
                for (int64_t r = 0; r < main.rows; ++r) {
                    main.dequantize_row(r, std::span(row).first(n_main));
                    const auto rest = std::span(row).subspan(n_main);
                    if (const auto* codes = std::get_if<QuantizedMatrix>(&outliers->matrix)) {
                        codes->dequantize_row(r, rest);
                    } else {
                        const auto& kept =
                            *std::get<std::shared_ptr<const Tensor>>(outliers->matrix);
                        widen(kept.dtype(), kept.data() + r * kept.cols() * size_of(kept.dtype()),
                              rest);
                    }
                    for (size_t c = 0; c < row.size(); ++c) {
                        w[static_cast<size_t>(r) * row.size() + static_cast<size_t>(order[c])] =
                            row[c];
                    }
                }
                whole.tensors[folder::linear_name(id) + ".weight"] =
                    make_stored_tensor(DType::F32, {main.rows, std::ssize(order)}, w);
            }
        }
        const std::string folder = dir / ("whole-" + recipe.name);
        write_model(whole, folder);
        const LoadOptions full = {
            .changes = {{"activations.bits", 16}, {"k.bits", 16}, {"v.bits", 16}}};
        const auto expected = logits_of(folder);
        for (const char* device : kBackends) {
            LoadOptions load_options = full;
            load_options.device = device;
            EXPECT_LE(relative_difference(expected, logits_of(dir / "out", load_options)),
                      kRelativeLimit)
                << recipe.name << " on " << device;
        }
    }
}

TEST(Outliers, GoWithARotation) {
    const TempDir dir;
    write_tiny_model(dir / "in", with_biases(shape()));
    Recipe recipe = named_recipe("quarot");
    recipe.weights.bits = 8;
    recipe.activations.bits = recipe.k.bits = recipe.v.bits = 16;
    const auto original = logits_of(dir / "in");
    quantize_to(dir / "in", dir / "none", recipe);
    const double without = relative_difference(original, logits_of(dir / "none"));
    recipe.outliers = named_recipe("quik-4b").outliers;
    quantize_to(dir / "in", dir / "apart", recipe);
    for (const char* device : kBackends) {
        const auto logits = logits_of(dir / "apart", {.device = device});
        EXPECT_LE(relative_difference(original, logits), 2.0 * without) << device;
    }
}

// Rounding may tip over where sums differ in their last bits, so most logits agree, not all.
TEST(Outliers, BackendsAgreeOnQuantizedActivations) {
    const TempDir dir;
    write_tiny_model(dir / "in", shape());
    for (const Recipe& recipe : {named_recipe("quik-4b"), atom()}) {
        quantize_to(dir / "in", dir / "out", recipe);
        const auto full = logits_of(dir / "in");
        const auto reference = logits_of(dir / "out", {.device = "reference"});
        const auto cpu = logits_of(dir / "out", {.device = "cpu"});
        const double loss = relative_difference(full, reference);
        EXPECT_LE(relative_difference(reference, cpu), 0.5 * loss) << recipe.name;
        EXPECT_LE(loss, 1.0) << recipe.name;
    }
}

TEST(Outliers, QuikWithNoneIsGptq) {
    const TempDir dir;
    write_tiny_model(dir / "in", shape());
    Recipe quik = named_recipe("quik-4b");
    quik.outliers.share = 0.0;
    Recipe gptq = named_recipe("rtn");
    gptq.weights.method = "gptq";
    gptq.activations = quik.activations;
    gptq.down_bits = quik.down_bits;
    quantize_to(dir / "in", dir / "gptq", gptq);
    quantize_to(dir / "in", dir / "quik", quik);
    const auto a = io::Checkpoint::open(dir / "gptq"), b = io::Checkpoint::open(dir / "quik");
    ASSERT_EQ(a.names(), b.names());
    for (const std::string& name : a.names()) {
        const Tensor x = a.read(name), y = b.read(name);
        ASSERT_EQ(x.bytes(), y.bytes());
        EXPECT_TRUE(std::equal(x.data(), x.data() + x.bytes(), y.data())) << name;
    }
    EXPECT_EQ(logits_of(dir / "gptq"), logits_of(dir / "quik"));
}

}  // namespace quarot::test

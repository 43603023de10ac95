// One meaning, our own paths: in quantized recipes the same tokens give the same bits, whatever the
// threads, the chunks and the company in the batch.

#include "golden/golden_support.h"
#include "quantize/quantize_model.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace quarot::test {

namespace {

// What is run: the bundled model, and made-up ones with awkward widths.
struct Source {
    std::string name;
    TinyModelOptions shape;  // unused for tiny-novels
    int64_t heads_block = 0, ffn_block = 0;
    int64_t first_positions = 0;  // in more bits
    kernels::KvAxis k_axis = kernels::KvAxis::Token;
    DType v_scales = DType::F32;
};

class SameBits : public testing::TestWithParam<std::tuple<Source, std::string>> {
  protected:
    void SetUp() override {
        const auto& [source, device] = GetParam();
        std::string in = model_folder("tiny-novels");
        if (!source.name.starts_with("tiny_novels")) {
            in = dir_ / "in";
            write_tiny_model(in, source.shape);
        }
        QUAROT_NEED(in, "tiny-novels");
        folder_ = dir_ / "quantized";
        Recipe recipe = named_recipe("quarot-rtn");
        recipe.activations.first_positions = source.first_positions;
        recipe.k.axis = source.k_axis;
        recipe.v.scales = source.v_scales;
        if (source.shape.tied) {
            recipe.tied_rotation = true;
            recipe.head_bits = recipe.embedding_bits = 8;
        }
        recipe.rotation.heads_block = source.heads_block;
        recipe.rotation.ffn_block = source.ffn_block;
        quantize::quantize_model(in, folder_, {.recipe = recipe});
    }

    LoadedModel load(int64_t n_sequences = 1, int n_threads = 2) const {
        return test::load(folder_, {.device = std::get<std::string>(GetParam()),
                                    .n_threads = n_threads,
                                    .context = 256,
                                    .n_sequences = n_sequences});
    }

    std::vector<int32_t> some_ids(int64_t n, int64_t vocab) const {
        std::vector<int32_t> ids;
        for (int64_t i = 0; i < n; ++i) {
            ids.push_back(static_cast<int32_t>((i * i * 31 + i * 7 + 3) % vocab));
        }
        return ids;
    }

    TempDir dir_;
    std::string folder_;
};

TinyModelOptions awkward_shape() {
    return {.hidden = 90,
            .ffn = 172,
            .n_heads = 7,
            .n_kv_heads = 1,
            .head_dim = 6,
            .vocab = 300,
            .attention_bias = true,
            .mlp_bias = true};
}

// Embedding and head are one matrix of codes.
TinyModelOptions tied_shape() {
    TinyModelOptions options = awkward_shape();
    options.tied = true;
    return options;
}

}  // namespace

TEST_P(SameBits, OverOneTwoAndThreeThreads) {
    std::vector<float> expected;
    for (const int n_threads : {1, 2, 3}) {
        LoadedModel model = load(1, n_threads);
        const auto logits = all_logits(model, some_ids(150, model.weights->config.vocab));
        if (expected.empty()) expected = logits;
        EXPECT_EQ(logits, expected) << n_threads << " threads";
    }
}

TEST_P(SameBits, WholeInChunksAndTokenByToken) {
    LoadedModel model = load();
    const auto ids = some_ids(150, model.weights->config.vocab);
    const auto whole = all_logits(model, ids);
    EXPECT_EQ(all_logits(model, ids, 7), whole);
    EXPECT_EQ(all_logits(model, ids, 1), whole);
    EXPECT_EQ(all_logits(model, ids, 64), whole);
}

TEST_P(SameBits, ThreeSequencesOfDifferentLengthsInOneBatch) {
    LoadedModel model = load(3);
    const int64_t vocab = model.weights->config.vocab;
    const std::vector<int32_t> lengths = {130, 1, 67};
    std::vector<std::vector<int32_t>> ids;
    std::vector<std::vector<float>> alone, together;
    for (const int32_t n : lengths) {
        ids.push_back(some_ids(n + 5, vocab));
        ids.back().erase(ids.back().begin(), ids.back().begin() + 5);
        alone.push_back(all_logits(model, ids.back()));
        together.emplace_back(alone.back().size());
    }
    std::vector<std::unique_ptr<runtime::ScopedRequest>> requests;
    for (size_t i = 0; i < ids.size(); ++i) {
        requests.push_back(std::make_unique<runtime::ScopedRequest>(
            *model.engine, all_of(ids[i], ids[i].size()),
            copy_rows(together[i], static_cast<size_t>(vocab))));
    }
    for (const auto& request : requests) request->wait();
    EXPECT_EQ(together, alone);
}

TEST_P(SameBits, DecodeStepsMixedWithAPrefill) {
    LoadedModel model = load(2);
    const int64_t vocab = model.weights->config.vocab;
    const auto first = some_ids(80, vocab);
    auto second = some_ids(100, vocab);
    std::reverse(second.begin(), second.end());
    const auto first_alone = all_logits(model, first);
    const auto second_alone = all_logits(model, second);

    std::vector<float> a(first_alone.size()), b(second_alone.size());
    const auto width = static_cast<size_t>(vocab);
    runtime::ScopedRequest decode(*model.engine, all_of(std::span(first).first(79), first.size()),
                                  copy_rows(a, width));
    decode.wait();
    decode.give(first.back());
    runtime::ScopedRequest prefill(*model.engine, all_of(second, second.size()),
                                   copy_rows(b, width));
    decode.wait();
    EXPECT_EQ(a, first_alone);
    EXPECT_EQ(b, second_alone) << "both ran in one step";
}

std::string name_of_case(const testing::TestParamInfo<SameBits::ParamType>& test) {
    return std::get<0>(test.param).name + "_" + std::get<1>(test.param);
}

INSTANTIATE_TEST_SUITE_P(Formats, SameBits,
                         testing::Combine(testing::Values(Source{.name = "first_positions",
                                                                 .shape = awkward_shape(),
                                                                 .first_positions = 3},
                                                          Source{
                                                              .name = "tiny_novels_cache_of_halves",
                                                              .k_axis = kernels::KvAxis::Channel,
                                                              .v_scales = DType::F16}),
                                          testing::ValuesIn(fast_devices())),
                         name_of_case);

INSTANTIATE_TEST_SUITE_P(
    Models, SameBits,
    testing::Combine(testing::Values(Source{"tiny_novels", {}}, Source{"small", {}},
                                     Source{"awkward", awkward_shape()},
                                     Source{"tied", tied_shape()}, Source{"blocks", {}, 2, 16}),
                     testing::ValuesIn(fast_devices())),
    name_of_case);

}  // namespace quarot::test

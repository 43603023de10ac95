// A tied matrix of codes is one matrix in the file, in `weight_bytes` and in memory.
#include <gtest/gtest.h>
#include <malloc.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "folder/memory_need.h"
#include "golden/golden_support.h"
#include "model/role_formats.h"
#include "quantize/quantize_model.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace quarot::test {

namespace {

// Most of the model is its embedding.
TinyModelOptions wide_vocabulary() {
    return {.hidden = 128, .ffn = 128, .n_layers = 1, .vocab = 60000, .tied = true};
}

int64_t resident_bytes() {
    int64_t all = 0, resident = 0;
    std::ifstream("/proc/self/statm") >> all >> resident;
    return resident * 4096;
}

int64_t file_bytes(const std::string& folder) {
    return static_cast<int64_t>(std::filesystem::file_size(folder + "/model.safetensors"));
}

}  // namespace

TEST(SmallFiles, ATiedMatrixOfCodesIsHeldOnce) {
    const TempDir dir;
    write_tiny_model(dir / "in", wide_vocabulary());
    Recipe recipe = named_recipe("quarot-rtn");
    recipe.tied_rotation = true;
    recipe.head_bits = recipe.embedding_bits = 8;
    quantize::quantize_model(dir / "in", dir / "out", {.recipe = recipe, .n_threads = 2});
    const auto source = folder::SourceModel::open(dir / "out");
    const int64_t codes = 60000 * 128;
    EXPECT_LE(file_bytes(dir / "out"), codes * 21 / 20);

    const auto backend = kernels::make_backend("cpu", {.n_threads = 1});
    const int64_t predicted = folder::weight_bytes(source, recipe, {}, *backend);
    EXPECT_LE(predicted, codes * 11 / 10) << "with 12 bytes a row";
    malloc_trim(0);
    const int64_t before = resident_bytes();
    const model::Weights weights = load_weights(source, {}, 64, *backend);
    malloc_trim(0);
    const int64_t taken = resident_bytes() - before;
    std::printf("%.1f MB in memory, %.1f MB predicted\n", static_cast<double>(taken) * 1e-6,
                static_cast<double>(predicted) * 1e-6);
    EXPECT_GE(taken, predicted * 3 / 4) << "the measurement sees it";
    EXPECT_LE(taken, predicted * 3 / 2) << "a second copy would be seen";
    EXPECT_NE(weights.embedding, nullptr);
}

// Another backend may widen the table; then it says so.
TEST(SmallFiles, AWidenedTableIsCounted) {
    const TempDir dir;
    write_tiny_model(dir / "in", wide_vocabulary());
    Recipe recipe = named_recipe("rtn");
    recipe.head_bits = recipe.embedding_bits = 8;
    quantize::quantize_model(dir / "in", dir / "out", {.recipe = recipe, .n_threads = 2});
    const auto source = folder::SourceModel::open(dir / "out");
    const auto reference = kernels::make_backend("reference", {.n_threads = 1});
    ASSERT_FALSE(reference->traits().embeds_codes);
    int64_t codes = reference->codes_bytes({.rows = 60000, .cols = 128, .bits = 8});  // the head's
    for (const model::LinearId& id : linears_of(source.config())) {
        codes += reference->codes_bytes(codes_form(
            recipe, id.role, out_features(id, source.config()), in_features(id, source.config())));
    }
    EXPECT_EQ(folder::weight_bytes(source, recipe, {}, *reference), 60000 * 128 * 4 + codes);
}

}  // namespace quarot::test

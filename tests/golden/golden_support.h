// Models, reference values and loaded engines for the golden tests.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "folder/load_weights.h"
#include "io/json.h"
#include "kernels/backend.h"
#include "model/weights.h"
#include "runtime/engine.h"

namespace quarot::test {

// Folder of a model, or "" if this checkout lacks it: "tiny-novels" (bundled), "stories260K"
// (../shared), "smollm2-135m" (QUAROT_SMOLLM2 or build/models, made by `make models`),
// "qwen2.5-coder-0.5b" (build/models, made by ../shared/models/make_qwen25_coder.py).
std::string model_folder(const std::string& name);
// Folder with reference.json and reference.safetensors of a model, or "".
std::string reference_folder(const std::string& name);
// A file under ../shared/data, or "" if absent.
std::string shared_data(const std::string& path);

// Names of the backends that run whole models fast here: "cpu", and "cuda" where a GPU is.
std::vector<std::string> fast_devices();

// A model on a backend of its own, with an engine.
struct LoadedModel {
    std::unique_ptr<kernels::Backend> backend;
    std::unique_ptr<model::Weights> weights;
    std::unique_ptr<runtime::Engine> engine;
};

struct LoadOptions {
    std::string device = "cpu";
    int n_threads = 2;
    DType work = kernels::BackendOptions{}.work;  // cuda only
    int64_t context = 1024;
    int64_t n_sequences = 1;
    SettingChanges changes;
};

LoadedModel load(const std::string& folder, const LoadOptions& options = {});
// On another model's backend, which must outlive it; LoadedModel::backend is null.
LoadedModel load_on(kernels::Backend& backend, const std::string& folder,
                    const LoadOptions& options = {});

// fp32 logits of every position, [ids.size(), vocab], from an empty cache, taken in chunks of
// `piece` tokens (0: whole).
std::vector<float> all_logits(LoadedModel& model, const std::vector<int32_t>& ids,
                              int64_t piece = 0);

// A request for the logits of all its tokens, and the look that puts them at their positions of
// logits [max_tokens, vocab].
runtime::Request all_of(std::span<const int32_t> ids, size_t max_tokens);
runtime::Look copy_rows(std::vector<float>& logits, size_t vocab);

// Rotated as quarot-rtn, nothing quantized, stored in fp32: it computes what the original does.
Recipe rotated_recipe();

// `from`, a folder of one file, again as `to`, with one fp32 tensor replaced.
void replace_tensor(const std::string& from, const std::string& to, const std::string& name,
                    const std::vector<float>& values);

double max_abs_difference(const std::vector<float>& a, const std::vector<float>& b);
double max_abs(const std::vector<float>& a);
// The largest difference, of the largest value of a.
double relative_difference(const std::vector<float>& a, const std::vector<float>& b);

std::vector<int32_t> int_list(const io::Json& array);

}  // namespace quarot::test

// Skips a test, loudly, that needs something this checkout lacks.
#define QUAROT_NEED(path, what)                                                       \
    if ((path).empty()) {                                                             \
        std::fprintf(stderr, "SKIPPED: %s is not here\n", std::string(what).c_str()); \
        GTEST_SKIP() << (what) << " is not here";                                     \
    }

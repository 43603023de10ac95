#include "quantize.h"

#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <quarot/quantize.h>

#include <cstdio>
#include <filesystem>
#include <string>
#include <utility>

#include "call.h"

namespace quarot::python {

using namespace nb::literals;

namespace {

template <typename Value>
using Maybe = std::optional<Value>;

QuantizeSummary quantize(const std::filesystem::path& source, const std::filesystem::path& out,
                         std::string recipe, Maybe<int> weight_bits, Maybe<int> activation_bits,
                         Maybe<int> kv_bits, Maybe<int> head_bits, Maybe<int> embedding_bits,
                         Maybe<bool> keep_tied, Maybe<std::string> method,
                         Maybe<int64_t> group_size, Maybe<int64_t> activation_group_size,
                         Maybe<float> activation_clip, Maybe<float> kv_clip,
                         Maybe<std::string> rotation, const Maybe<std::filesystem::path>& r1_file,
                         Maybe<std::string> dtype, Maybe<uint32_t> seed,
                         std::string calibration_text, Maybe<int64_t> calibration_windows,
                         Maybe<int64_t> window_tokens, bool overwrite, bool resume,
                         const Maybe<std::filesystem::path>& work_folder, int threads,
                         const ProgressFunction& progress) {
    const QuantizeOptions options = {
        .recipe = std::move(recipe),
        .weight_bits = weight_bits,
        .activation_bits = activation_bits,
        .kv_bits = kv_bits,
        .head_bits = head_bits,
        .embedding_bits = embedding_bits,
        .keep_tied = keep_tied,
        .method = std::move(method),
        .group_size = group_size,
        .activation_group_size = activation_group_size,
        .activation_clip = activation_clip,
        .kv_clip = kv_clip,
        .rotation = std::move(rotation),
        .r1_file = r1_file ? r1_file->string() : "",
        .dtype = std::move(dtype),
        .seed = seed,
        .calibration_text = std::move(calibration_text),
        .calibration_windows = calibration_windows,
        .window_tokens = window_tokens,
        .overwrite = overwrite,
        .resume = resume,
        .work_folder = work_folder ? work_folder->string() : "",
        .threads = threads,
    };
    return without_gil(progress, [&](const ProgressCallback& on_progress) {
        return quantize_folder(source.string(), out.string(), options, on_progress);
    });
}

std::string shown(const QuantizeSummary& summary) {
    char text[128];
    std::snprintf(text, sizeof text,
                  "QuantizeSummary(recipe='%s', bits_per_weight=%.4g, seconds=%.3g)",
                  summary.recipe.c_str(), summary.bits_per_weight, summary.seconds);
    return text;
}

constexpr const char* kDoc =
    "Rotates and quantizes a Hugging Face model folder. `out` appears whole or not at all.\n\n"
    "Settings that are None are the recipe's (see recipes()). Bits are 2 to 8, or 16 for what is\n"
    "not quantized. `calibration_text` is the text itself, which the method \"gptq\" looks at.\n"
    "`progress(what, done, total)` is called after each step; returning False ends the call with\n"
    "Interrupted. A job that was ended goes on with `resume=True`.";

}  // namespace

void bind_quantize(nb::module_& module) {
    nb::class_<QuantizeSummary>(module, "QuantizeSummary", "What quantize() made.")
        .def_ro("recipe", &QuantizeSummary::recipe, "\"custom\" if no recipe has these settings.")
        .def_ro("bits_per_weight", &QuantizeSummary::bits_per_weight,
                "Of the quantized weights, scales counted.")
        .def_ro("seconds", &QuantizeSummary::seconds)
        .def("__repr__", shown);
    module.def("quantize", quantize, "source"_a, "out"_a, nb::kw_only(), "recipe"_a = "quarot",
               "weight_bits"_a = nb::none(), "activation_bits"_a = nb::none(),
               "kv_bits"_a = nb::none(), "head_bits"_a = nb::none(),
               "embedding_bits"_a = nb::none(), "keep_tied"_a = nb::none(), "method"_a = nb::none(),
               "group_size"_a = nb::none(), "activation_group_size"_a = nb::none(),
               "activation_clip"_a = nb::none(), "kv_clip"_a = nb::none(),
               "rotation"_a = nb::none(), "r1_file"_a = nb::none(), "dtype"_a = nb::none(),
               "seed"_a = nb::none(), "calibration_text"_a = "",
               "calibration_windows"_a = nb::none(), "window_tokens"_a = nb::none(),
               "overwrite"_a = false, "resume"_a = false, "work_folder"_a = nb::none(),
               "threads"_a = 0, "progress"_a = nb::none(), kDoc);
}

}  // namespace quarot::python

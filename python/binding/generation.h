// What a generation takes and gives, in Python's words.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/variant.h>
#include <nanobind/stl/vector.h>
#include <quarot/model.h>
#include <quarot/session.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace quarot::python {

namespace nb = nanobind;

// A text, token ids, or a conversation of {"role": ..., "content": ...}.
using Prompt = std::variant<std::string, std::vector<int32_t>,
                            std::vector<std::map<std::string, std::string>>>;

// The prompt's tokens. Without the GIL.
std::vector<int32_t> prompt_ids(const Model& model, const Prompt& prompt);

void bind_generation(nb::module_& module);

// model.name(prompt, *, options): what make(model, ids, options) returns.
template <typename Make>
void def_generation(nb::class_<Model>& model, const char* name, const char* doc, const Make& make) {
    using namespace nb::literals;
    const GenerateOptions usual;
    model.def(
        name,
        [make](const Model& self, const Prompt& prompt, std::optional<int64_t> max_tokens,
               float temperature, int64_t top_k, float top_p, float min_p, float repetition_penalty,
               uint64_t seed, std::vector<std::string> stop, bool ignore_end_tokens) {
            return make(self, prompt,
                        GenerateOptions{.max_tokens = max_tokens.value_or(-1),
                                        .temperature = temperature,
                                        .top_k = top_k,
                                        .top_p = top_p,
                                        .min_p = min_p,
                                        .repetition_penalty = repetition_penalty,
                                        .seed = seed,
                                        .stops = std::move(stop),
                                        .ignore_end_tokens = ignore_end_tokens});
        },
        "prompt"_a, nb::kw_only(), "max_tokens"_a = nb::none(), "temperature"_a = usual.temperature,
        "top_k"_a = usual.top_k, "top_p"_a = usual.top_p, "min_p"_a = usual.min_p,
        "repetition_penalty"_a = usual.repetition_penalty, "seed"_a = usual.seed,
        "stop"_a = nb::make_tuple(), "ignore_end_tokens"_a = false, doc);
}

}  // namespace quarot::python

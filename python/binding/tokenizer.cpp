#include "tokenizer.h"

#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>
#include <quarot/tokenizer.h>

#include <filesystem>
#include <string>
#include <vector>

#include "call.h"

namespace quarot::python {

using namespace nb::literals;

void bind_tokenizer(nb::module_& module) {
    nb::class_<Tokenizer>(module, "Tokenizer",
                          "Text to token ids and back. Any number of threads may use one.")
        .def_static(
            "from_pretrained",
            [](const std::filesystem::path& path) {
                return without_gil([&] { return Tokenizer::load(path.string()); });
            },
            "path"_a, "Reads tokenizer.json of a model folder.")
        .def(
            "encode",
            [](const Tokenizer& tokenizer, const std::string& text, bool add_special_tokens) {
                const auto special = add_special_tokens ? SpecialTokens::Add : SpecialTokens::Leave;
                return without_gil([&] { return tokenizer.encode(text, special); });
            },
            "text"_a, nb::kw_only(), "add_special_tokens"_a = true,
            "Token ids; with those that tokenizer.json puts around a text, unless told otherwise.")
        .def(
            "decode",
            [](const Tokenizer& tokenizer, const std::vector<int32_t>& ids,
               bool skip_special_tokens) {
                return without_gil([&] { return tokenizer.decode(ids, skip_special_tokens); });
            },
            "ids"_a, nb::kw_only(), "skip_special_tokens"_a = true)
        .def_prop_ro("vocabulary_size", &Tokenizer::vocabulary_size, "Highest id + 1.");
}

}  // namespace quarot::python

#include "model.h"

#include <nanobind/ndarray.h>
#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/unique_ptr.h>
#include <quarot/session.h>

#include <filesystem>
#include <memory>

#include "call.h"
#include "generation.h"
#include "text_stream.h"

namespace quarot::python {

using namespace nb::literals;

namespace {

using Matrix = nb::ndarray<nb::numpy, float, nb::ndim<2>>;
using TextPair = std::pair<std::string, std::string>;
using TokenPair = std::pair<std::vector<int32_t>, std::vector<int32_t>>;
using Pairs = std::variant<std::vector<TextPair>, std::vector<TokenPair>>;

Model from_pretrained(const std::filesystem::path& path, const std::string& device, int threads,
                      int64_t context, int64_t sequences, std::optional<int> activation_bits,
                      std::optional<int> kv_bits, std::optional<float> activation_clip,
                      std::optional<float> kv_clip, const ProgressFunction& progress) {
    const LoadOptions options = {.device = device,
                                 .threads = threads,
                                 .context = context,
                                 .sequences = sequences,
                                 .activation_bits = activation_bits,
                                 .kv_bits = kv_bits,
                                 .activation_clip = activation_clip,
                                 .kv_clip = kv_clip};
    return without_gil(progress, [&](const ProgressCallback& on_progress) {
        return Model::load(path.string(), options, on_progress);
    });
}

// The array is the memory that the library filled.
Matrix matrix_of(std::vector<float> values, size_t columns) {
    auto held = std::make_unique<std::vector<float>>(std::move(values));
    float* const data = held->data();
    const size_t rows = held->size() / columns;
    const nb::capsule owner(
        held.get(), [](void* memory) noexcept { delete static_cast<std::vector<float>*>(memory); });
    held.release();
    return Matrix(data, {rows, columns}, owner);
}

Matrix logits(const Model& model, const Prompt& prompt, const ProgressFunction& progress) {
    std::vector<float> values = without_gil(progress, [&](const ProgressCallback& on_progress) {
        return Session(model).logits(prompt_ids(model, prompt), on_progress);
    });
    return matrix_of(std::move(values), static_cast<size_t>(model.vocabulary_size()));
}

std::vector<Likelihood> loglikelihood(const Model& model, Pairs pairs, bool add_special_tokens,
                                      const ProgressFunction& progress) {
    const auto special = add_special_tokens ? SpecialTokens::Add : SpecialTokens::Leave;
    return without_gil(progress, [&](const ProgressCallback& on_progress) {
        Session session(model);
        if (auto* texts = std::get_if<std::vector<TextPair>>(&pairs)) {
            std::vector<Continuation> given;
            for (auto& [context, text] : *texts) {
                given.push_back({.context = std::move(context), .text = std::move(text)});
            }
            return session.loglikelihood(given, special, on_progress);
        }
        std::vector<TokenContinuation> given;
        for (auto& [context, tokens] : std::get<std::vector<TokenPair>>(pairs)) {
            given.push_back({.context = std::move(context), .tokens = std::move(tokens)});
        }
        return session.loglikelihood(given, on_progress);
    });
}

double perplexity(const Model& model, const Prompt& prompt, int64_t window_tokens,
                  const ProgressFunction& progress) {
    return without_gil(progress, [&](const ProgressCallback& on_progress) {
        return Session(model).perplexity(prompt_ids(model, prompt), window_tokens, on_progress);
    });
}

GenerateResult generate(const Model& model, const Prompt& prompt, const GenerateOptions& options) {
    return without_gil({nb::none()}, [&](const ProgressCallback& on_progress) {
        return Session(model).generate(prompt_ids(model, prompt), options, {}, on_progress);
    });
}

std::unique_ptr<TextStream> stream(const Model& model, const Prompt& prompt,
                                   const GenerateOptions& options) {
    return without_gil(
        [&] { return std::make_unique<TextStream>(model, prompt_ids(model, prompt), options); });
}

nb::dict suggested_options(const Model& model) {
    const GenerateOptions options = without_gil([&] { return quarot::suggested_options(model); });
    nb::dict found;
    found["temperature"] = options.temperature;
    found["top_k"] = options.top_k;
    found["top_p"] = options.top_p;
    found["min_p"] = options.min_p;
    found["repetition_penalty"] = options.repetition_penalty;
    return found;
}

void bind_likelihood(nb::module_& module) {
    nb::class_<Likelihood>(module, "Likelihood", "How likely a continuation is.")
        .def_ro("loglikelihood", &Likelihood::loglikelihood,
                "Nats, sum over the continuation's tokens.")
        .def_ro("is_greedy", &Likelihood::is_greedy, "Each of them is the likeliest.")
        .def_ro("is_cut", &Likelihood::is_cut,
                "Tokens at the context's start were left out to fit the model.")
        .def("__repr__", [](const Likelihood& l) {
            return "Likelihood(loglikelihood=" +
                   std::string(nb::repr(nb::float_(l.loglikelihood)).c_str()) +
                   ", is_greedy=" + (l.is_greedy ? "True" : "False") +
                   ", is_cut=" + (l.is_cut ? "True" : "False") + ")";
        });
}

void bind_facts(nb::class_<Model>& model) {
    model.def_prop_ro("recipe", &Model::recipe, "Its name; \"none\" if nothing is quantized.")
        .def_prop_ro("bits_per_weight", &Model::bits_per_weight)
        .def_prop_ro("parameter_count", &Model::parameter_count)
        .def_prop_ro("vocabulary_size", &Model::vocabulary_size)
        .def_prop_ro("context", &Model::context, "The longest sequence, in tokens.")
        .def_prop_ro("tokenizer", &Model::tokenizer)
        .def_prop_ro(
            "begin_id", [](const Model& m) { return m.special_ids().begin; },
            "The token that begins texts.")
        .def_prop_ro(
            "end_ids", [](const Model& m) { return m.special_ids().ends; },
            "The tokens that end texts and answers.")
        .def_prop_ro("has_chat_template", &Model::has_chat_template);
}

}  // namespace

void bind_model(nb::module_& module) {
    bind_likelihood(module);
    nb::class_<Model> model(module, "Model",
                            "A model in memory, which never changes. Any number of threads may use "
                            "one, also at the same time: their work shares steps.");
    const LoadOptions usual;
    model.def_static(
        "from_pretrained", from_pretrained, "path"_a, nb::kw_only(), "device"_a = usual.device,
        "threads"_a = usual.threads, "context"_a = usual.context, "sequences"_a = usual.sequences,
        "activation_bits"_a = nb::none(), "kv_bits"_a = nb::none(),
        "activation_clip"_a = nb::none(), "kv_clip"_a = nb::none(), "progress"_a = nb::none(),
        "Loads a folder, as it came from Hugging Face or quantized.\n\n"
        "device: \"auto\", \"cpu\", \"cuda\" or \"reference\". context: the longest "
        "sequence in tokens; 0: what the model has, at most 4096. sequences: how many "
        "run at once. Bits and clips replace those of the folder's recipe.");
    bind_facts(model);
    def_generation(model, "generate",
                   "Goes on with a text, token ids or a conversation. Greedy unless `temperature` "
                   "says otherwise; max_tokens None: as many as the context has room for.",
                   generate);
    def_generation(model, "stream", "The same, as an iterator over pieces of text.", stream);
    model
        .def("suggested_options", suggested_options,
             nb::sig("def suggested_options(self) -> dict[str, typing.Any]"),
             "How the model's maker wants it sampled: generate(prompt, **suggested_options()).")
        .def(
            "chat_prompt",
            [](const Model& self, std::vector<std::map<std::string, std::string>> messages) {
                return without_gil([&] { return prompt_ids(self, Prompt(std::move(messages))); });
            },
            "messages"_a, "The conversation as the folder's chat template puts it.")
        .def("logits", logits, "prompt"_a, nb::kw_only(), "progress"_a = nb::none(),
             "What the model expects after each token of the prompt: float32 [tokens, vocabulary].")
        .def("loglikelihood", loglikelihood, "pairs"_a, nb::kw_only(),
             "add_special_tokens"_a = true, "progress"_a = nb::none(),
             "How likely each (context, continuation) is: texts, cut into tokens as "
             "lm-evaluation-harness does, or lists of token ids. The numbers are those of "
             "`quarot eval`.")
        .def("perplexity", perplexity, "prompt"_a, nb::kw_only(), "window_tokens"_a,
             "progress"_a = nb::none(),
             "Over consecutive windows, each from an empty cache; a shorter rest is dropped.");
}

}  // namespace quarot::python

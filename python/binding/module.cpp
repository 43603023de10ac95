// The module quarot._quarot: the installed headers of quarot, for Python.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>
#include <quarot/version.h>

#include "errors.h"
#include "generation.h"
#include "logging.h"
#include "model.h"
#include "quantize.h"
#include "text_stream.h"
#include "tokenizer.h"

NB_MODULE(_quarot, module) {
    using namespace quarot::python;
    translate_errors();
    module.def("version", &quarot::version, "Of the library that runs.");
    module.def("recipes", &quarot::recipe_names, "The names that `recipe` of quantize() can be.");
    bind_logging(module);
    bind_tokenizer(module);
    bind_quantize(module);
    bind_generation(module);
    bind_text_stream(module);
    bind_model(module);
}

#include "text_stream.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <chrono>
#include <utility>

#include "call.h"

namespace quarot::python {

TextStream::TextStream(Model model, std::vector<int32_t> prompt, GenerateOptions options)
    : thread_([this, model = std::move(model), prompt = std::move(prompt),
               options = std::move(options)] { run(model, prompt, options); }) {}

TextStream::~TextStream() {
    close();
}

void TextStream::run(const Model& model, const std::vector<int32_t>& prompt,
                     const GenerateOptions& options) {
    const auto put = [&](std::string_view piece) {
        const std::lock_guard lock(mutex_);
        pieces_.emplace_back(piece);
        changed_.notify_all();
        return !closed_;
    };
    const auto goes_on = [&](const ProgressEvent&) {
        const std::lock_guard lock(mutex_);
        return !closed_;
    };
    std::optional<GenerateResult> made;
    std::exception_ptr failure;
    try {
        made = Session(model).generate(prompt, options, put, goes_on);
    } catch (...) {
        failure = std::current_exception();
    }
    const std::lock_guard lock(mutex_);
    result_ = std::move(made);
    failure_ = failure;
    changed_.notify_all();
}

std::optional<std::string> TextStream::next() {
    const auto ready = [&] { return !pieces_.empty() || result_ || failure_; };
    for (;;) {
        if (PyErr_CheckSignals() != 0) throw nb::python_error();
        {
            const nb::gil_scoped_release released;
            std::unique_lock lock(mutex_);
            if (changed_.wait_for(lock, kSignalPause, ready)) {
                if (!pieces_.empty()) {
                    std::string piece = std::move(pieces_.front());
                    pieces_.pop_front();
                    return piece;
                }
                if (failure_) std::rethrow_exception(failure_);
                return std::nullopt;
            }
        }
    }
}

GenerateResult TextStream::result() {
    while (next()) {
    }
    const std::lock_guard lock(mutex_);
    return *result_;
}

void TextStream::close() {
    const nb::gil_scoped_release released;  // what the thread logs may wait for it
    {
        const std::lock_guard lock(mutex_);
        closed_ = true;
    }
    std::call_once(joined_, [this] { thread_.join(); });
}

void bind_text_stream(nb::module_& module) {
    nb::class_<TextStream>(module, "TextStream",
                           "New text as it comes: iterate over it. A thread of its own makes the "
                           "text, whether or not somebody takes it.")
        .def(
            "__iter__", [](nb::handle self) { return nb::borrow(self); },
            nb::sig("def __iter__(self) -> TextStream"))
        .def("__next__",
             [](TextStream& stream) {
                 std::optional<std::string> piece = stream.next();
                 if (!piece) throw nb::stop_iteration();
                 return *piece;
             })
        .def("result", &TextStream::result,
             "Waits for the end, and gives all of the generation, the text that was iterated over "
             "included.")
        .def("close", &TextStream::close,
             "Ends the generation within a step; what was made is the result.");
}

}  // namespace quarot::python

#include "logging.h"

#include <nanobind/stl/string.h>
#include <quarot/log.h>

#include <memory>
#include <string>

#include "call.h"

namespace quarot::python {

namespace {

int python_level(LogLevel level) {
    switch (level) {
        case LogLevel::Error:
            return 40;
        case LogLevel::Warning:
            return 30;
        case LogLevel::Info:
            return 20;
    }
    return 20;
}

// Any thread may drop the last copy.
std::shared_ptr<nb::object> shared(nb::object object) {
    return {new nb::object(std::move(object)), [](nb::object* held) {
                const nb::gil_scoped_acquire acquired;
                delete held;
            }};
}

void set_python_log(const nb::object& callback) {
    LogCallback log;
    if (!callback.is_none()) {
        log = [to = shared(callback)](LogLevel level, const std::string& message) {
            const nb::gil_scoped_acquire acquired;
            try {
                (*to)(python_level(level), message);
            } catch (nb::python_error& error) {
                error.discard_as_unraisable("quarot's log callback");
            }
        };
    }
    // Waits for a line that another thread is passing on, which waits for the GIL.
    const nb::gil_scoped_release released;
    set_log(std::move(log));
}

}  // namespace

void bind_logging(nb::module_& module) {
    module.def("set_log", set_python_log, nb::arg("callback").none(),
               nb::sig("def set_log(callback: collections.abc.Callable[[int, str], object] | None)"
                       " -> None"),
               "Sends remarks of the whole process to callback(level, message), with the levels of "
               "`logging`; None: to stderr. At the start they go to the logger \"quarot\".");
}

}  // namespace quarot::python

// Calls of the library: without the GIL, but with Python's signals and callbacks.
#pragma once

#include <nanobind/nanobind.h>
#include <quarot/progress.h>

#include <chrono>
#include <exception>
#include <string_view>
#include <utility>

namespace quarot::python {

namespace nb = nanobind;

// Between two questions for signals: short for a person, long beside what the GIL costs.
inline constexpr std::chrono::milliseconds kSignalPause{50};

// What Python gives for `progress`: a function of (what, done, total), or None.
struct ProgressFunction {
    nb::object function;
};

// Follows one call on the thread that made it. Between the steps of the work it asks Python for
// signals and tells the caller's function of progress; what either raises ends the call.
class Listener {
  public:
    explicit Listener(const ProgressFunction& progress) : progress_(progress.function) {}

    // Without the GIL. False if the call shall end.
    bool hear(const ProgressEvent& event);
    // With the GIL: raises what ended the call, if it was Python.
    void rethrow() const;

  private:
    using Clock = std::chrono::steady_clock;

    const nb::object& progress_;
    ProgressEvent told_{.what = "", .done = -1, .total = 0};
    Clock::time_point last_ask_;
    std::exception_ptr raised_;
};

// The result of work(on_progress).
template <typename Work>
auto without_gil(const ProgressFunction& progress, const Work& work) {
    Listener listener(progress);
    const ProgressCallback on_progress = [&](const ProgressEvent& event) {
        return listener.hear(event);
    };
    try {
        auto result = [&] {
            const nb::gil_scoped_release released;
            return work(on_progress);
        }();
        listener.rethrow();  // some calls return what they have when they are ended
        return result;
    } catch (const nb::python_error&) {
        throw;
    } catch (...) {
        listener.rethrow();
        throw;
    }
}

// What does not report progress, and is short.
template <typename Work>
auto without_gil(const Work& work) {
    const nb::gil_scoped_release released;
    return work();
}

}  // namespace quarot::python

namespace nanobind::detail {

template <>
struct type_caster<quarot::python::ProgressFunction> {
    NB_TYPE_CASTER(quarot::python::ProgressFunction,
                   const_name("collections.abc.Callable[[str, int, int], object]"))

    bool from_python(handle source, uint8_t, cleanup_list*) noexcept {
        if (!source.is_none() && PyCallable_Check(source.ptr()) == 0) return false;
        value.function = borrow(source);
        return true;
    }
};

}  // namespace nanobind::detail

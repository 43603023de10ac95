// New text as it comes.
#pragma once

#include <nanobind/nanobind.h>
#include <quarot/model.h>
#include <quarot/session.h>

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace quarot::python {

// One generation on a thread of its own, which never touches Python. Pieces wait until somebody
// takes them. The other functions are for any thread, with the GIL.
class TextStream {
  public:
    TextStream(Model model, std::vector<int32_t> prompt, GenerateOptions options);
    ~TextStream();  // closes
    TextStream(const TextStream&) = delete;
    TextStream& operator=(const TextStream&) = delete;

    // The next piece, empty at the end. Raises what ended the generation, and what Python's signal
    // handlers raise meanwhile.
    std::optional<std::string> next();
    // All of it: waits for the end, and takes the pieces that nobody took.
    GenerateResult result();
    // Ends the generation within a step and waits for that.
    void close();

  private:
    void run(const Model& model, const std::vector<int32_t>& prompt,
             const GenerateOptions& options);

    std::mutex mutex_;  // guards what follows
    std::condition_variable changed_;
    std::deque<std::string> pieces_;
    std::optional<GenerateResult> result_;
    std::exception_ptr failure_;
    bool closed_ = false;

    std::once_flag joined_;
    std::thread thread_;  // last: it uses the others
};

void bind_text_stream(nanobind::module_& module);

}  // namespace quarot::python

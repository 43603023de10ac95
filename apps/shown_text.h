// New text on standard output as its tokens are made.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "generation/text_stream.h"

namespace quarot::apps {

// Takes tokens as they are made, shows their text unless told not to, and says when to stop.
class ShownText {
  public:
    ShownText(const tokenizer::Tokenizer& tokenizer, std::span<const int32_t> prompt,
              std::vector<std::string> stops, bool show)
        : stream_(tokenizer, prompt, std::move(stops)), show_(show) {}

    ShownText(const ShownText&) = delete;
    ShownText& operator=(const ShownText&) = delete;
    // A text that an error breaks off ends its line, so that the error begins one.
    ~ShownText();

    bool take(int32_t id) {
        add(stream_.put(id));
        return !stream_.stopped();
    }
    void finish();
    const std::string& text() const { return text_; }
    bool stopped() const { return stream_.stopped(); }

  private:
    void add(const std::string& piece);

    generation::TextStream stream_;
    bool show_;
    bool in_line_ = false;  // something is shown, and its line not ended
    std::string text_;
};

}  // namespace quarot::apps

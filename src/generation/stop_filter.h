// Ends a stream of text before the first stop string, however the text comes in pieces.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace quarot::generation {

class StopFilter {
  public:
    // Empty stop strings are ignored.
    explicit StopFilter(std::vector<std::string> stops);

    // The text that may be shown now: all that came, but for an end that could still become a stop
    // string. After a stop string everything is dropped.
    std::string put(std::string_view piece);
    // What was held back, once no more can come.
    std::string finish();

    bool stopped() const { return stopped_; }

  private:
    size_t held_length() const;

    std::vector<std::string> stops_;
    std::string pending_;
    bool stopped_ = false;
};

}  // namespace quarot::generation

// The text of a JSON object that carries the digest of itself, so that every change to it shows.
#pragma once

#include <string>
#include <string_view>

namespace quarot::io {

// `object`: as Json::dump writes one, on one line or indented. Its last member becomes "digest",
// the XXH3-128 of all text before that member.
std::string sealed(std::string_view object);

// Is this, to the byte, what sealed() made?
bool is_sealed(std::string_view text);

}  // namespace quarot::io

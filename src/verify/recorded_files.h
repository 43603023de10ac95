// What quarot.json says of the files beside it.
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace quarot::verify {

// SHA-256 by name from the quarot.json at `path`. Error{Corrupt} naming the path if it is not
// sealed, is no such document, or names what cannot stand in its folder.
std::map<std::string, std::string> read_recorded_files(const std::string& path);
// The same from its text.
std::map<std::string, std::string> parse_recorded_files(std::string_view text,
                                                        const std::string& path);

}  // namespace quarot::verify

// What to do about a model folder that has a tokenizer, but in another file than tokenizer.json?
#pragma once

#include <string>

namespace quarot::tokenizer {

// Error{Unsupported} with the command that makes a tokenizer.json, if there is none in the folder
// but one of the files that it can be made from. Does nothing otherwise.
void refuse_other_tokenizer_files(const std::string& folder);

}  // namespace quarot::tokenizer

// What are the files called that several floors look for?
#pragma once

namespace quarot::io {

// What quantizing records of a folder: settings, inputs, and the digests of what it wrote.
inline constexpr const char* kProvenanceFile = "quarot.json";

}  // namespace quarot::io

// What a flag's text means: numbers, sizes, choices. Every function fails with Error{Usage} that
// names where the value came from, what it was and what was expected.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "apps/given.h"
#include "io/json.h"
#include "recipe/settings.h"

namespace quarot::apps {

int64_t as_integer(const Given& given, int64_t min, int64_t max);
// "512" or "0,512,2048", each within [min, max].
std::vector<int64_t> as_integers(const Given& given, int64_t min, int64_t max);
std::vector<std::string> as_words(const Given& given);  // "one,two"
// Within [min, max]; with above_min the least value itself is refused.
float as_number(const Given& given, float min, float max, bool above_min = false);
bool as_switch(const Given& given);  // true, false, 1, 0, on, off, yes, no
std::string as_choice(const Given& given, const std::vector<std::string>& choices);
// A value that the setting may have, of its type.
SettingValue as_setting(const Given& given, const SettingField& field);
io::Json as_json_object(const Given& given);
int64_t as_byte_count(const Given& given);        // "500M", "5G", "1000000"; units of 1024
std::vector<int32_t> as_ids(const Given& given);  // "1,2,3"

}  // namespace quarot::apps

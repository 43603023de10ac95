// Which names does the shared library show? All others are compiled as hidden.
#pragma once

#define QUAROT_API __attribute__((visibility("default")))

# The strict set. Applied to our own targets only; an error in the presets, a warning for consumers.
add_library(quarot_warnings INTERFACE)
target_compile_options(quarot_warnings INTERFACE
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Wnon-virtual-dtor
    -Wno-missing-field-initializers  # designated initialisers leave defaults standing
    -Woverloaded-virtual -Wold-style-cast -Wcast-qual -Wformat=2 -Wimplicit-fallthrough
    $<$<BOOL:${QUAROT_WERROR}>:-Werror>)

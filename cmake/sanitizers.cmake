# QUAROT_SANITIZE: empty, or a list for -fsanitize= such as "address,undefined" or "thread".
add_library(quarot_sanitizers INTERFACE)
if(QUAROT_SANITIZE)
    target_compile_options(quarot_sanitizers INTERFACE
        -fsanitize=${QUAROT_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer
        # GCC 12 sees uninitialised values in what the sanitizers themselves insert.
        $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
    target_link_options(quarot_sanitizers INTERFACE -fsanitize=${QUAROT_SANITIZE})
endif()
if(QUAROT_FUZZ)
    # Coverage for libFuzzer in everything that is ours.
    target_compile_options(quarot_sanitizers INTERFACE -fsanitize=fuzzer-no-link)
endif()

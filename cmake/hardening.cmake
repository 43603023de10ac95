# What the shipped program has against memory errors. Not for sanitizer builds, which have better,
# and which fortified functions would blind. tests/install checks the result in the program's file.
option(QUAROT_HARDENING "stack protector, fortified libc calls, full RELRO in Release" ON)

include(CheckCXXCompilerFlag)
include(CheckPIESupported)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)  # of the floors for the shared library, of programs as PIE
check_pie_supported(LANGUAGES CXX)

# Nothing but what the public headers mark is visible from the shared library.
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)

if(QUAROT_HARDENING AND CMAKE_BUILD_TYPE STREQUAL "Release" AND NOT QUAROT_SANITIZE)
    add_compile_options(
        "$<$<COMPILE_LANGUAGE:C,CXX>:-U_FORTIFY_SOURCE;-D_FORTIFY_SOURCE=3>")
    foreach(flag -fstack-protector-strong -fstack-clash-protection -fcf-protection)
        string(MAKE_C_IDENTIFIER "QUAROT_HAS${flag}" known)
        check_cxx_compiler_flag(${flag} ${known})
        if(${known})
            add_compile_options($<$<COMPILE_LANGUAGE:C,CXX>:${flag}>)
        endif()
    endforeach()
    add_link_options(-Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack)
endif()

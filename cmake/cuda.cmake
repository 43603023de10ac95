# QUAROT_CUDA: whether the CUDA kernels are built. AUTO builds them where a toolkit of version 13 or
# later is found. The runtime library is linked statically and loads the driver itself, so that the
# program also starts on hosts without either.
set(QUAROT_CUDA AUTO CACHE STRING "AUTO, ON or OFF")
set_property(CACHE QUAROT_CUDA PROPERTY STRINGS AUTO ON OFF)
# Machine code of these, and PTX for what comes after. `90a-real` alone builds five times faster.
set(QUAROT_CUDA_ARCHITECTURES "80-real;86-real;89-real;90a-real;90-virtual" CACHE STRING
    "what the CUDA kernels are compiled for")

set(QUAROT_HAS_CUDA OFF)
set(cuda_missing "")
if(QUAROT_CUDA STREQUAL "AUTO" AND (QUAROT_SANITIZE OR QUAROT_FUZZ))
    set(cuda_missing "not with sanitizers or fuzzers")
elseif(QUAROT_CUDA)
    find_program(QUAROT_NVCC nvcc HINTS ENV CUDACXX ENV CUDA_PATH PATH_SUFFIXES bin
                 PATHS /usr/local/cuda)
    if(QUAROT_NVCC)
        execute_process(COMMAND ${QUAROT_NVCC} --version OUTPUT_VARIABLE nvcc_version)
        string(REGEX MATCH "release ([0-9]+)" whole "${nvcc_version}")
        if(CMAKE_MATCH_1 GREATER_EQUAL 13)
            set(QUAROT_HAS_CUDA ON)
        else()
            set(cuda_missing "${QUAROT_NVCC} is release ${CMAKE_MATCH_1}, 13 is needed")
        endif()
    else()
        set(cuda_missing "no nvcc found")
    endif()
    if(NOT QUAROT_HAS_CUDA AND NOT QUAROT_CUDA STREQUAL "AUTO")
        message(FATAL_ERROR "QUAROT_CUDA=${QUAROT_CUDA}: ${cuda_missing}")
    endif()
endif()
if(NOT QUAROT_HAS_CUDA)
    message(STATUS "CUDA kernels: off ${cuda_missing}")
    return()
endif()

set(CMAKE_CUDA_COMPILER ${QUAROT_NVCC} CACHE FILEPATH "CUDA compiler")
set(CMAKE_CUDA_ARCHITECTURES ${QUAROT_CUDA_ARCHITECTURES})
enable_language(CUDA)
find_package(CUDAToolkit 13 REQUIRED)
# CMake 3.25 does not know that this compiler has C++20.
set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
list(APPEND CMAKE_CUDA_COMPILE_FEATURES cuda_std_20)
set(CMAKE_CUDA_STANDARD 20)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
set(CMAKE_CUDA_EXTENSIONS OFF)
set(CMAKE_CUDA_RUNTIME_LIBRARY Static)
set(CMAKE_CUDA_VISIBILITY_PRESET hidden)
set(CMAKE_CUDA_FLAGS_RELEASE "-O3 -DNDEBUG")
set(CMAKE_CUDA_FLAGS_RELWITHDEBINFO "-O3 -DNDEBUG -lineinfo")
# The guard fails the build where ptxas serialises wgmma or spills registers. Depend mode, because
# the host's preprocessor does not see what device code includes or leaves out.
set(CMAKE_CUDA_COMPILER_LAUNCHER ${PROJECT_SOURCE_DIR}/cmake/ptxas_guard.sh)
if(CCACHE)
    list(APPEND CMAKE_CUDA_COMPILER_LAUNCHER env CCACHE_DEPEND=1 ${CCACHE})
endif()

# The counterpart of quarot_warnings for files that nvcc compiles.
add_library(quarot_cuda_warnings INTERFACE)
target_compile_options(quarot_cuda_warnings INTERFACE
    $<$<COMPILE_LANGUAGE:CUDA>:-Xptxas=-v -Xcompiler=-Wall,-Wextra,-Wno-unused-parameter
    $<$<BOOL:${QUAROT_WERROR}>:-Werror=all-warnings -Xcompiler=-Werror>>)
message(STATUS "CUDA kernels: ${QUAROT_NVCC}, ${QUAROT_CUDA_ARCHITECTURES}")

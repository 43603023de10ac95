# One-word entry points. CMake presets do the building; nothing here is needed to use CMake alone.
JOBS ?= $(shell nproc)

.PHONY: build demo test test-slow test-cuda bench-cuda test-asan test-tsan package test-package python test-python fuzz clang models oracles clients format tidy check layout style warnings sanitized clean dependencies

build:
	cmake --preset release
	cmake --build --preset release -j $(JOBS)

# Installs what is missing, builds the program alone, compares recipes on the bundled model.
demo: dependencies
	JOBS=$(JOBS) tools/demo.sh

test: dependencies build
	ctest --preset release -j $(JOBS) -L 'unit|oracle'

# Everything that compares with reference values, kills jobs or takes minutes: over an hour on two cores.
test-slow: dependencies build
	ctest --preset release -j $(JOBS) -L 'unit|oracle|slow'

# The kernels on a GPU, then the tests that run on each backend; without a GPU the first skip
# themselves and say so, and the second are not there.
test-cuda:
	cmake --preset release -DQUAROT_CUDA=ON
	cmake --build --preset release -j $(JOBS)
	ctest --preset release -L cuda
	ctest --preset release -R '[/_]cuda$$'

# The tables of docs/cuda.md: single kernels beside cuBLAS, a whole model, its operations and the
# paper's tables beside 16 bits.
CUDA_BENCHMARKS = bench_cuda_linear bench_cuda_rotate bench_cuda_attention
bench-cuda:
	tools/install_dependencies.sh --bench
	cmake --preset release -DQUAROT_CUDA=ON -DQUAROT_BENCH=ON
	cmake --build --preset release -j $(JOBS) --target quarot $(CUDA_BENCHMARKS)
	for b in $(CUDA_BENCHMARKS); do build/release/bench/$$b || exit; done
	build/release/apps/quarot bench --device cuda --shape llama-2-7b --recipe quarot-rtn \
	  --with-16bit -p 512,2048 -n 64 -b 1,64
	build/release/apps/quarot bench --device cuda --shape llama-2-7b --recipe quarot-rtn --ops \
	  -p 2048 -n 1 -d 0,2048 -b 1,16
	build/release/apps/quarot bench --device cuda --recipe quarot-rtn --paper

test-asan: dependencies
	cmake --preset asan
	cmake --build --preset asan -j $(JOBS)
	ctest --preset asan -j $(JOBS) -L 'unit|oracle'

# The tests that use threads, with the thread sanitizer.
TSAN_TESTS = core_test kernels_test backend_test runtime_test eval_test quantize_test serve_test facade_test \
	same_bits_test e2e_commands_test
test-tsan: dependencies
	cmake --preset tsan
	cmake --build --preset tsan -j $(JOBS) --target $(TSAN_TESTS)
	tools/test_tsan.sh

# Debian packages of the program, the library and its headers, in build/release/package.
package: build
	tools/install_dependencies.sh --package
	cd build/release && cpack -G DEB

# Installs and uses them in a fresh Debian; needs root.
test-package: package
	tools/test_package.sh build/release/package

# The Python wheel, in build/python/dist, around the library of build/release.
python:
	tools/install_dependencies.sh --python
	cmake --preset release
	cmake --build --preset release -j $(JOBS) --target quarot_library
	tools/make_wheel.sh build/release

# Installs it into a fresh environment, with packages that are fetched once, and tests it there.
test-python: python
	cmake --build --preset release -j $(JOBS) --target quarot
	ctest --preset release -L python --verbose

# Searches for inputs that no parser survives: FUZZ_SECONDS (30) for each target, or FUZZ_RUNS.
fuzz:
	tools/install_dependencies.sh --clang
	cmake --preset fuzz
	cmake --build --preset fuzz -j $(JOBS)
	tools/fuzz.sh

# Compiles everything with the second compiler; its warnings are errors too.
clang:
	tools/install_dependencies.sh --clang
	cmake --preset clang
	cmake --build --preset clang -j $(JOBS)

# A real model for the oracle tests, which skip themselves without it.
models:
	tools/install_dependencies.sh --models
	tools/make_models.sh

# The Python packages that tests compare with; those tests skip themselves without them.
oracles:
	tools/install_dependencies.sh --models
	tools/make_oracles.sh

# The Python packages that are clients of the server; likewise.
clients:
	tools/install_dependencies.sh --models
	tools/make_oracles.sh clients

dependencies:
	tools/install_dependencies.sh

format:
	tools/install_dependencies.sh --style
	git ls-files '*.cpp' '*.h' '*.cu' '*.cuh' | xargs clang-format-14 -i

# Every source file through clang-tidy; tools/check_style.sh takes only those that changed.
tidy:
	tools/install_dependencies.sh --style
	cmake --preset tidy
	run-clang-tidy-19 -quiet -j $(JOBS) -p build/tidy "$(CURDIR)/(src|apps)/.*\.cpp$$"

# What CI checks besides the tests: the layout of every file, unit tests under sanitizers with a
# while of fuzzing, clang's warnings on every source, and clang-tidy on those that changed.
check: layout sanitized warnings style

# What `make format` would change is an error.
layout:
	tools/install_dependencies.sh --style
	git ls-files '*.cpp' '*.h' '*.cu' '*.cuh' | xargs clang-format-14 --dry-run -Werror

style:
	tools/install_dependencies.sh --style --clang
	JOBS=$(JOBS) tools/check_style.sh

# Clang's warnings on every source, as `make clang` has them, without making code; what `make
# sanitized` has just compiled is left out.
warnings:
	tools/install_dependencies.sh --clang
	cmake --preset clang
	cmake --build --preset clang -j $(JOBS) --target quarot_precompiled quarot_test_base quarot_serve_texts
	tools/check_warnings.py build/clang $(JOBS) build/fuzz

sanitized:
	tools/install_dependencies.sh --clang
	JOBS=$(JOBS) tools/test_sanitized.sh

# Keeps build/models, which costs a download.
clean:
	rm -rf build/release build/dev build/asan build/tsan build/clang build/tidy build/fuzz build/demo build/python

#!/usr/bin/env bash
# Installs the Debian packages that are missing, and says which; nothing if none is.
#   tools/install_dependencies.sh [--clang] [--style] [--models] [--package] [--bench] [--python]
set -euo pipefail

packages=(g++ cmake ninja-build pkg-config make ccache
    nlohmann-json3-dev libcli11-dev libfmt-dev libspdlog-dev
    libopenblas-dev liblapacke-dev libxxhash-dev libssl-dev libpcre2-dev libutf8proc-dev
    libgtest-dev)
for option in "$@"; do
    case $option in
        --clang) packages+=(clang-19 libclang-rt-19-dev) ;;
        --style) packages+=(clang-format-14 clang-tidy-19 clang-19) ;;
        --models) packages+=(python3-venv) ;;
        --package) packages+=(dpkg-dev debootstrap) ;;
        --python) packages+=(python3-dev python3-venv) ;;
        --bench) packages+=(libbenchmark-dev) ;;
        *)
            echo "install_dependencies: unknown option $option, expected --clang, --style, --models, --package, --bench or --python" >&2
            exit 2
            ;;
    esac
done

# Beast and Asio of either version, which exclude each other.
[[ -e /usr/include/boost/beast/version.hpp ]] || packages+=(libboost1.81-dev)

missing=()
for package in "${packages[@]}"; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [[ $status == installed ]] || missing+=("$package")
done
if ((${#missing[@]} == 0)); then
    exit 0
fi

as_root=()
if ((EUID != 0)); then
    if ! command -v sudo >/dev/null; then
        echo "install_dependencies: please install as root: ${missing[*]}" >&2
        exit 1
    fi
    as_root=(sudo)
fi
echo "install_dependencies: installing ${missing[*]}"
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${missing[@]}"

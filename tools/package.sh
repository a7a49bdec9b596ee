#!/usr/bin/env bash
# Builds dist/: the sdist, and the wheel from what the sdist holds. Then installs the wheel with
# what requirements-dev.txt pins, outside of the checkout, and runs its command from there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
checkout=$PWD
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

rm -rf dist
.venv/bin/hatchling build --target sdist -d dist >/dev/null
tar xzf dist/*.tar.gz -C "$scratch"
(cd "$scratch"/angle_reco-* && "$checkout/.venv/bin/hatchling" build --target wheel -d "$checkout/dist") >/dev/null

venv=$scratch/venv
if command -v uv >/dev/null; then
    uv venv --quiet --no-python-downloads --python "$checkout/.venv/bin/python" "$venv"
    install=(uv pip install --quiet --python "$venv/bin/python")
    check=(uv pip check --quiet --python "$venv/bin/python")
else
    .venv/bin/python -m venv "$venv"
    install=("$venv/bin/python" -m pip install -qq --disable-pip-version-check)
    check=("$venv/bin/python" -m pip check --disable-pip-version-check)
fi
"${install[@]}" --no-deps --require-hashes --requirement requirements-dev.txt
"${install[@]}" --no-deps dist/*.whl
"${check[@]}"
cd "$scratch"
place=$("$venv/bin/python" -c 'import angle_reco; print(angle_reco.__file__)')
case $place in
"$venv"/*) ;;
*)
    echo "the package is imported from $place, not from the wheel" >&2
    exit 1
    ;;
esac
"$venv/bin/angle-reco" demo >"$scratch/demo.txt"
"$venv/bin/angle-reco" --version
echo "package: the command of the wheel works; built: $(cd "$checkout" && echo dist/*)"

# shellcheck shell=bash
# No server, but fetched and kept like one: Python with the libraries that read
# the dataset, as people have them.

python_requirements=$HERE/../python/requirements.txt

python_build() {
  need python3 python3
  if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
      die "Python's venv is needed: install it (on Debian: apt-get install python3-venv)"
    fi
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv
  fi
  python3 -m venv "$1"
  "$1/bin/python" -m pip install --quiet --no-compile --requirement "$python_requirements"
}

# Named after what it holds and who runs it: another of either is another folder.
python_get() {
  local key
  key=$({ cat "$python_requirements" && python3 --version 2>&1; } | cksum | cut -d' ' -f1)
  cached "python-$key" python_build
}

python_setup() {
  python_get
  give CARDATA_TEST_PYTHON "$BUILT/bin/python"
}

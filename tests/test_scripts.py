"""The shell scripts, the lock and the conda environment. Set-up runs in a copy of the checkout, with a stub for uv."""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import stat
import subprocess
import sys
import time
import tomllib
from importlib.metadata import version
from pathlib import Path

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from softmask.config import ROOT
from softmask.workbook.cli import parser

SCRIPTS = ("run_all.sh", "run_tests.sh", ".ci/run", "tools/setup.sh", "tools/lock.sh")
TOOLS = (
    "bash", "basename", "cat", "cp", "cut", "dirname", "env", "flock", "mkdir", "mktemp", "mv", "readlink", "rm", "sed",
    "sha256sum", "sleep",
)  # fmt: skip

UV = """#!/bin/sh
# stands for uv: notes what it is asked, and makes a venv whose Python is the one of the tests
case "$1" in
--version) echo "uv ${STUB_VERSION:-0.13.8} (stub)"; exit ;;
esac
echo "$@" >>"$STUB_LOG"
case "$1 $2" in
venv*)
    for last; do :; done
    rm -rf "$last"
    mkdir -p "$last/bin"
    cp "$STUB_PYTHON" "$last/bin/python"
    ;;
"pip sync" | "pip install")
    sleep "${STUB_SECONDS:-0}"
    exit "${STUB_STATUS:-0}"
    ;;
esac
"""

PYTHON = f"""#!/bin/sh
# the package of this checkout; with STUB_BARE, a Python in which nothing is installed
PYTHONPATH="{ROOT / "lib"}" exec "{sys.executable}" ${{STUB_BARE:+-S}} "$@"
"""

SYSTEM_PYTHON = """#!/bin/sh
# stands for the machine's python3: `-m pip install ... --target <folder> uv==<version>` puts the stub there
echo "python3 $@" >>"$STUB_LOG"
while [ "$1" != --target ]; do shift; done
mkdir -p "$2/bin"
cp "$STUB_UV" "$2/bin/uv"
"""


def executable(path: Path, content: str):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


class Checkout:
    """A copy of the scripts on a machine with little more than a shell."""

    def __init__(self, folder: Path):
        self.root = folder / "checkout"
        (self.root / "tools").mkdir(parents=True)
        (self.root / "notebooks").mkdir()
        for name in ("run_all.sh", "run_tests.sh", "tools/setup.sh", "pyproject.toml", "requirements.lock"):
            shutil.copy(ROOT / name, self.root / name)
        self.log = folder / "log"
        self.bin = folder / "bin"
        self.bin.mkdir()
        for tool in TOOLS:
            place = shutil.which(tool)
            if place is None:
                pytest.skip(f"this machine has no {tool}")
            (self.bin / tool).symlink_to(place)
        self.uv = executable(folder / "stubs" / "uv", UV)
        self.python = executable(folder / "stubs" / "python", PYTHON)
        self.put("uv", UV)

    def put(self, name: str, content: str):
        executable(self.bin / name, content)

    def start(self, script: str, *arguments: str, **variables: str) -> subprocess.Popen:
        environment = {
            "PATH": str(self.bin),
            "HOME": str(self.root.parent),
            "STUB_LOG": str(self.log),
            "STUB_PYTHON": str(self.python),
            "STUB_UV": str(self.uv),
            "SOFTMASK_OUTPUT": str(self.root.parent / "output"),
            "SOFTMASK_DATA": "",
            **variables,
        }
        return subprocess.Popen(
            ["bash", str(self.root / script), *arguments],
            env=environment,
            cwd=self.root.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, script: str, *arguments: str, **variables: str) -> tuple[int, str]:
        process = self.start(script, *arguments, **variables)
        said, _ = process.communicate(timeout=600)
        return process.returncode, said

    def asked(self):
        """What uv was asked since the last call, without paths."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return [line.replace(str(self.root), "ROOT").replace(str(self.root.parent), "HOME") for line in lines]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


VENV = "venv --quiet --clear --python 3.11 ROOT/.venv"
SYNC = "pip sync --python ROOT/.venv/bin/python --require-hashes requirements.lock"
EDITABLE = "pip install --quiet --python ROOT/.venv/bin/python --no-deps --no-build-isolation --editable ."
START = ("run_all.sh", "--data", "embedded", "--only", "99")
"""A start that reaches the workbook, which refuses it with exit status 2."""
REFUSED = "there is no notebook '99'"


@pytest.mark.parametrize("script", SCRIPTS)
def test_syntax(script):
    subprocess.run(["bash", "-n", ROOT / script], check=True)
    sourced = script == "tools/setup.sh"
    assert sourced or os.access(ROOT / script, os.X_OK)


def test_help_names_every_option_and_sets_nothing_up(checkout):
    for script in ("run_tests.sh", "run_all.sh"):
        status, said = checkout.run(script, "--help")
        assert status == 0
        assert said.startswith(f"Usage: ./{script}")
    options = {option for action in parser()._actions for option in action.option_strings} - {"--start-page"}
    assert set(re.findall(r"^  (--[a-z]+)", said, re.MULTILINE)) == options | {"--lab", "--help"}
    assert checkout.asked() == []


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--colour"], "no option --colour"), (["--profile", "smoke", "--lab"], "--lab comes first")],
)
def test_wrong_options_set_nothing_up(checkout, options, message):
    status, said = checkout.run("run_all.sh", *options)
    assert status == 2
    assert message in said
    assert checkout.asked() == []


def test_lab_opens_jupyterlab_on_the_start_page(checkout):
    stub = checkout.root.parent / "jupyterlab"  # in the working folder, so that it is found before the real one
    executable(stub / "__main__.py", "import sys\nfor argument in sys.argv[1:]:\n    print('given', argument)\n")
    (stub / "__init__.py").touch()
    status, said = checkout.run("run_all.sh", "--lab", "--allow-root", "--no-browser", "--port=9000")
    assert status == 0, said
    given = [line.removeprefix("given ") for line in said.splitlines() if line.startswith("given ")]
    assert given == [
        f"--ServerApp.root_dir={checkout.root}",
        "--LabApp.default_url=/lab/tree/notebooks/START.md",
        f"--LabApp.app_settings_dir={checkout.root}/tools/jupyterlab",
        f"--LabApp.workspaces_dir={checkout.root}/.cache/jupyterlab",
        "--allow-root",
        "--no-browser",
        "--port=9000",
    ]
    assert (checkout.root / "notebooks" / "START.md").read_text().startswith("# The soft-mask workbook")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is refused by JupyterLab")
def test_lab_as_root_says_what_is_missing_before_the_set_up(checkout):
    status, said = checkout.run("run_all.sh", "--lab")
    assert status == 2
    assert "--lab --allow-root" in said
    assert checkout.asked() == []


class TestList:
    """It works before anything is set up, with any Python 3 and its standard library, within seconds."""

    LIST = ("run_all.sh", "--list", "--data", "embedded")

    @pytest.mark.parametrize("data", ["embedded", "auto"])
    def test_it_sets_nothing_up(self, checkout, tmp_path, data):
        checkout.put("python3", f'#!/bin/sh\nPYTHONPATH="{ROOT / "lib"}" exec "{sys.executable}" -S "$@"\n')
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        status, said = checkout.run("run_all.sh", "--list", "--data", data, SOFTMASK_DATA=str(tmp_path))
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert status == 0, said
        assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 5  # seconds
        assert said.startswith("The environment is not set up")
        assert (f"real data in {tmp_path} is not looked for before the set-up" in said) == (data == "auto")
        assert "Notebooks of cpu-embedded" in said
        assert "regenerates report.html" in said
        assert checkout.asked() == []
        assert not (checkout.root / ".venv").exists()

    def test_the_environment_is_used_where_it_is_there(self, checkout):
        status, said = checkout.run(*self.LIST)
        assert status == 1
        assert "python3 is missing" in said
        checkout.run(*START)
        checkout.asked()
        status, said = checkout.run(*self.LIST)
        assert status == 0, said
        assert said.startswith("Notebooks of cpu-embedded")
        assert checkout.asked() == []


class TestSetup:
    def test_the_first_start_installs_and_later_ones_do_nothing(self, checkout):
        status, said = checkout.run(*START)
        assert status == 2, said
        assert "The environment stands, after" in said
        assert REFUSED in said
        assert checkout.asked() == [VENV, SYNC, EDITABLE]
        status, said = checkout.run(*START)
        assert status == 2
        assert "environment" not in said
        assert checkout.asked() == []

    def test_another_lock_is_installed_into_the_same_venv(self, checkout):
        checkout.run(*START)
        for name in ("requirements.lock", "pyproject.toml"):
            checkout.asked()
            with (checkout.root / name).open("a") as file:
                file.write("# changed\n")
            assert checkout.run(*START)[0] == 2
            assert checkout.asked() == [SYNC, EDITABLE]

    def test_a_moved_checkout_is_set_up_anew(self, checkout):
        checkout.run(*START)
        checkout.asked()
        checkout.root = checkout.root.rename(checkout.root.with_name("moved"))
        assert checkout.run(*START)[0] == 2
        assert checkout.asked() == [VENV, SYNC, EDITABLE]  # the old place stands in its programs

    @pytest.mark.parametrize("linked", [True, False])
    def test_the_environment_of_another_checkout_is_refused(self, checkout, linked):
        checkout.run(*START)
        checkout.asked()
        other, venv = checkout.root, checkout.root / ".venv"
        checkout.root = other.with_name("another")
        shutil.copytree(other, checkout.root, symlinks=True)
        if linked:
            shutil.rmtree(checkout.root / ".venv")
            (checkout.root / ".venv").symlink_to(venv)
        status, said = checkout.run(*START)
        assert status == 1
        assert f"{checkout.root}/.venv {'is a link to' if linked else 'was made for another checkout,'} {other}" in said
        assert "start again to set up an environment here" in said
        assert checkout.asked() == []
        assert (venv / "bin" / "python").exists()

    @pytest.mark.parametrize("killed", [False, True])
    def test_a_failed_or_killed_set_up_starts_over(self, checkout, killed):
        if killed:
            process = checkout.start(*START, STUB_SECONDS="60")
            while not checkout.log.exists() or "pip sync" not in checkout.log.read_text():
                time.sleep(0.02)
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        else:
            status, said = checkout.run(*START, STUB_STATUS="1")
            assert status == 1
            assert "could not be installed" in said
            assert REFUSED not in said
        checkout.asked()
        assert checkout.run(*START)[0] == 2
        assert checkout.asked() == [VENV, SYNC, EDITABLE]

    def test_two_starts_at_once_install_once(self, checkout):
        both = [checkout.start(*START, STUB_SECONDS="0.5") for _ in range(2)]
        said = [process.communicate(timeout=600)[0] for process in both]
        assert [process.returncode for process in both] == [2, 2], said
        assert checkout.asked() == [VENV, SYNC, EDITABLE]
        assert sum("waiting for it" in text for text in said) == 1

    def test_without_a_compiler_nothing_is_installed(self, checkout):
        status, said = checkout.run(*START, STUB_BARE="1", CC="/no/such/cc")
        assert status == 1
        assert "needs a C compiler; /no/such/cc is not there" in said
        assert checkout.asked() == [VENV]

    @pytest.mark.parametrize("old", [True, False])
    def test_uv_is_got_where_there_is_none_new_enough(self, checkout, old):
        (checkout.bin / "uv").unlink()
        status, said = checkout.run(*START)
        assert status == 1
        assert "neither uv nor python3" in said
        if old:
            checkout.put("uv", UV.replace("${STUB_VERSION:-0.13.8}", "0.8.9"))
        checkout.put("python3", SYSTEM_PYTHON)
        status, said = checkout.run(*START)
        assert status == 2, said
        first, *rest = checkout.asked()
        assert re.fullmatch(r"python3 -m pip install .* --target ROOT/\.cache/uv\.part uv==[\d.]+", first)
        assert rest == [VENV, SYNC, EDITABLE]

    def test_an_active_conda_environment_of_the_project_is_used(self, checkout):
        prefix = checkout.root.parent / "conda" / "envs" / "softmask"
        executable(prefix / "bin" / "python", PYTHON)
        active = {"CONDA_PREFIX": str(prefix), "CONDA_DEFAULT_ENV": "softmask"}
        status, said = checkout.run(*START, **active)
        assert status == 2, said
        python = "HOME/conda/envs/softmask/bin/python"
        assert checkout.asked() == [
            f"pip install --python {python} --require-hashes -r requirements.lock",
            EDITABLE.replace("ROOT/.venv/bin/python", python),
        ]
        checkout.run(*START, **active)
        assert checkout.asked() == []
        assert not (checkout.root / ".venv").exists()

        assert checkout.run(*START, CONDA_PREFIX="/opt/conda", CONDA_DEFAULT_ENV="base")[0] == 2  # another one
        assert checkout.asked() == [VENV, SYNC, EDITABLE]


class TestRunTests:
    @pytest.fixture
    def small(self, checkout: Checkout) -> Checkout:
        """A checkout with one unit test."""
        (checkout.root / "README.md").touch()
        (checkout.root / "tests").mkdir()
        (checkout.root / "tests" / "test_one.py").write_text("def test_one():\n    pass\n")
        return checkout

    def test_every_stage_runs_and_failures_are_named(self, small):
        status, said = small.run("run_tests.sh")
        assert status == 0, said
        assert re.search("1 passed.*no notebooks yet.*All passed", said, re.DOTALL)
        smoke = 'assert (os.environ["SOFTMASK_PROFILE"], os.environ["SOFTMASK_SOURCE"]) == ("smoke", "embedded")'
        sources = {
            "01_data": f'import os\n\n{smoke}\nprint(os.environ["SOFTMASK_OUTPUT"])',
            "02_masks": 'raise ValueError("no such mask")',
            "explore": "",
        }
        for name, source in sources.items():
            book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
            nbformat.write(book, small.root / "notebooks" / f"{name}.ipynb")
        (small.root / "tests" / "test_two.py").write_text("def test_two():\n    assert  max(1, 2) == 1\n")
        status, said = small.run("run_tests.sh")
        assert status == 1
        assert "FAILED: ruff format, unit tests, notebooks (after" in said
        assert "1 failed, 1 passed" in said.split("== notebooks")[0]
        assert "1 failed, 2 passed" in said.split("== notebooks")[1]
        assert "no such mask" in said

    def test_arguments_go_to_pytest(self, small):
        status, said = small.run("run_tests.sh", "tests/test_one.py", "-k", "nothing")
        assert status == 5
        assert "1 deselected" in said
        assert "==" not in said


LOCK = (ROOT / "requirements.lock").read_text()
ENTRIES = re.sub(r" *\\\n *", " ", re.sub(r"^ *#.*\n", "", LOCK, flags=re.MULTILINE)).splitlines()


def pins() -> dict[str, str]:
    """Versions by name, of what the lock installs on this machine."""
    requirements = [Requirement(entry.split("--hash")[0]) for entry in ENTRIES]
    return {
        canonicalize_name(requirement.name): str(requirement.specifier).removeprefix("==")
        for requirement in requirements
        if requirement.marker is None or requirement.marker.evaluate()
    }


def test_the_lock_pins_every_requirement_with_hashes():
    assert len(ENTRIES) > 100
    for entry in ENTRIES:
        assert re.fullmatch(r"[a-z0-9._-]+==[^ ;*]+ ;[^;]*?( --hash=sha256:[0-9a-f]{64})+ ?", entry), entry
    assert "//" not in LOCK
    assert not re.search(r"^-", LOCK, re.MULTILINE)


def test_the_lock_satisfies_pyproject_and_made_this_environment():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = pins()
    for text in (*project["dependencies"], *project["optional-dependencies"]["test"]):
        requirement = Requirement(text)
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), text
    for name in ("numpy", "torch", "papermill", "ruff"):
        assert version(name) == pinned[name]


def test_the_conda_environment():
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert f"ENVIRONMENT={conda['name']} " in (ROOT / "tools/setup.sh").read_text()
    (pip,) = [entry["pip"] for entry in conda["dependencies"] if isinstance(entry, dict)]
    assert pip == ["--requirement requirements.lock"]
    names = {re.match(r"[a-z-]+", entry)[0] for entry in conda["dependencies"] if isinstance(entry, str)}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert set(project["tool"]["uv"]["extra-build-dependencies"]["pyradiomics"]) | {"wheel", "pip"} <= names

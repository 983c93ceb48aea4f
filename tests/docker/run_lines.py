"""Run the lines of the Dockerfile where no container engine is: `make image-check`.

COPY and RUN of the build stage happen in a clean folder in place of the root, with the tracked files as context; then
the image's command is asked for its help and segments a scene, with its environment. Base images, users, volumes and networks are
not part of this.
"""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from dockerfile_parse import DockerfileParser

ROOT = Path(__file__).parents[2]


def main() -> None:
    """Lint, then run; stops at the first line that fails."""
    subprocess.run([Path(sys.executable).parent / "hadolint", "Dockerfile"], cwd=ROOT, check=True)
    with tempfile.TemporaryDirectory(prefix="ris-image-") as folder:
        root = Path(folder)
        build, final = split_stages(ROOT / "Dockerfile")
        work = build_in(root, build)
        env = read_environment(root, final)
        scene = str(root / "scene.png")
        subprocess.run([sys.executable, "-m", "demo.draw_scene", "32", scene], cwd=ROOT, check=True)
        for command in (["ris", "--help"], ["ris", "segment", scene, "the orange frog", "--profile", "demo"]):
            print("+", shlex.join(command), flush=True)
            subprocess.run(command, cwd=work, env=env, check=True)
    print("Every line ran.")


def split_stages(file: Path) -> tuple[list[dict], list[dict]]:
    """Instructions of the build stage, and of the final one."""
    stages: list[list[dict]] = []
    for line in DockerfileParser(str(file)).structure:
        if line["instruction"] == "FROM":
            stages.append([])
        if stages:
            stages[-1].append(line)
    build, final = stages
    return build, final


def build_in(root: Path, stage: list[dict]) -> Path:
    """Do what a stage does below `root`; its last working folder."""
    work, arguments = root, {}
    for line in stage:
        kind, value = line["instruction"], line["value"]
        if kind == "ARG":
            name, _, default = value.partition("=")
            arguments[name] = os.environ.get(name, default.strip('"'))
        elif kind == "WORKDIR":
            work = root / value.lstrip("/")
            work.mkdir(parents=True)
        elif kind == "COPY":
            *sources, target = shlex.split(value)
            for file in tracked_files(sources):
                below = file.relative_to(sources[0]) if len(sources) == 1 and (ROOT / sources[0]).is_dir() else file
                copy = work / target / below
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / file, copy)
        elif kind == "RUN":
            print("+", value, flush=True)
            clean = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(root), **arguments}
            clean |= {
                name: os.environ[name] for name in os.environ if name.lower().startswith(("pip_", "http", "no_proxy"))
            }
            subprocess.run(["/bin/sh", "-c", value], cwd=work, env=clean, check=True)
    return work


def tracked_files(sources: list[str]) -> Iterator[Path]:
    """The files of the context that a COPY takes."""
    listed = subprocess.run(["git", "ls-files", "--", *sources], cwd=ROOT, check=True, capture_output=True, text=True)
    return map(Path, listed.stdout.splitlines())


def read_environment(root: Path, stage: list[dict]) -> dict[str, str]:
    """The final stage's ENV, with the image's root in place of /."""
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
    for line in stage:
        if line["instruction"] == "ENV":
            for pair in shlex.split(line["value"]):
                name, _, value = pair.partition("=")
                value = value.replace("$PATH", env["PATH"])
                env[name] = str(root) + value if value.startswith(("/app", "/data", "/models")) else value
    return env


if __name__ == "__main__":
    main()

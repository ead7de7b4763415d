"""Build the image of a commit: `python build.py [COMMIT]` makes `shop:<full sha>`.

What is built is the commit, never the working tree; an image that exists is not built again.
"""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def build(commit: str = "HEAD", source: Path = HERE) -> str:
    """Build the commit of the repository at `source`; its full SHA.

    Raises `subprocess.CalledProcessError` when git or docker refuses.
    """
    sha = _git(source, "rev-parse", "--verify", f"{commit}^{{commit}}").decode().strip()
    image = f"shop:{sha}"
    if not _exists(image):
        files = _git(source, "archive", sha)  # of this folder alone, if the repository has others
        command = ["docker", "build", "--quiet", "-t", image, "--build-arg", f"RELEASE={sha}", "-"]
        subprocess.run(command, input=files, check=True, stdout=subprocess.DEVNULL)
    return sha


def _git(source: Path, *arguments: str) -> bytes:
    return subprocess.run(
        ["git", *arguments], cwd=source, check=True, stdout=subprocess.PIPE
    ).stdout


def _exists(image: str) -> bool:
    command = ["docker", "image", "inspect", image]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


if __name__ == "__main__":
    try:
        print(build(sys.argv[1] if len(sys.argv) > 1 else "HEAD"))
    except subprocess.CalledProcessError as error:
        sys.exit(f"build: {error.cmd[0]} failed")

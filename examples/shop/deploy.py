"""Release the commit that is checked out here: `python deploy.py`."""

from releasekit import Project, Release


def main() -> None:
    """Put the current commit in place of the release that serves now."""
    project = Project.load()
    project.up(Release.from_git(), strategy="blue-green")


if __name__ == "__main__":
    main()

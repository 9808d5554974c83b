"""Cases that were interesting once: `corpus/<target>/<what it is>`, replayed before anything else."""

from pathlib import Path
from typing import Final

CORPUS: Final = Path(__file__).parent / "corpus"
REPORT_SUFFIX: Final = ".report.txt"


def cases(target: str) -> dict[str, bytes]:
    """By name, in the order of the names."""
    files = sorted(file for file in (CORPUS / target).iterdir() if not file.name.endswith(REPORT_SUFFIX))
    return {file.name: file.read_bytes() for file in files}


def keep(target: str, name: str, data: bytes, report: str) -> Path:
    """A finding, beside which its report lies until it is mended and the case has a name of its own."""
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}{REPORT_SUFFIX}").write_text(report, encoding="utf-8")
    file = folder / name
    file.write_bytes(data)
    return file

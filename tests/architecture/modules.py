"""The product's modules as their source says it: what each imports, and what it calls."""

import ast
from dataclasses import dataclass
from pathlib import Path

import worker

ROOT = Path(worker.__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    name: str
    is_package: bool
    tree: ast.Module

    def is_within(self, *packages: str) -> bool:
        return any(self.name == package or self.name.startswith(f"{package}.") for package in packages)

    @property
    def imports(self) -> set[str]:
        """Full names: `from a.b import c` is a.b and a.b.c, whichever of them is the module."""
        names: set[str] = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                names.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                names.add(node.module or "")
                names.update(f"{node.module}.{alias.name}" for alias in node.names)
        return names

    @property
    def relative_imports(self) -> list[int]:
        return [node.lineno for node in ast.walk(self.tree) if isinstance(node, ast.ImportFrom) and node.level]

    @property
    def calls(self) -> list[ast.Call]:
        return [node for node in ast.walk(self.tree) if isinstance(node, ast.Call)]


def _read(path: Path) -> Module:
    parts = ["worker", *path.relative_to(ROOT).with_suffix("").parts]
    is_package = parts[-1] == "__init__"
    name = ".".join(parts[:-1] if is_package else parts)
    return Module(name=name, is_package=is_package, tree=ast.parse(path.read_text(encoding="utf-8")))


MODULES = [_read(path) for path in sorted(ROOT.rglob("*.py"))]

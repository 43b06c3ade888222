# SPDX-License-Identifier: ISC
"""The statements of the store, as the build makes them from their sources."""

from importlib.machinery import SourceFileLoader
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]


def statements(file):
    """name: statement (args, cols, text by dialect) of src/store/sql/FILE."""
    path = TOP / "src/store/sql" / file
    sqlgen = SourceFileLoader("sqlgen", str(TOP / "scripts/sqlgen")
                              ).load_module()
    return {s.name: s for s in sqlgen.read_statements(
        str(path), path.read_text())}

# SPDX-License-Identifier: ISC
"""The manual as tests read it: its literal blocks, and what they are.

A block is one of
- commands: lines that begin with "$ " or "# " followed by a program, that go
  on behind "\\" or with "> ", and the lines that they print;
- a file: its first line is a comment with the file's path;
- anything else: a piece of a configuration, of SQL, of messages.

In the output of commands "..." at the end of a line stands for the rest of
it, and alone for any number of lines.
"""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROMPT = re.compile(r"[$#] (?=[A-Za-z_.])")
FILE = re.compile(r"(?:#|//) (/\S+)$")


def pages():
    """The names of all pages."""
    return sorted(p.name for p in (ROOT / "man").glob("*.[1-9]"))


class Block:
    """section, under: the titles of .Sh and .Ss; line: where it begins."""

    def __init__(self, page, section, under, line, lines):
        self.page, self.section, self.under = page, section, under
        self.line, self.lines = line, lines
        self.text = "\n".join(lines) + "\n"
        self.path = (m := FILE.match(lines[0])) and m[1]
        self.is_commands = not self.path and bool(PROMPT.match(lines[0]))

    def __repr__(self):
        return f"{self.page}:{self.line}"

    def commands(self):
        """(command, lines of output) of each."""
        command, output = None, []
        for line in self.lines:
            if command and command.endswith("\\"):
                command += "\n" + line.removeprefix("> ")
            elif PROMPT.match(line):
                if command:
                    yield command, output
                command, output = line[2:], []
            elif line.startswith("> "):
                command += "\n" + line[2:]
            else:
                output.append(line)
        assert command, self
        yield command, output


def plain(line):
    """A line of mdoc as it is shown, where it is literal."""
    return line.replace("\\e", "\\").replace("\\&", "").replace("\\-", "-")


def blocks(page, section=None, under=None):
    """The literal blocks of a page, in its order; those of a section, and
    of a subsection, if one is named."""
    title, subtitle, start, lines = None, None, 0, None
    found = []
    text = (ROOT / "man" / page).read_text().splitlines()
    for number, line in enumerate(text, 1):
        if line.startswith(".Sh "):
            title, subtitle = line[4:], None
        elif line.startswith(".Ss "):
            subtitle = line[4:]
        elif line.startswith(".Bd -literal"):
            start, lines = number, []
        elif line == ".Ed" and lines is not None:
            found.append(Block(page, title, subtitle, start, lines))
            lines = None
        elif line.startswith(".Dl ") and PROMPT.match(plain(line[4:])):
            found.append(Block(page, title, subtitle, number,
                               [plain(line[4:])]))
        elif lines is not None:
            lines.append(plain(line))
    assert lines is None, f"{page}:{start}: no .Ed"
    return [b for b in found if section in (None, b.section)
            and under in (None, b.under)]


# ---- is that what the page says?

def same(line):
    """A line without what may differ: moments, ages, durations."""
    line = re.sub(r"20\d\d-\d\d-\d\d \d\d:\d\d(:\d\d)?", "TIME", line)
    line = re.sub(r"\((now|in \d+ \w+|\d+ \w+ ago)\)", "(AGE)", line)
    line = re.sub(r" in \d+\.\d s$", " in N s", line)
    line = re.sub(r"^(took \(ms\)) .*", r"\1 N", line)
    return re.sub(r"\s+", " ", line.strip())


def fits(documented, printed):
    """Are these lines those of the page?"""
    if not documented:
        return not printed
    head, rest = documented[0], documented[1:]
    if head == "...":
        return any(fits(rest, printed[n:]) for n in range(len(printed) + 1))
    if not printed:
        return False
    if head.endswith("..."):
        fit = same(printed[0]).startswith(same(head[:-3]))
    else:
        fit = same(head) == same(printed[0])
    return fit and fits(rest, printed[1:])

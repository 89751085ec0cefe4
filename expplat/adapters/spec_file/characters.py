"""From bytes to text: UTF-8, and no character that hides something."""

from __future__ import annotations

import codecs

from expplat.adapters.spec_file.regular_file import MEGABYTE
from expplat.domain.proposal_rules import FORBIDDEN_CHARACTERS
from expplat.errors import Fault, FaultsError

MARKS = {
    codecs.BOM_UTF8: "a byte order mark",
    codecs.BOM_UTF16_LE: "UTF-16, not UTF-8",
    codecs.BOM_UTF16_BE: "UTF-16, not UTF-8",
    codecs.BOM_UTF32_BE: "UTF-32, not UTF-8",
}
"""How a file may begin that was saved in the wrong form; UTF-32-LE begins as UTF-16-LE does."""

SAVE_AS = "Save it as UTF-8 without a byte order mark."
MAX_SHOWN = 20
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def decode(content: bytes, source: str) -> tuple[str, list[Fault]]:
    """Return the text of a file, with forbidden characters replaced, and a fault for each.

    Raises:
        FaultsError: If the bytes are too many, or are not UTF-8.
    """
    if len(content) > MEGABYTE:
        raise _unreadable(source, 0, f"The file is larger than {MEGABYTE:,} bytes.", "Shorten it.")
    for mark, form in MARKS.items():
        if content.startswith(mark):
            raise _unreadable(source, 1, f"The file begins with {form}.", SAVE_AS)
    if content.count(0) * 4 > len(content):
        raise _unreadable(source, 1, "The file is not a text, or is UTF-16.", SAVE_AS)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        wrong = f"0x{content[error.start]:02X}"
        raise _unreadable(source, line, f"The byte {wrong} is not UTF-8.", SAVE_AS) from None
    text = text.replace("\r\n", "\n")
    return FORBIDDEN_CHARACTERS.sub(REPLACEMENT, text), _forbidden(text)


def _forbidden(text: str) -> list[Fault]:
    faults: list[Fault] = []
    for found in FORBIDDEN_CHARACTERS.finditer(text):
        if len(faults) == MAX_SHOWN:
            break
        faults.append(
            Fault(
                line=text.count("\n", 0, found.start()) + 1,
                field="",
                message=f"The line holds the invisible character U+{ord(found.group()):04X}.",
                hint="Take it out.",
            )
        )
    return faults


def _unreadable(source: str, line: int, message: str, hint: str) -> FaultsError:
    return FaultsError(source, (Fault(line=line, field="", message=message, hint=hint),))

"""Cuts text to a room of characters, at line ends, so that the cut does not move with every key that is typed."""

# A window's far end moves in steps of this part of the room; between two steps the model's prefix cache stays valid.
_STEPS = 4


def tail(text: str, room: int) -> str:
    """The end of `text`, at most `room` characters. Its start moves only every `room / 4` characters."""
    if len(text) <= room:
        return text
    if room <= 0:
        return ""
    step = max(1, room // _STEPS)
    start = -(-(len(text) - room) // step) * step
    line = text.find("\n", start - 1, len(text) - 1)
    return text[line + 1 :] if line >= 0 else text[start:]


def head(text: str, room: int) -> str:
    """The beginning of `text`, at most `room` characters, whole lines if there is at least one."""
    if len(text) <= room:
        return text
    if room <= 0:
        return ""
    line = text.rfind("\n", 0, room)
    return text[: line + 1] if line > 0 else text[:room]


def stepped(room: int, whole: int) -> int:
    """`room` rounded down to quarters of `whole`."""
    step = max(1, whole // _STEPS)
    return max(0, room) // step * step

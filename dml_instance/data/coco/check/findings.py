"""What a check found: faults that refuse a file, and repairs that are only said."""

from collections import Counter, defaultdict

from ....errors import FileError

# Faults that an error lists; the others are counted.
_LISTED = 10


class Findings:
    """Collects the faults and repairs of one file, any number of them in little memory."""

    def __init__(self):
        self._repairs: Counter[str] = Counter()
        self._faults: Counter[str] = Counter()
        self._examples: defaultdict[str, list[str]] = defaultdict(list)
        self._absent_files = 0

    def __bool__(self) -> bool:
        """Whether there is a fault."""
        return bool(self._faults)

    def repair(self, kind: str, count: int = 1) -> None:
        """Note repairs of one kind."""
        self._repairs[kind] += count

    def refuse(self, fault: str, cure: str, *, is_absent_file: bool = False) -> None:
        """Note a fault, which names its entry; faults of one cure are of one kind."""
        self._faults[cure] += 1
        self._absent_files += is_absent_file
        if len(self._examples[cure]) < _LISTED:
            self._examples[cure].append(fault)

    def error(self, file: str) -> FileError | FileNotFoundError:
        """All faults in one message: a line for one; for more a heading, and a line for up to ten.

        The first of each kind stand first, with their cures.

        Args:
            file: that was checked.

        Returns:
            A FileNotFoundError where nothing is wrong but that files are missing.
        """
        firsts = [f"{examples[0]}; {cure}" for cure, examples in self._examples.items()]
        others = [fault for examples in self._examples.values() for fault in examples[1:]]
        count, listed = sum(self._faults.values()), (firsts + others)[:_LISTED]
        kind = FileNotFoundError if count == self._absent_files else FileError
        if count == 1:
            return kind(f"{file}: {listed[0]}")
        more = [f"and {count - len(listed)} more"] if count > len(listed) else []
        return kind("\n  ".join([f"{file} has {count} faults:", *listed, *more]))

    def repaired(self) -> str:
        """The repairs in one line; empty where there were none."""
        return ", ".join(f"{kind} ({count})" for kind, count in self._repairs.items())

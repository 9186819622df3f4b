"""The categories of a COCO file: an id and a name for each class."""

from collections import defaultdict
from collections.abc import Collection, Sequence

from .fields import are_numbers, is_text, shown
from .findings import Findings
from .ids import identity, number_entries

_ENTRY = "every category has an id and a name of its own; mend or remove the entry"


def check_categories(
    entries: Sequence[dict], used: Collection[int | str | None], findings: Findings
) -> tuple[list[dict], dict[int | str, int]]:
    """Check the entries of ``categories``, and repair them in place.

    Args:
        entries: all of them.
        used: what annotations refer to, by ``identity``.
        findings: gets what is found.

    Returns:
        The entries that are left, and the numbers of the categories by ``identity`` of their ids.
        Those of texts follow the order of the texts, so that files of one set agree.
    """
    by_id: dict[int | str, dict] = {}
    for entry in entries:
        identifier, name = identity(entry.get("id")), _name(entry, findings)
        if identifier is None or name is None:
            given = f"{shown(entry.get('id'))} and the name {shown(entry.get('name'))}"
            findings.refuse(f"a category has the id {given}", _ENTRY)
            continue
        first = by_id.setdefault(identifier, entry)
        if first["name"] != name:
            findings.refuse(
                f"category id {identifier} is that of {first['name']} and {name}", _ENTRY
            )
        elif first is not entry:
            findings.repair("categories that stand there twice left out")
    if used and not entries:
        findings.refuse("it lists no categories", _ENTRY)
    _leave_out_namesakes(by_id, used, findings)
    ordered = {i: by_id[i] for i in sorted(by_id, key=lambda i: (isinstance(i, str), i))}
    return list(ordered.values()), number_entries(ordered, "categories", findings)


def _name(entry: dict, findings: Findings) -> str | None:
    """The name of a class, also where it is a number; None for anything else."""
    name = entry.get("name")
    if are_numbers([name]):
        findings.repair("names of categories read as texts")
        entry["name"] = name = str(name)
    return name if is_text(name) else None


def _leave_out_namesakes(
    by_id: dict[int | str, dict], used: Collection[int | str | None], findings: Findings
) -> None:
    """Keep one category of each name: exports list a group beside its class, and use the class."""
    of_name = defaultdict(list)
    for identifier, entry in by_id.items():
        of_name[entry["name"]].append(identifier)
    for name, identifiers in of_name.items():
        kept = [i for i in identifiers if i in used] or identifiers[-1:]
        if len(kept) > 1:
            findings.refuse(f"categories {' and '.join(map(str, kept))} are both {name}", _ENTRY)
        for identifier in set(identifiers) - set(kept):
            del by_id[identifier]
            findings.repair("categories left out that have the name of another and no object")

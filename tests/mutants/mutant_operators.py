"""Two kinds of mistakes that cosmic-ray has no operator for."""

from collections.abc import Iterator

from cosmic_ray.operators.operator import Example, Operator
from parso.python.tree import ExprStmt, Keyword

_SEQUENCES = ("arglist", "subscriptlist", "testlist_comp", "testlist_star_expr", "exprlist")


class SwapNeighbours(Operator):
    """Two neighbours in a list of arguments, of indices or of values change places."""

    def mutation_positions(self, node) -> Iterator[tuple]:
        for left, right in _neighbours(node):
            yield left.start_pos, right.end_pos

    def mutate(self, node, index):
        left, right = list(_neighbours(node))[index]
        first, second = left.get_first_leaf(), right.get_first_leaf()
        first.prefix, second.prefix = second.prefix, first.prefix
        i, j = node.children.index(left), node.children.index(right)
        node.children[i], node.children[j] = right, left
        return node

    @classmethod
    def examples(cls):
        return (
            Example("f(a, b, c=d)", "f(b, a, c=d)"),
            Example("x = a, b, c", "x = a, c, b", occurrence=1),
        )


def _neighbours(node) -> list[tuple]:
    """Pairs that could be taken for each other: of one kind of expression, and not the same."""
    if node.type not in _SEQUENCES or node.children[1] != "," or _is_order_free(node):
        return []
    pairs = [(node.children[i], node.children[i + 2]) for i in range(0, len(node.children) - 2, 2)]
    return [
        (left, right)
        for left, right in pairs
        if left.type == right.type
        and left.type not in ("argument", "star_expr", "subscript")
        and left.get_code().strip() != right.get_code().strip()
    ]


def _is_order_free(node) -> bool:
    """Whether these are the arguments of min or max, or what a loop takes one after the other."""
    if node.parent.type == "atom":
        return node.parent.parent.type == "for_stmt"
    called = node.parent.get_previous_sibling() if node.parent.type == "trailer" else None
    return called is not None and called.get_code().strip() in ("min", "max")


class DropStatement(Operator):
    """A call on its own, or an assignment that changes what is there already, is left out."""

    def mutation_positions(self, node) -> Iterator[tuple]:
        if node.type == "simple_stmt" and _changes_something(node.children[0]):
            yield node.children[0].start_pos, node.children[0].end_pos

    def mutate(self, node, index):
        leaf = node.children[0].get_first_leaf()
        node.children[0] = Keyword("pass", leaf.start_pos, prefix=leaf.prefix)
        return node

    @classmethod
    def examples(cls):
        return (
            Example("x += 1\n", "pass\n"),
            Example("x[0] = 1\n", "pass\n"),
            Example("f(x)\n", "pass\n"),
        )


def _changes_something(statement) -> bool:
    if not isinstance(statement, ExprStmt):
        return statement.type == "atom_expr"
    is_augmented = statement.children[1].type == "operator" and statement.children[1] != "="
    return is_augmented or statement.children[0].type == "atom_expr"


_OPERATORS = {operator.__name__: operator for operator in (SwapNeighbours, DropStatement)}


class Provider:
    """What cosmic-ray asks for operators by their names."""

    def __iter__(self) -> Iterator[str]:
        return iter(_OPERATORS)

    def __getitem__(self, name: str) -> type[Operator]:
        return _OPERATORS[name]

import pytest

pytest.importorskip("cosmic_ray")

from cosmic_ray.mutating import mutate_code
from mutants.mutant_operators import DropStatement, Provider, SwapNeighbours


@pytest.mark.parametrize("operator", [SwapNeighbours, DropStatement])
def test_operators_do_what_their_examples_say(operator):
    for example in operator.examples():
        mutated = mutate_code(example.pre_mutation_code, operator(), example.occurrence)
        assert mutated == example.post_mutation_code


@pytest.mark.parametrize(
    "code",
    [
        "max(a, b)",
        "for x in (a, b): pass",
        "f(a, *b)",
        "f(a, b=c)",
        "f(a, 1)",
        "x = a, a",
        "x[a:b]",
    ],
)
def test_what_cannot_be_taken_for_each_other_is_not_swapped(code):
    assert mutate_code(code, SwapNeighbours(), 0) is None


@pytest.mark.parametrize("code", ["x = 1\n", '"""A docstring."""\n', "return x\n", "x: int = 1\n"])
def test_statements_that_others_need_are_not_dropped(code):
    assert mutate_code(code, DropStatement(), 0) is None


def test_operators_are_found_by_their_names():
    assert {name: Provider()[name] for name in Provider()} == {
        "SwapNeighbours": SwapNeighbours,
        "DropStatement": DropStatement,
    }

"""How faults and repairs are put into words."""

from dml_instance.data.coco.check.findings import Findings
from dml_instance.errors import FileError


def test_one_fault_is_one_line_with_the_file_and_the_cure():
    findings = Findings()
    assert not findings
    findings.refuse("annotation 1 is broken", "mend it")
    assert findings
    error = findings.error("a.json")
    assert type(error) is FileError
    assert str(error) == "a.json: annotation 1 is broken; mend it"


def test_of_many_faults_ten_are_listed_each_kind_first_with_its_cure():
    findings = Findings()
    for number in range(30):
        findings.refuse(f"annotation {number} is broken", "mend it")
    findings.refuse("image 1 is blue", "paint it")
    findings.refuse("image 2 is blue", "paint it")
    assert str(findings.error("a.json")).splitlines() == [
        "a.json has 32 faults:",
        "  annotation 0 is broken; mend it",
        "  image 1 is blue; paint it",
        *(f"  annotation {number} is broken" for number in range(1, 9)),
        "  and 22 more",
    ]


def test_only_where_nothing_but_files_are_missing_the_error_says_so_by_its_type():
    findings = Findings()
    findings.refuse("a.png is gone", "find it", is_absent_file=True)
    assert type(findings.error("a.json")) is FileNotFoundError
    findings.refuse("image 1 is blue", "paint it")
    assert type(findings.error("a.json")) is FileError


def test_repairs_are_counted_and_are_no_faults():
    findings = Findings()
    for _ in range(3):
        findings.repair("boxes painted")
    findings.repair("areas mended", 2)
    assert findings.repaired() == "boxes painted (3), areas mended (2)"
    assert not findings

import torch
import yaml

from dml_instance.stored_config import StoredConfig, config_of, store_min_score, with_config
from toy_models import config


def content(cfg):
    return yaml.safe_load(cfg.dump())


class Checkpointer:
    """What is added to each checkpoint."""

    def __init__(self):
        self.parts = {}

    def add_checkpointable(self, key, part):
        self.parts[key] = part


def test_the_config_is_read_from_a_checkpoint_as_it_was(tmp_path):
    cfg, checkpointer = config("SOLVER.MAX_ITER", 7, "TEST.MIN_SCORE", 0.35), Checkpointer()
    StoredConfig(cfg).add_to(checkpointer)
    state = {key: part.state_dict() for key, part in checkpointer.parts.items()}
    torch.save({"model": {"weight": torch.ones(2)}, **state}, tmp_path / "a.pth")
    assert content(config_of(str(tmp_path / "a.pth"))) == content(cfg)


def test_what_holds_no_config_gives_none(tmp_path):
    torch.save({"model": {}}, tmp_path / "bare.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    (tmp_path / "text.pth").write_text("no checkpoint")
    torch.save({"model": object, "dml_instance": {"config": ""}}, tmp_path / "code.pth")
    for name in ("bare", "list", "text", "code", "missing"):
        assert config_of(str(tmp_path / f"{name}.pth")) is None


def test_the_least_score_is_written_into_the_config_and_nothing_else_changes(tmp_path):
    path = tmp_path / "a.pth"
    state = {"model": {"weight": torch.rand(5)}, "iteration": 3}
    torch.save(with_config(state, config()), path)
    store_min_score(str(path), 0.45)
    assert config_of(str(path)).TEST.MIN_SCORE == 0.45
    loaded = torch.load(path, weights_only=True)
    assert torch.equal(loaded["model"]["weight"], state["model"]["weight"])
    assert loaded["iteration"] == 3
    assert content(config_of(str(path))) == content(config("TEST.MIN_SCORE", 0.45))


def test_without_a_config_or_a_file_there_is_nothing_to_write(tmp_path):
    path = tmp_path / "bare.pth"
    torch.save({"model": {}}, path)
    before = path.read_bytes()
    store_min_score(str(path), 0.45)
    store_min_score(str(tmp_path / "missing.pth"), 0.45)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["bare.pth"]

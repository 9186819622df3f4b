import pytest
import torch
from detectron2.checkpoint import DetectionCheckpointer

from dml_instance.modeling import transfer_classes
from toy_models import model_of

TAUS = [0.25, 0.5, 0.75]


def logits_of(model, images):
    """(B, T, K + 1, h, w)."""
    with torch.no_grad():
        return model.network(images)[2]


@pytest.mark.parametrize("context", [False, True])
def test_logits_of_known_classes_stay_and_new_ones_are_the_mean(context):
    options = ["MODEL.DML.SEED_HEAD.CLASS_FEATURE", "res5"] if context else []
    old = model_of("MODEL.DML.NUM_CLASSES", 3, *options).eval()
    new = model_of("MODEL.DML.NUM_CLASSES", 2, *options).eval()
    for predictor in ("of_cell", "of_image") if context else ():
        torch.nn.init.normal_(getattr(old.network.class_context, predictor).weight)
    state = transfer_classes(old.state_dict(), ["a", "b", "c"], ["b", "other"], len(TAUS))
    assert new.load_state_dict(state, strict=False).unexpected_keys == []
    images = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    before, after = logits_of(old, images), logits_of(new, images)
    torch.testing.assert_close(after[:, :, 0], before[:, :, 0])
    torch.testing.assert_close(after[:, :, 1], before[:, :, 2])
    torch.testing.assert_close(after[:, :, 2], before[:, :, 1:].mean(dim=2), atol=1e-4, rtol=1e-4)


def test_what_knows_no_classes_stays_and_counts_of_pieces_go():
    old = model_of("MODEL.DML.GROUPING.CONNECT_GAP", 8)
    state = old.state_dict()
    assert any(key.startswith("pieces.") for key in state)
    moved = transfer_classes(state, ["a", "b"], ["a", "b"], len(TAUS))
    assert set(moved) == {key for key in state if not key.startswith("pieces.")}
    for key, value in moved.items():
        torch.testing.assert_close(value, state[key])


def test_weights_of_other_classes_load_but_for_what_tells_them(tmp_path, caplog):
    old, new = model_of("MODEL.DML.NUM_CLASSES", 3), model_of("MODEL.DML.NUM_CLASSES", 2)
    for parameter in old.parameters():
        torch.nn.init.normal_(parameter)
    torch.save({"model": old.state_dict()}, tmp_path / "old.pth")
    DetectionCheckpointer(new).load(str(tmp_path / "old.pth"))
    before, after = old.state_dict(), new.state_dict()
    differ = {key for key in after if not torch.equal(before[key], after[key])}
    last = max(int(key.split(".")[2]) for key in after if key.startswith("seed_head.layers."))
    assert differ == {f"seed_head.layers.{last}.{part}" for part in ("weight", "bias")}
    assert not hasattr(new, "no_such_part")

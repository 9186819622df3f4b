"""What a config leaves to chance or to the machine, decided once for a training."""

from detectron2.config import CfgNode
from detectron2.utils import comm

from .precision import trains_in_bfloat16

_ENTRY = "dml_instance_decisions"


def decided(cfg: CfgNode) -> CfgNode:
    """A config with a seed that is drawn where SEED is negative, the same in all processes, and,
    on the CPU, with "on" or "off" for SOLVER.AMP.CPU_BFLOAT16.

    Raises:
        ValueError: as ``trains_in_bfloat16``.
    """
    cfg = cfg.clone()
    cfg.defrost()
    if cfg.SEED < 0:
        cfg.SEED = int(comm.shared_random_seed())
    if cfg.MODEL.DEVICE == "cpu":
        # "auto" is measured, and a machine that is busy may measure something else next time.
        cfg.SOLVER.AMP.CPU_BFLOAT16 = "on" if trains_in_bfloat16(cfg) else "off"
    cfg.freeze()
    return cfg


class Decisions:
    """What a checkpointer adds to each checkpoint, so that a training that goes on decides as it
    did when it began. What the config says itself counts more."""

    def __init__(self, given: CfgNode, cfg: CfgNode):
        """
        Args:
            given: that the training was started with.
            cfg: that was ``decided``, and gets what a checkpoint holds.
        """
        self._cfg = cfg
        self._is_open = {
            "SEED": given.SEED < 0,
            "CPU_BFLOAT16": given.SOLVER.AMP.CPU_BFLOAT16 == "auto",
        }

    def add_to(self, checkpointer) -> None:
        """Make it part of every checkpoint from now on; of fvcore's ``Checkpointer``."""
        checkpointer.add_checkpointable(_ENTRY, self)

    def state_dict(self) -> dict[str, int | str]:
        return {"SEED": self._cfg.SEED, "CPU_BFLOAT16": self._cfg.SOLVER.AMP.CPU_BFLOAT16}

    def load_state_dict(self, state_dict: dict[str, int | str]) -> None:
        self._cfg.defrost()
        if self._is_open["SEED"]:
            self._cfg.SEED = state_dict["SEED"]
        if self._is_open["CPU_BFLOAT16"]:
            self._cfg.SOLVER.AMP.CPU_BFLOAT16 = state_dict["CPU_BFLOAT16"]
        self._cfg.freeze()

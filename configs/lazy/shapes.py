# python -m detectron2.tools.lazyconfig_train_net --config-file configs/lazy/shapes.py
import detectron2.data.transforms as T
from detectron2.config import LazyCall as L
from detectron2.layers import ShapeSpec
from detectron2.model_zoo import get_config
from detectron2.solver import WarmupParamScheduler
from fvcore.common.param_scheduler import CosineParamScheduler

from dml_instance.modeling import DMLInstance, DMLNetwork, criterion, decoder, grouping, heads
from dml_instance.modeling.backbone import slim_resnet

WIDTHS, NAMES = (16, 32, 64, 128, 256), ("stem", "res2", "res3", "res4", "res5")
SHAPES = {n: ShapeSpec(channels=WIDTHS[i], stride=2 << i) for i, n in enumerate(NAMES)}
METRIC = {"taus": (0.25, 0.5, 0.75), "context": 32}
BLOCK, SEED_BLOCK = ({"channels": c, "norm": "BN"} for c in (32, 64))  # of every convolution
model = L(DMLInstance)(pixel_mean=[127.0] * 3, pixel_std=[50.0] * 3, normalize_each_image=True)
model.criterion = L(criterion.DMLCriterion)(**METRIC, max_iter="${train.max_iter}")
model.grouping = L(grouping.InstanceGrouping)(**METRIC, num_classes=6, max_instances=100)
model.grouping.rules = L(grouping.GroupingRules)(connect_gap=16)
model.network = L(DMLNetwork)()
net = model.network
net.backbone = L(slim_resnet)(in_channels=3, channels=WIDTHS, out_features=NAMES)
net.decoder = L(decoder.TopDownDecoder)(input_shape=SHAPES, stride=2, **BLOCK)
net.seed_decoder = L(decoder.TopDownDecoder)(input_shape=SHAPES, stride=4, **BLOCK)
net.embedding_head = L(heads.EmbeddingHead)(input_shape=ShapeSpec(channels=32, stride=2), **BLOCK)
net.seed_head = L(heads.SeedHead)(input_shape=ShapeSpec(channels=32), num_classes=6, **SEED_BLOCK)
net.seed_head.offsets = heads.offsets_on_circles((4, 8, 16, 32), directions=16, stride=2)

train = get_config("common/train.py").train
train.update(max_iter=2200, eval_period=2200, output_dir="output/shapes/lazy", device="cpu")
optimizer = get_config("common/optim.py").SGD
optimizer.lr = 0.1
lr_multiplier = L(WarmupParamScheduler)(warmup_factor=0.001, warmup_length=0.02)
lr_multiplier.scheduler = L(CosineParamScheduler)(start_value=1, end_value=0)
dataloader = get_config("common/data/coco.py").dataloader
dataloader.train.update(total_batch_size=8, num_workers=2)
dataloader.train.dataset.update(names="shapes_train", filter_empty=False)
dataloader.train.mapper.update(instance_mask_format="bitmask", augmentations=[L(T.RandomFlip)()])
dataloader.test.dataset.names = "shapes_val"
dataloader.test.mapper.augmentations = []

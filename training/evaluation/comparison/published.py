"""What others report: the numbers of the two source papers, and of MURA's hidden test and public validation set.

None of them was computed here. A number is only comparable with one of the same data, set and level; no number of a
hidden test set stands beside one of a public validation set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

HIDDEN_TEST = "MURA hidden test, 207 studies"
PUBLIC_VALIDATION = "MURA public validation, 1,199 studies"
OTHER_DATA = "other data"
SETS = (HIDDEN_TEST, PUBLIC_VALIDATION, OTHER_DATA)  # each is a table of its own

MURA_PAPER = "Rajpurkar et al. 2017, arXiv 1712.06957"
LEADERBOARD = "stanfordmlgroup.github.io/competitions/mura, closed"
PENGSHIQI = "github.com/pengshiqi/MURA"
ILIAS_ANT = "github.com/ilias-ant/x-ray-abnormality-detection"
J_IMAGING = "J. Imaging 2026, 12(7):298"


@dataclass(frozen=True, slots=True)
class PaperResult:
    """What a source paper gives for one classifier: images at probability .5; ``accuracy`` may be contradictory."""

    bundle: str
    network: str
    data: str
    accuracy: tuple[float, ...]
    recall: float | None = None
    note: str = ""


WRIST = "MURA wrist, 20 % of the training images held out"
ALL_PARTS = "MURA, all seven parts"
PAPERS = (
    PaperResult("msk_random_baseline", "random baseline", WRIST, (0.4921,), 0.4861),
    PaperResult("msk_cnn", "CNN of four blocks", WRIST, (0.7509,), 0.6013),
    PaperResult("msk_densenet169", "DenseNet169, frozen", WRIST, (0.7899,), 0.6873),
    PaperResult(
        "msk_resnet50",
        "ResNet50",
        ALL_PARTS,
        (0.7193, 0.9432),
        None,
        "the paper contradicts itself: it gives the accuracy as 71.93 % and as 94.32 %",
    ),
    PaperResult("msk_efficientnet_b3", "EfficientNet-B3", ALL_PARTS, (0.9592,)),
)


@dataclass(frozen=True, slots=True)
class Anchor:
    """A published number: on which ``dataset`` (one of ``SETS``), at which level, and where it stands."""

    dataset: str
    model: str
    source: str
    metrics: Mapping[str, float]
    parts: Mapping[str, float] = field(default_factory=dict)  # kappa of each body part
    level: str = "study"
    note: str = ""


ANCHORS = (
    Anchor(
        HIDDEN_TEST,
        "DenseNet169, mean of views",
        MURA_PAPER,
        {"auroc": 0.929, "sensitivity": 0.815, "specificity": 0.887, "kappa": 0.705},
        {
            "elbow": 0.710,
            "finger": 0.389,
            "forearm": 0.737,
            "hand": 0.851,
            "humerus": 0.600,
            "shoulder": 0.729,
            "wrist": 0.931,
        },
    ),
    Anchor(HIDDEN_TEST, "best of three radiologists", LEADERBOARD, {"kappa": 0.778}),
    Anchor(HIDDEN_TEST, "best ensemble (base-comb2-xuan-v3)", LEADERBOARD, {"kappa": 0.843}),
    Anchor(
        PUBLIC_VALIDATION,
        "DenseNet169, mean of views",
        PENGSHIQI,
        {"kappa": 0.662},
        {
            "elbow": 0.746,
            "finger": 0.582,
            "forearm": 0.711,
            "hand": 0.540,
            "humerus": 0.778,
            "shoulder": 0.576,
            "wrist": 0.701,
        },
    ),
    Anchor(PUBLIC_VALIDATION, "DenseNet169, least of views", PENGSHIQI, {"kappa": 0.673}),
    Anchor(PUBLIC_VALIDATION, "ResNet152", PENGSHIQI, {"kappa": 0.662}),
    Anchor(PUBLIC_VALIDATION, "VGG16", PENGSHIQI, {"kappa": 0.610}),
    Anchor(PUBLIC_VALIDATION, "DenseNet169", ILIAS_ANT, {"kappa": 0.629}),
    Anchor(PUBLIC_VALIDATION, "DenseNet201", ILIAS_ANT, {"kappa": 0.645}),
    Anchor(PUBLIC_VALIDATION, "ResNet50", ILIAS_ANT, {"kappa": 0.618}),
    Anchor(PUBLIC_VALIDATION, "VGG19", ILIAS_ANT, {"kappa": 0.598}),
    Anchor(PUBLIC_VALIDATION, "DenseNet169 + ResNet50", ILIAS_ANT, {"kappa": 0.645}),
    Anchor(PUBLIC_VALIDATION, "DenseNet169", "github.com/Hawk453/MURA-DenseNet-Humerus", {}, {"humerus": 0.674}),
    Anchor(
        PUBLIC_VALIDATION,
        "best of 11 networks: Inception-ResNet-v2, augmented",
        "Sensors 2021, 21:5381",
        {"accuracy": 0.857},
        {"wrist": 0.703},
        note="wrist only; level and split as in the source",
    ),
    Anchor(
        PUBLIC_VALIDATION,
        "Xception-Swin, one model per part",
        J_IMAGING,
        {},
        note="from the weakest to the strongest part: kappa .445 to .707, AUROC .769 to .908, accuracy .729 to .854",
    ),
    Anchor(PUBLIC_VALIDATION, "ResNet101", "JIRBDAI", {"accuracy": 0.780, "auroc": 0.81}, note="elbow only"),
    Anchor(
        PUBLIC_VALIDATION,
        "DenseNet, last ten layers trained",
        "thesis, Daffodil International University",
        {},
        {"finger": 0.439, "humerus": 0.638},
    ),
    Anchor(
        OTHER_DATA,
        "Xception-Swin, not trained on FracAtlas",
        J_IMAGING,
        {"auroc": 0.825, "kappa": 0.581},
        note="FracAtlas; another selection of its images than any split of ours",
    ),
)

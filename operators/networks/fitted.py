"""What was fitted for a bundle."""

from __future__ import annotations

from operators.networks.bundle import Bundle
from operators.records.errors import BundleError
from operators.records.rules import BoxRule, MapRule


def fitted_rules(bundle: Bundle) -> tuple[MapRule, BoxRule]:
    """Return how maps are made and boxes found with a classifier: what ``training.fit`` wrote into its metadata.

    Raises
    ------
    BundleError
        If there is no such way.
    """
    fitted = bundle.metadata["localization"]
    try:
        maps = MapRule(
            method=fitted.get("map", "cam"),
            stages=fitted.get("stages_used", 1),
            flips=fitted.get("flips", False),
            scales=tuple(fitted.get("scales", (1.0,))),
        )
        boxes = BoxRule(
            method=fitted.get("boxes", "components"),
            threshold=fitted["threshold"],
            expansion=fitted["expansion"],
            cut=fitted.get("cut", "fraction"),
            least_score=fitted.get("least_score", 0.0),
        )
    except (TypeError, ValueError) as error:
        raise BundleError(f"bundle {bundle.name}: localization of metadata.json cannot be used ({error})") from error
    return maps, boxes

"""One table: body part, laterality, finding and normality -> coded concepts (PS3.16)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from operators.records.reasons import REASONS, DoubtReason, Reason
from operators.records.states import State

# Defined terms of Body Part Examined (PS3.16 Annex L) -> anatomic region (CID 4031).
BODY_PARTS: Mapping[str, Code] = {
    "ACJOINT": Code("85856004", "SCT", "Acromioclavicular joint"),
    "ANKLE": Code("70258002", "SCT", "Ankle joint"),
    "ARM": Code("40983000", "SCT", "Upper arm"),
    "CALCANEUS": Code("80144004", "SCT", "Calcaneus"),
    "CLAVICLE": Code("51299004", "SCT", "Clavicle"),
    "ELBOW": Code("16953009", "SCT", "Elbow joint"),
    "EXTREMITY": Code("66019005", "SCT", "Extremity"),
    "FEMUR": Code("71341001", "SCT", "Femur"),
    "FIBULA": Code("87342007", "SCT", "Fibula"),
    "FINGER": Code("7569003", "SCT", "Finger"),
    "FOOT": Code("56459004", "SCT", "Foot"),
    "FOREARM": Code("14975008", "SCT", "Forearm"),
    "HAND": Code("85562004", "SCT", "Hand"),
    "HIP": Code("24136001", "SCT", "Hip joint"),
    "HUMERUS": Code("85050009", "SCT", "Humerus"),
    "KNEE": Code("72696002", "SCT", "Knee"),
    "LEG": Code("30021000", "SCT", "Lower leg"),
    "LOWERLIMB": Code("61685007", "SCT", "Lower limb"),
    "PATELLA": Code("64234005", "SCT", "Patella"),
    "PELVIS": Code("816092008", "SCT", "Pelvis"),
    "PELVISLOWEXTREMT": Code("1231522001", "SCT", "Pelvis and lower extremities"),
    "SCAPULA": Code("79601000", "SCT", "Scapula"),
    "SHOULDER": Code("16982005", "SCT", "Shoulder"),
    "THIGH": Code("68367000", "SCT", "Thigh"),
    "THUMB": Code("76505004", "SCT", "Thumb"),
    "TOE": Code("29707007", "SCT", "Toe"),
    "UPPERLIMB": Code("53120007", "SCT", "Upper limb"),
    "WRIST": Code("74670003", "SCT", "Wrist joint"),
}
# The other defined terms of PS3.16 Annex L (human anatomy): an image of such a part is out of scope, by its name. No
# other text than these and the terms above is ever repeated in a result: it could be anything, also a patient's name.
_OTHER_TERMS = (
    "ABDOMEN ABDOMENPELVIS ADRENAL AORTA AXILLA BACK BLADDER BRAIN BREAST BRONCHUS BUTTOCK CALF CAROTID "
    "CEREBELLUM CERVIX CHEEK CHEST CHESTABDOMEN CHESTABDPELVIS CIRCLEOFWILLIS COCCYX COLON CORNEA "
    "CORONARYARTERY CSPINE CTSPINE DUODENUM EAR ESOPHAGUS EYE EYELID FACE GALLBLADDER HEAD HEADNECK HEART "
    "IAC ILEUM ILIUM JAW JEJUNUM KIDNEY LARYNX LIVER LSPINE LSSPINE LUNG MANDIBLE MAXILLA MEDIASTINUM "
    "MOUTH NECK NECKCHEST NECKCHESTABDOMEN NECKCHESTABDPELV NOSE ORBIT OVARY PANCREAS PAROTID PENIS "
    "PHARYNX PROSTATE RADIUS RADIUSULNA RECTUM RIB SCALP SCJOINT SCLERA SCROTUM SIJOINT SKULL SPINE "
    "SPLEEN SSPINE STERNUM STOMACH SUBMANDIBULAR TESTIS THYMUS THYROID TIBIAFIBULA TLSPINE TMJ TONGUE "
    "TRACHEA TSPINE ULNA URETER URETHRA UTERUS VAGINA VULVA WHOLEBODY ZYGOMA"
)
OTHER_BODY_PARTS = frozenset(re.findall("[A-Z]+", _OTHER_TERMS))
# View Position: the defined terms of PS3.3 C.8.1.1, and what equipment writes for the other views of the limbs
# (CID 4010), as no section of the Standard has a term for them.
VIEW_POSITIONS = frozenset(("AP", "PA", "LL", "RL", "RLD", "LLD", "RLO", "LLO", "LAT", "OBL", "AXIAL"))
_VIEW_SYNONYMS: Mapping[str, str] = {"LATERAL": "LAT", "OBLIQUE": "OBL", "AX": "AXIAL"}
# What equipment writes instead of the defined term, and the concepts that have no term of their own in the table.
_BODY_PART_SYNONYMS: Mapping[str, str] = {
    "TIBIA": "LEG",
    "TIBFIB": "LEG",
    "LOWLEG": "LEG",
    "LOWERLEG": "LEG",
    "UPPERARM": "ARM",
    "LOWEREXTREMITY": "LOWERLIMB",
    "UPPEREXTREMITY": "UPPERLIMB",
    "HEEL": "CALCANEUS",
}
_TERM_OF_REGION: Mapping[Code, str] = {code: term for term, code in BODY_PARTS.items()} | {
    Code("29836001", "SCT", "Hip"): "HIP",
    Code("12921003", "SCT", "Pelvis"): "PELVIS",
    Code("12611008", "SCT", "Tibia"): "LEG",
}

LATERALITIES: Mapping[str, Code] = {
    "L": Code("7771000", "SCT", "Left"),
    "R": Code("24028007", "SCT", "Right"),
    "B": Code("51440002", "SCT", "Right and left"),
}  # CID 244, which has no code for an unpaired body part
_SIDES: Mapping[str, str] = {"L": "left", "R": "right", "B": "both sides", "U": "unpaired"}

# CID 222 Normality Codes
NORMALITY: Mapping[State, Code] = {
    State.NORMAL: Code("17621005", "SCT", "Normal"),
    State.DOUBT: Code("371934000", "SCT", "Normality Undetermined"),
    State.ABNORMAL: Code("263654008", "SCT", "Abnormal"),
}
NORMALITY_NAME = Code("121402", "DCM", "Normality")
PROBABILITY_NAME = Code("122157", "DCM", "Probability")
RATIO_UNIT = Code("{0:1}", "UCUM", "range: 0:1")
ABNORMALITY = Code("C9440", "NCIt", "Abnormality")  # of a classifier whose bundle names no finding
RADIOLOGIC_FINDING = Code("118247008", "SCT", "Radiologic finding")  # of an image that shows none of what is looked for
MORPHOLOGICALLY_ALTERED_STRUCTURE = Code("49755003", "SCT", "Morphologically Altered Structure")  # CID 7150
AREA = Code("42798000", "SCT", "Area")
SQUARE_MILLIMETRE = Code("mm2", "UCUM", "square millimeter")
PIXELS = Code("{pixels}", "UCUM", "Pixels")
IMAGING_PROCEDURE = Code("363679005", "SCT", "Imaging procedure")
BOUNDED_BY = Code("75958009", "SCT", "Bounded by")  # CID 219
ARTIFICIAL_INTELLIGENCE = Code("123110", "DCM", "Artificial Intelligence")  # CID 7162
PROCESSING_EQUIPMENT = Code("109102", "DCM", "Processing Equipment")  # CID 7005
QUALITATIVE_EVALUATIONS = Code("C0034375", "UMLS", "Qualitative Evaluations")  # TID 1500
SOURCE = Code("260753009", "SCT", "Source")

# What became of an image that was not analysed (CID 6042); the reason is the value.
NOT_ANALYSED: Mapping[State, Code] = {
    State.DECLINED: Code("111225", "DCM", "Not Attempted"),
    State.FAILED: Code("111224", "DCM", "Failed"),
}
# The public schemes have no codes as exact as our reasons, so these are private (PS3.16 8).
PRIVATE_SCHEME = "99OSTEOMAP"
REASON_CODES: Mapping[Reason | DoubtReason, Code] = {
    reason: Code(text.code, PRIVATE_SCHEME, text.meaning) for reason, text in REASONS.items()
}
# What a reason for doubt is the value of: one that keeps the image from being called normal, one that app.yaml accepts.
DOUBT_NAME = Code("DOUBT", PRIVATE_SCHEME, "Reason for doubt")
PEAK_NAME = Code("MAP-PEAK", PRIVATE_SCHEME, "Peak of the heat map in the box")
RELAXED_NAME = Code("RELAXED-CHECK", PRIVATE_SCHEME, "Reason for doubt that the configuration accepts")


def in_sentence(code: Code) -> str:
    """Return the meaning of a code as it stands within a sentence; an abbreviation keeps its capitals."""
    meaning = str(code.meaning)
    return meaning if meaning[1:2].isupper() else f"{meaning[:1].lower()}{meaning[1:]}"


def normalise_body_part(text: str) -> str | None:
    """Return the defined term in a Body Part Examined as equipment writes it, or None if there is none."""
    term = "".join(character for character in text.upper() if character.isalnum())
    words = [_BODY_PART_SYNONYMS.get(word, word) for word in (term, *re.findall("[A-Z0-9]+", text.upper()))]
    return next((word for terms in (BODY_PARTS, OTHER_BODY_PARTS) for word in words if word in terms), None)


def normalise_view_position(text: str) -> str | None:
    """Return the term of a View Position as equipment writes it, or None if it is none."""
    term = "".join(character for character in text.upper() if character.isalnum())
    term = _VIEW_SYNONYMS.get(term, term)
    return term if term in VIEW_POSITIONS else None


def body_part_of_region(region: Dataset) -> str | None:
    """Return the defined term of an Anatomic Region Sequence item, or None if the table does not know its code.

    Retired SNOMED RT codes (SRT) are understood.
    """
    code = Code(str(region.get("CodeValue") or ""), str(region.get("CodingSchemeDesignator") or ""), "")
    return next((term for known, term in _TERM_OF_REGION.items() if known == code), None)


def place(body_part: str | None, laterality: str | None = None, view_position: str | None = None) -> str:
    """Return which view of which body part an image shows, in words, as far as its header says."""
    region = BODY_PARTS.get(body_part or "")
    words = [
        region.meaning if region else (body_part or "Body part unknown").capitalize(),
        _SIDES.get(laterality or "", laterality),
        view_position,
    ]
    return ", ".join(word for word in words if word)

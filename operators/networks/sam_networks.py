"""Image encoders for Segment Anything, and the models that are built with them."""

from __future__ import annotations

import re
from collections.abc import Sequence

import timm
import torch
from segment_anything.modeling import MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from segment_anything.modeling.common import LayerNorm2d
from torch import Tensor, nn

from operators.networks.map_classifier import merge_top_down


class PyramidImageEncoder(nn.Module):
    """A compact image encoder for SAM: a timm backbone whose stages are merged at the finest stage's stride.

    Parameters
    ----------
    encoder
        A timm model built with ``features_only=True``.
    img_size
        Side of the square input, pixels (segment_anything's name for it).
    embed_dim
        Channels of the image embedding, as the mask decoder expects.
    """

    def __init__(self, encoder: nn.Module, img_size: int, embed_dim: int) -> None:
        super().__init__()
        self.img_size = img_size
        self.encoder = encoder
        stages: Sequence[int] = encoder.feature_info.channels()  # type: ignore[operator, union-attr]
        self.lateral = nn.ModuleList(nn.Conv2d(channels, embed_dim, 1) for channels in stages)
        self.neck = nn.Sequential(
            LayerNorm2d(embed_dim), nn.Conv2d(embed_dim, embed_dim, 3, padding=1), LayerNorm2d(embed_dim)
        )

    def forward(self, image: Tensor) -> Tensor:
        """Return embeddings (batch, embed_dim, img_size / s, img_size / s) of images (batch, 3, img_size, img_size)."""
        stages = self.encoder(image)
        projected = [convolution(stage) for convolution, stage in zip(self.lateral, stages, strict=True)]
        return self.neck(merge_top_down(projected))  # type: ignore[no-any-return]


class TinyViTImageEncoder(nn.Module):
    """MobileSAM's image encoder, from timm's TinyViT: 64 x 64 embeddings of 256 channels of a 1024 x 1024 image.

    Notes
    -----
    Zhang et al., "Faster Segment Anything", 2023. The last stage keeps its resolution.
    """

    img_size = 1024

    def __init__(self) -> None:
        super().__init__()
        model = timm.create_model("tiny_vit_5m_224", pretrained=False, num_classes=0)
        model.stages[3].downsample.conv2.conv.stride = (1, 1)
        self.patch_embed, self.stages = model.patch_embed, model.stages
        self.neck = nn.Sequential(
            nn.Conv2d(320, 256, 1, bias=False),
            LayerNorm2d(256),
            nn.Conv2d(256, 256, 3, padding=1, bias=False),
            LayerNorm2d(256),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Return embeddings (batch, 256, 64, 64) of images (batch, 3, 1024, 1024)."""
        return self.neck(self.stages(self.patch_embed(image)))  # type: ignore[no-any-return]


class BoxPromptedSam(Sam):
    """Segment Anything whose ``forward`` is that of a network of MONAI: images, and a box for each, to logits."""

    def forward(self, image: Tensor, boxes: Tensor | None = None) -> Tensor:
        """Return the logits (batch, 1, h, w) of the finding in a box of each image, h and w the decoder's.

        Parameters
        ----------
        image
            (batch, 3, img_size, img_size), pre-processed as ``inference.json`` says: 0 to 255.
        boxes
            (batch, 4): left, top, right, bottom in pixels of the input; None: the whole image.
        """
        if boxes is None:
            boxes = _whole_image(image)
        embeddings = self.image_encoder(self.preprocess(image))
        position = self.prompt_encoder.get_dense_pe()
        logits = []
        for index in range(len(image)):  # segment_anything decodes several prompts of one image, not several images
            sparse, dense = self.prompt_encoder(points=None, boxes=boxes[index : index + 1], masks=None)
            of_image, _ = self.mask_decoder(embeddings[index : index + 1], position, sparse, dense, False)
            logits.append(of_image)
        return torch.cat(logits)

    def __prepare_scriptable__(self) -> nn.Module:
        """Return what ``torch.jit.script`` compiles instead: segment_anything's modules can only be traced."""
        return _TracedSam(self)


class _TracedSam(nn.Module):
    def __init__(self, sam: BoxPromptedSam) -> None:
        super().__init__()
        size: int = sam.image_encoder.img_size
        image = torch.zeros(1, 3, size, size)
        self.of_one_image = torch.jit.trace(sam.eval(), (image, _whole_image(image)))  # type: ignore[no-untyped-call]

    def forward(self, image: Tensor, boxes: Tensor | None = None) -> Tensor:
        if boxes is None:
            boxes = _whole_image(image)
        logits = [self.of_one_image(image[index : index + 1], boxes[index : index + 1]) for index in range(len(image))]
        return torch.cat(logits)


def _whole_image(image: Tensor) -> Tensor:
    height, width = image.shape[2], image.shape[3]
    return torch.tensor([[0.0, 0.0, float(width), float(height)]], device=image.device).repeat(image.shape[0], 1)


def build_sam(
    image_encoder: nn.Module,
    embed_dim: int,
    embedding_size: int,
    mlp_dim: int = 2048,
    *,
    pixel_mean: Sequence[float] = (123.675, 116.28, 103.53),
    pixel_std: Sequence[float] = (58.395, 57.12, 57.375),
) -> BoxPromptedSam:
    """Put segment_anything's prompt encoder and mask decoder behind an image encoder.

    Parameters
    ----------
    embed_dim, embedding_size
        Channels and side of the image embedding.
    mlp_dim
        Width of the decoder's transformer.
    pixel_mean, pixel_std
        What the encoder's input is normalised with, of pixels 0 to 255; the default is ImageNet's, as in SAM.
    """
    size: int = image_encoder.img_size  # type: ignore[assignment]
    transformer = TwoWayTransformer(depth=2, embedding_dim=embed_dim, mlp_dim=mlp_dim, num_heads=8)
    return BoxPromptedSam(
        image_encoder=image_encoder,
        prompt_encoder=PromptEncoder(embed_dim, (embedding_size, embedding_size), (size, size), mask_in_chans=16),
        mask_decoder=MaskDecoder(transformer_dim=embed_dim, transformer=transformer, iou_head_hidden_dim=embed_dim),
        pixel_mean=list(pixel_mean),
        pixel_std=list(pixel_std),
    )


def build_mobile_sam() -> BoxPromptedSam:
    """Build MobileSAM; its published checkpoint loads as it is, keys are renamed on the way in."""
    sam = build_sam(TinyViTImageEncoder(), embed_dim=256, embedding_size=64)
    sam.register_load_state_dict_pre_hook(_rename_mobile_sam)
    return sam


def _rename_mobile_sam(_module: nn.Module, state: dict[str, Tensor], *_: object) -> None:
    """Rename the keys of MobileSAM's TinyViT to timm's; drop its unused classification head."""
    for key in [key for key in state if key.startswith("image_encoder.")]:
        tensor, name = state.pop(key), key.removeprefix("image_encoder.")
        if name.startswith(("norm_head", "head")):
            continue
        name = name.replace("patch_embed.seq.0.", "patch_embed.conv1.").replace(
            "patch_embed.seq.2.", "patch_embed.conv2."
        )
        name = re.sub(r"^layers\.(\d+)\.downsample", lambda match: f"stages.{int(match[1]) + 1}.downsample", name)
        state["image_encoder." + re.sub(r"\.c\.", ".conv.", re.sub(r"^layers\.", "stages.", name))] = tensor

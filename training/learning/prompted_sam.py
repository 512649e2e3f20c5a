"""SAM as a network that is trained: a batch of images with a prompt each, all four masks of one decoder pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

import torch
from monai.losses.dice import DiceFocalLoss
from segment_anything.modeling import MaskDecoder, Sam
from torch import Tensor, nn
from torch.nn import functional

from training.batches.prompt_jitter import NO_POINT, Prompt


class MaskPrediction(TypedDict):
    """``logits`` (batch, 4, h, w), h and w the decoder's: the single mask, then the three; ``iou`` (batch, 4)."""

    logits: Tensor
    iou: Tensor


class PromptedSam(nn.Module):
    """Sam as a network of (images, one prompt each) -> all masks, for training and evaluation.

    Where the image encoder is frozen it stays in evaluation mode, and nothing is kept for its gradients.
    """

    def __init__(self, sam: Sam) -> None:
        super().__init__()
        self.sam = sam
        self.frozen = [
            part
            for part in (sam.image_encoder, sam.prompt_encoder)
            if not any(parameter.requires_grad for parameter in part.parameters())
        ]

    def train(self, mode: bool = True) -> PromptedSam:
        """Set the mode of what is not frozen."""
        super().train(mode)
        for part in self.frozen:
            part.eval()
        return self

    def forward(self, image: Tensor, prompt: Prompt) -> MaskPrediction:
        """Return the masks of images (batch, 3, height, width), 0 to 255."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.sam.image_encoder not in self.frozen):
            embeddings = self.sam.image_encoder((image - self.sam.pixel_mean) / self.sam.pixel_std)
        counts = (prompt["point_labels"] != NO_POINT).sum(dim=1)
        logits = iou = None
        for count in sorted(set(counts.tolist())):  # prompts of as many points go through the decoder together
            chosen = torch.nonzero(counts == count)[:, 0]
            points = (prompt["points"][chosen, :count], prompt["point_labels"][chosen, :count]) if count else None
            sparse, dense = self.sam.prompt_encoder(points=points, boxes=prompt["box"][chosen], masks=None)
            masks, scores = decode(
                self.sam.mask_decoder, embeddings[chosen], self.sam.prompt_encoder.get_dense_pe(), sparse, dense
            )
            if logits is None or iou is None:
                logits = masks.new_empty((len(counts), *masks.shape[1:]), dtype=torch.float32)
                iou = scores.new_empty((len(counts), *scores.shape[1:]), dtype=torch.float32)
            logits = logits.index_copy(0, chosen, masks.float())
            iou = iou.index_copy(0, chosen, scores.float())
        if logits is None or iou is None:
            raise ValueError("an empty batch")
        return {"logits": logits, "iou": iou}


def decode(
    decoder: MaskDecoder, embeddings: Tensor, position: Tensor, sparse: Tensor, dense: Tensor
) -> tuple[Tensor, Tensor]:
    """Return all masks' logits (batch, 4, h, w) and predicted IoU (batch, 4) of images with one prompt each.

    Parameters
    ----------
    embeddings, dense
        (batch, channels, h, w).
    position
        (1, channels, h, w), as ``PromptEncoder.get_dense_pe`` gives it.
    sparse
        (batch, tokens, channels).

    Notes
    -----
    What ``MaskDecoder.predict_masks`` does for many prompts of one image, for one prompt of many images.
    """
    batch, channels, height, width = embeddings.shape
    tokens = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    tokens = torch.cat([tokens[None].expand(batch, -1, -1), sparse], dim=1)
    hidden, image = decoder.transformer(embeddings + dense, position.expand(batch, -1, -1, -1), tokens)
    upscaled = decoder.output_upscaling(image.transpose(1, 2).reshape(batch, channels, height, width))
    of_masks = [layer(hidden[:, 1 + index]) for index, layer in enumerate(decoder.output_hypernetworks_mlps)]
    logits = torch.einsum("bnc,bchw->bnhw", torch.stack(of_masks, dim=1), upscaled)
    return logits, decoder.iou_prediction_head(hidden[:, 0])


def single_mask(prediction: Mapping[str, Tensor], size: int) -> Tensor:
    """Return the single mask's logits of one sample, (1, size, size)."""
    logits = prediction["logits"][None, :1]
    return functional.interpolate(logits, (size, size), mode="bilinear", align_corners=False)[0]


class PromptedMaskLoss(nn.Module):
    """Dice and focal loss of the single mask and of the best of three, plus the squared error of every predicted IoU.

    Parameters
    ----------
    focal_weight, iou_weight
        Weights beside the Dice loss.
    three_weight
        Weight of the least loss among the three masks; 0 leaves them untrained.

    Notes
    -----
    Kirillov et al., ICCV 2023: only the best of three learns from a sample, so that the three stay different.
    """

    def __init__(self, focal_weight: float = 5.0, iou_weight: float = 1.0, three_weight: float = 0.5) -> None:
        super().__init__()
        self.mask_loss = DiceFocalLoss(sigmoid=True, gamma=2.0, lambda_focal=focal_weight, reduction="none")
        self.iou_weight = iou_weight
        self.three_weight = three_weight

    def forward(self, prediction: MaskPrediction, mask: Tensor) -> Tensor:
        """Return the loss, a scalar, of a prediction and masks (batch, 1, height, width) 0 or 1."""
        logits = functional.interpolate(prediction["logits"], mask.shape[-2:], mode="bilinear", align_corners=False)
        losses = self.mask_loss(logits, mask.expand_as(logits)).mean(dim=(2, 3))
        found, true = logits.detach() > 0, mask > 0.5
        overlap = (found & true).sum(dim=(2, 3)) / (found | true).sum(dim=(2, 3)).clamp_min(1)
        of_masks = losses[:, 0] + self.three_weight * losses[:, 1:].amin(dim=1)
        of_scores = functional.mse_loss(prediction["iou"], overlap.float())
        return torch.as_tensor(of_masks.mean() + self.iou_weight * of_scores)

"""What image systems read, and what a question may add."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, field_validator

from ecotone.contract import Options
from ecotone.errors import UsageError


class Inputs(Options):
    """What `fit` reads.

    Attributes:
        images: Folder whose subfolders are classes (also within train, val and test), or a table that names images.
        labels: Column of the table that holds the class; found by itself where it has a usual name.
        folder: What the paths of a table are relative to; the table's own folder by default.
        weights: Folder of a pretrained encoder (DINOv2, CLIP or SigLIP, as transformers writes it), or a name on the hub. Without
            it a small encoder is trained on the images.
        revision: Commit of the weights on the hub, 40 hexadecimal digits.
        limit: Use at most this many images of each class, drawn at random.
    """

    images: Any = None
    labels: str | None = None
    folder: Any = None
    weights: Any = None
    revision: str | None = None
    limit: int | None = Field(default=None, ge=4)

    def check(self) -> Self:
        """Refuses inputs that do not say what to learn from.

        Raises:
            UsageError: US105.
        """
        if self.images is None:
            fix = "pass a folder of class folders or a table (--images DIR)"
            raise UsageError("US105", "--images", "is missing", fix)
        return self


class Query(Options):
    """What `predict`, `evaluate` and `explain` read; without images the test images of `fit` are meant.

    Attributes:
        images: An image, a folder or a table.
        labels: Column of the table that holds the class; as in `fit` by default.
        folder: What the paths of a table are relative to; the table's own folder by default.
    """

    images: Any = None
    labels: str | None = None
    folder: Any = None


class Ask(Options):
    """What a question may add.

    Attributes:
        remove: Parts to leave out, numbered from 1.
        shown: Images explained when none is asked for.
    """

    remove: tuple[int, ...] = ()
    shown: int = Field(default=6, ge=1, le=100)

    @field_validator("remove", mode="before")
    @classmethod
    def _numbers(cls, value: Any) -> Any:
        words = value if isinstance(value, list | tuple) else [value]
        return tuple(int(w) for text in words for w in str(text).replace(",", " ").split())


class VisionConfig(Options):
    """How image systems learn; systems add their own.

    Attributes:
        encoder: Shape of the encoder that is trained when no weights are given, see `ecotone.nn.encoders.ENCODERS`.
        image_size: Side of the input, pixels; that of the encoder by default.
        fit: How an image becomes a square: "crop" takes the middle, "squash" all of it, "pad" fills up.
        pretrain_epochs: Epochs of training the encoder when no weights are given.
        seed: Of everything random.
    """

    encoder: str = "vit_mini"
    image_size: int | None = Field(default=None, ge=16, le=1024)
    fit: Literal["crop", "squash", "pad"] = "crop"
    pretrain_epochs: int = Field(default=20, ge=0, le=1000)
    seed: int = Field(default=0, ge=0, lt=2**31)

"""What may be done beyond copying blobs of equal names and shapes."""

from __future__ import annotations

from typing import Collection, Mapping, NamedTuple, Optional, Tuple


class HeadStart(NamedTuple):
    """What a branch's own classifier stands for in the new head.

    Examples:
        The odd digits were the classes 0 to 4 of their branch, and so were the even ones:

        >>> from netbuild import CopyOptions, HeadStart, fuse_weights
        >>> head = {"odd": HeadStart((1, 3, 5, 7, 9)), "even": HeadStart((0, 2, 4, 6, 8))}
        >>> weights = {"odd": "odd.caffemodel", "even": "even.caffemodel"}
        >>> fuse_weights("fused/train_val.prototxt", weights, "init.caffemodel", CopyOptions(head=head)).planned.head
        'ip2'
    """

    classes: Tuple[int, ...]
    """The head's class of each of the classifier's outputs."""
    layer: Optional[str] = None
    """The classifier's name in the branch's file; by default the only layer there of a fitting shape that is not
    copied."""


class CopyOptions(NamedTuple):
    """What may be done beyond copying blobs of equal names and shapes. Layers have their full names in the target.

    Examples:
        The layer `conv1` of the branch is called `first` in its file:

        >>> from netbuild import CopyOptions
        >>> options = CopyOptions(maps={"odd/conv1": "first"}, partial=True)
    """

    maps: Mapping[str, str] = {}
    """For a layer the name that it has in its branch's file, where that is not its own."""
    partial: bool = False
    """Leave layers that are in none of their branch's files to their fillers."""
    reshape: Collection[str] = ()
    """Layers that take equally many values of another shape: a convolution for a fully connected layer, or back."""
    channels: Mapping[str, str] = {}
    """'mean' or 'sum' for a convolution of other input channels. From colour to grey, a kernel becomes the mean or sum
    of its channels'. From grey to colour, the layer then sees the mean or sum of the channels. From several to several
    there is 'mean' alone: each channel gets the mean of the file's, as two-stream nets begin on optical flow."""
    accept: Collection[str] = ()
    """Parameters in which a layer may differ from what its file says of it: dilation, say."""
    over_2gb: bool = False
    """Write a caffemodel even where it is larger than Caffe reads."""
    head: Mapping[str, HeadStart] = {}
    """Per prefix the classes that the branch's own classifier stands for in the new head, which begins as that."""


AS_THEY_ARE: CopyOptions = CopyOptions()
CHANNELS = ("mean", "sum")

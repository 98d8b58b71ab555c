"""Layers that find objects: regions and their features, priors, and what is made of them.

As the sources of Fast R-CNN, R-FCN, SSD, RefineDet and MobileNet-YOLO have them (Reshape and LayerSetUp of each).
"""

from __future__ import annotations

from typing import List, Sequence

from ..schema import Message
from .lengths import Length, Shape, Shapes, UnfitError, count, counted, differ, legacy, product, require_positive
from .row import Use

_REGION = 5
"""A region is an image's number and two corners."""
_FOUND = 7
"""What is found is an image's number, a class, a score and a box."""
_EVALUATED = 5
_ANNOTATED = 8
"""An annotation is an image's number, a class, an object's number, a box, and whether it is difficult."""
_BOX = 4


def _items(shape: Shape) -> Length:
    return shape[0] if shape else None


def _channels(shape: Shape) -> Length:
    return None if shape is None else legacy(shape)[1]


def roi_pooling(layer: Message, bottoms: List[Shape]) -> Shapes:
    """ROIPooling of Fast R-CNN: (R, C, pooled_h, pooled_w) for R regions; Intel has both as `pooled_size` too."""
    p = layer.roi_pooling_param
    sizes: Sequence[int] = list(p.pooled_size) or [p.pooled_h, p.pooled_w]
    if len(sizes) > 2:
        raise UnfitError(f"has {len(sizes)} values of pooled_size; give one, or height and width")
    require_positive("pooled_h and pooled_w", sizes)
    _require_regions(bottoms[1])
    return [(_items(bottoms[1]), _channels(bottoms[0]), sizes[0], sizes[-1])], []


def roi_align(_layer: Message, bottoms: List[Shape]) -> Shapes:
    """ROIAlign of Mask R-CNN: as ROIPooling; no fork known here has its options, so that the size stays open."""
    _require_regions(bottoms[1])
    return [(_items(bottoms[1]), _channels(bottoms[0]), None, None)], []


def places_kept(use: Use) -> int:
    """ROIPooling and PSROIPooling: where each value comes from."""
    return count(use.tops[0])


def psroi_pooling(layer: Message, bottoms: List[Shape]) -> Shapes:
    """PSROIPooling of R-FCN: (R, output_dim, group_size, group_size), each place from channels of its own."""
    p = layer.psroi_pooling_param
    require_positive("output_dim", [p.output_dim])
    require_positive("group_size", [p.group_size])
    wanted = p.output_dim * p.group_size**2
    if differ(_channels(bottoms[0]), wanted):
        raise UnfitError(f"the first bottom must have output_dim x group_size x group_size channels, {wanted}")
    _require_regions(bottoms[1])
    return [(_items(bottoms[1]), p.output_dim, p.group_size, p.group_size)], []


def _require_regions(shape: Shape) -> None:
    if shape is not None and differ(product(shape[1:]), _REGION):
        raise UnfitError("the second bottom must have 5 values for each region: the image's number and two corners")


def box_annotator_ohem(layer: Message, bottoms: List[Shape]) -> Shapes:
    """BoxAnnotatorOHEM of R-FCN: a label for each region, and weights for its box."""
    require_positive("roi_per_img", [layer.box_annotator_ohem_param.roi_per_img])
    regions, weights = bottoms[0], bottoms[3]
    _require_regions(regions)
    size = (None, None) if regions is None else legacy(regions)[2:]
    return [(_items(regions), 1, *size), (_items(regions), _channels(weights), *size)], []


def prior_box(layer: Message, bottoms: List[Shape]) -> Shapes:
    """PriorBox of SSD: (1, 2, 4 x priors): the corners of priors at each place of the first bottom, and variances."""
    number = _priors_each(layer.prior_box_param)
    shape = bottoms[0]
    places = None if shape is None else product(legacy(shape)[2:])
    return [(1, 2, product([places, number, _BOX]))], []


_SAME_RATIO = 1e-6


def _priors_each(param: Message) -> int:
    """Return how many priors there are at each place: one for each ratio and size, and one more for each max_size."""
    if not param.min_size:
        raise UnfitError("min_size must be given")
    if len(param.max_size) not in (0, len(param.min_size)):
        raise UnfitError(
            f"has {counted(len(param.max_size), 'max_size')} for {counted(len(param.min_size), 'min_size')}; give one "
            "for each, or none"
        )
    if any(largest <= smallest for smallest, largest in zip(param.min_size, param.max_size)):
        raise UnfitError("each max_size must be more than its min_size")
    if len(param.variance) not in (0, 1, _BOX):
        raise UnfitError(f"has {counted(len(param.variance), 'variance')}; give one, or four")
    ratios = [1.0]
    for ratio in param.aspect_ratio:
        if all(abs(ratio - other) >= _SAME_RATIO for other in ratios):
            ratios += [ratio, 1 / ratio] if param.flip else [ratio]
    return len(ratios) * len(param.min_size) + len(param.max_size)


def detection_output(layer: Message, bottoms: List[Shape]) -> Shapes:
    """DetectionOutput of SSD: (1, 1, number of finds, 7), which only a forward pass tells."""
    p = layer.detection_output_param
    _require_classes(p)
    _require_predictions(bottoms, p)
    return [(1, 1, None, _FOUND)], []


def multibox_loss(layer: Message, bottoms: List[Shape]) -> Shapes:
    """MultiBoxLoss of SSD; RefineDet's takes what its first step has refined as a fifth and sixth bottom."""
    p = layer.multibox_loss_param
    _require_classes(p)
    _require_predictions(bottoms, p)
    return [()], []


def _require_classes(param: Message) -> None:
    if not param.HasField("num_classes"):
        raise UnfitError("num_classes must be given")


def _require_predictions(bottoms: List[Shape], param: Message) -> None:
    """Raise UnfitError unless there are a box and scores of the classes for each prior."""
    locations, scores, priors = bottoms[:3]
    if locations and scores and differ(locations[0], scores[0]):
        raise UnfitError("the first two bottoms must have the same number of items")
    values = None if priors is None else legacy(priors)[2]
    if values is None:
        return
    number = values // _BOX
    boxes = number * _BOX * (1 if param.share_location else param.num_classes)
    for name, shape, wanted in (("first", locations, boxes), ("second", scores, number * param.num_classes)):
        if differ(_channels(shape), wanted):
            raise UnfitError(f"the {name} bottom must have {wanted} values for each item, for {number} priors")


def detection_evaluate(layer: Message, bottoms: List[Shape]) -> Shapes:
    """DetectionEvaluate of SSD: (1, 1, number of classes and finds, 5); with a third bottom it is not SSD's."""
    if len(bottoms) > 2:
        return [None], []
    _require_classes(layer.detection_evaluate_param)
    for shape, wanted in zip(bottoms, (_FOUND, _ANNOTATED)):
        if shape is not None and differ(legacy(shape)[3], wanted):
            raise UnfitError("the bottoms must be finds, of 7 values each, and annotations, of 8")
    return [(1, 1, None, _EVALUATED)], []


def yolo_output(layer: Message, _bottoms: List[Shape]) -> Shapes:
    """YoloDetectionOutput: (1, 1, number of finds, 7)."""
    _require_classes(layer.yolo_detection_output_param)
    return [(1, 1, None, _FOUND)], []


def yolov3_output(layer: Message, bottoms: List[Shape]) -> Shapes:
    """Yolov3DetectionOutput: (1, 1, number of finds, 7), of as many bottoms as there are groups of masks."""
    p = layer.yolov3_detection_output_param
    _require_classes(p)
    if len(bottoms) != p.mask_group_num:
        raise UnfitError(f"has {counted(len(bottoms), 'bottom')} for a mask_group_num of {p.mask_group_num}")
    return [(1, 1, None, _FOUND)], []


def region_loss(layer: Message, _bottoms: List[Shape]) -> Shapes:
    """RegionLoss of YOLOv2: one number."""
    return [()] * len(layer.top), []


def yolov3_loss(layer: Message, bottoms: List[Shape]) -> Shapes:
    """Yolov3: one number, of boxes with a place, an objectness and a score for each class."""
    p, shape = layer.yolov3_param, bottoms[0]
    wanted = p.num * (_BOX + p.num_class + 1)
    if differ(_channels(shape), wanted):
        raise UnfitError(f"the first bottom must have num x (5 + num_class) channels, {wanted}")
    return [()] * len(layer.top), []


def loss_kept(use: Use) -> int:
    """RegionLoss and Yolov3: the gradient, and in Yolov3's case the true one beside it."""
    return 2 * count(use.bottoms[0])


def eval_detection(layer: Message, bottoms: List[Shape]) -> Shapes:
    """EvalDetection of Intel's YOLOv2: (N, classes and four numbers for each box of each place)."""
    p, shape = layer.eval_detection_param, bottoms[0]
    boxes = p.side**2 * p.num_object
    if shape is not None and differ(product(shape[1:]), boxes * (p.num_class + _BOX + 1)):
        raise UnfitError("the first bottom must have side x side x num_object x (num_class + 5) values for each item")
    return [(_items(shape), p.num_class + boxes * _BOX)], []


def detectnet_transformation(layer: Message, bottoms: List[Shape]) -> Shapes:
    """DetectNetTransformation of NVIDIA's: images of one size, and how objects cover a grid laid over them."""
    p, shape = layer.detectnet_groundtruth_param, bottoms[0]
    if differ(_channels(shape), 3):
        raise UnfitError("the first bottom must have 3 channels")
    return [
        (_items(shape), _channels(shape), p.image_size_y, p.image_size_x),
        (_items(bottoms[1]), None, None, None),
    ], []


def annotated(param: Message) -> Shape:
    """Return the shape of AnnotatedData's labels: (1, 1, number of boxes in the batch, 8), or unknown."""
    of_boxes = param.HasField("anno_type") and param.anno_type == 0 and not param.yolo_data_type
    return (1, 1, None, _ANNOTATED) if of_boxes else None

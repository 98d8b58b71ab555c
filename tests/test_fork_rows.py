"""The rows of the forks' layer types, against published shapes and against upstream layers that do the same.

No fork's Caffe is here to ask. Figures are from the papers, and from the prototxts that their authors published.
"""

import warnings

import pytest
from nets import layer, net
from shape_nets import engine, source

from netbuild.graph.check import problems
from netbuild.graph.freeze import frozen
from netbuild.graph.view import NetView
from netbuild.layers import infer
from netbuild.layers.fork_table import FORK_TYPES
from netbuild.layers.table import TYPES, UNKNOWN, of, of_type
from netbuild.layers.training import draws
from netbuild.schema import TEST, TRAIN, schema
from netbuild.schema.forks import FORKS, forks_with
from netbuild.schema.layer_types import TYPES_OF

WITHOUT_ROW = {
    *("AssistedExcitation", "BlackAugmentation", "BoxData", "ContinuationIndicator", "CtcLoss", "CustomData"),
    *("DisparityData", "DomainTransform", "DomainTransformForwardOnly", "FLOWriter", "FloatReader", "FloatWriter"),
    *("FlowAugmentation", "Gather", "GaussianYolov3", "GenerateAugmentationParameters", "ImgReader", "ImgWriter"),
    *("LabelsequenceAccuracy", "LaneData", "MnActivation", "PFMWriter", "Scatter", "SegmentationEvaluate", "TRT"),
    "YoloSeg",
}
"""Types of the forks of which nobody has looked at what they do."""
ON_TOP = {"ConvolutionDepthwise", "ROIAlign", "ShuffleChannel"}
"""Types that are public as one layer to be added to any Caffe: no fork known here has them."""


def sources(**shapes):
    return "".join(source(name, *shape) for name, shape in shapes.items())


def shapes_of(text, phase=TEST):
    """Return the shapes of the last layer's tops, and of its parameters."""
    found = infer(net(text), phase)
    index = max(found.tops)
    return found.tops[index], found.params[index]


def test_every_type_of_a_fork_has_a_row_or_none_for_a_reason():
    of_forks = {kind for kinds in TYPES_OF.values() for kind in kinds}
    assert {kind for kind in of_forks if of_type(kind) is UNKNOWN} == WITHOUT_ROW
    assert set(FORK_TYPES) - of_forks == ON_TOP
    assert not set(FORK_TYPES) & set(TYPES)
    assert set(TYPES_OF) <= {fork.name for fork in FORKS}
    assert [fork.name for fork in forks_with("PSROIPooling")] == ["Intel"]
    assert forks_with("Convolution") == forks_with("ShuffleChannel") == forks_with("Mystery") == ()


def test_options_are_fields_of_the_schema():
    fields = schema().LayerParameter.DESCRIPTOR.fields_by_name
    open_ones = {kind for kind, row in FORK_TYPES.items() if row.options and row.options not in fields}
    # What no schema knows is carried as text, and these two rows do not go by it.
    assert open_ones == {"ROIAlign", "ShuffleChannel"}


SSD300 = [
    ("conv4_3", 512, 38, "min_size: 30 max_size: 60 aspect_ratio: 2"),
    ("fc7", 1024, 19, "min_size: 60 max_size: 111 aspect_ratio: 2 aspect_ratio: 3"),
    ("conv6_2", 512, 10, "min_size: 111 max_size: 162 aspect_ratio: 2 aspect_ratio: 3"),
    ("conv7_2", 256, 5, "min_size: 162 max_size: 213 aspect_ratio: 2 aspect_ratio: 3"),
    ("conv8_2", 256, 3, "min_size: 213 max_size: 264 aspect_ratio: 2"),
    ("conv9_2", 256, 1, "min_size: 264 max_size: 315 aspect_ratio: 2"),
]


def ssd300(classes=21):
    """The priors of SSD300 on VGG-16 (Liu et al. 2016), with locations and scores for each."""
    text = source("data", 8, 3, 300, 300)
    for name, channels, side, options in SSD300:
        text += source(name, 8, channels, side, side)
        text += layer(f"{name}_prior", "PriorBox", f"{name} data", more=f"prior_box_param {{ {options} }}")
    priors = " ".join(f"{name}_prior" for name, *_ in SSD300)
    text += layer("priors", "Concat", priors, more="concat_param { axis: 2 }")
    return text + sources(loc=(8, 8732 * 4), conf=(8, 8732 * classes), label=(1, 1, 17, 8))


def test_ssd300_has_8732_priors():
    (priors,), _ = shapes_of(ssd300().partition('layer { name: "loc"')[0])
    assert priors == (1, 2, 8732 * 4)
    output = layer("out", "DetectionOutput", "loc conf priors", more="detection_output_param { num_classes: 21 }")
    assert shapes_of(ssd300() + output) == ([(1, 1, None, 7)], [])
    loss = layer("loss", "MultiBoxLoss", "loc conf priors label", more="multibox_loss_param { num_classes: 21 }")
    assert shapes_of(ssd300() + loss, TRAIN) == ([()], [])
    (said,) = [one for one in problems(net(ssd300(20) + loss)) if "MultiBoxLoss" in one]
    assert "the second bottom must have 183372 values for each item, for 8732 priors" in said


WITH_MASK = sources(data=(4, 512, 12, 15), mask=(4, 512, 12, 15))
PUBLISHED = {
    "Faster R-CNN: 7 x 7 of each of 300 regions (Ren et al. 2015)": (
        sources(conv5=(1, 512, 38, 63), rois=(300, 5))
        + layer("x", "ROIPooling", "conv5 rois", more="roi_pooling_param { pooled_w: 7 pooled_h: 7 }"),
        [(300, 512, 7, 7)],
        [],
    ),
    "Intel's pooled_size": (
        sources(conv5=(1, 512, 38, 63), rois=(300, 5))
        + layer("x", "ROIPooling", "conv5 rois", more="roi_pooling_param { pooled_size: 6 pooled_size: 7 }"),
        [(300, 512, 6, 7)],
        [],
    ),
    "R-FCN: 21 classes from 21 x 7 x 7 channels (Dai et al. 2016)": (
        sources(cls=(1, 1029, 38, 63), rois=(300, 5))
        + layer(
            "x", "PSROIPooling", "cls rois", more="psroi_pooling_param { output_dim: 21 group_size: 7 spatial_scale: 1 }"
        ),
        [(300, 21, 7, 7)],
        [],
    ),
    "Mask R-CNN's ROIAlign, whose options are not known": (
        sources(conv5=(1, 512, 38, 63), rois=(300, 5)) + layer("x", "ROIAlign", "conv5 rois"),
        [(300, 512, None, None)],
        [],
    ),
    "R-FCN's mining of examples": (
        sources(rois=(300, 5, 1, 1), loss=(300, 1, 1, 1), label=(300, 1, 1, 1), weights=(300, 8, 1, 1))
        + layer("x", "BoxAnnotatorOHEM", "rois loss label weights", "x y", "box_annotator_ohem_param { roi_per_img: 128 }"),
        [(300, 1, 1, 1), (300, 8, 1, 1)],
        [],
    ),
    "SSD's conv4_3_norm, a factor for each channel": (
        source("conv4_3", 8, 512, 38, 38)
        + layer("x", "Normalize", "conv4_3", more="norm_param { across_spatial: false channel_shared: false }"),
        [(8, 512, 38, 38)],
        [(512,)],
    ),
    "TSN's Normalize has no options, and no parameters": (
        source("data", 8, 512, 38, 38) + layer("x", "Normalize", "data"),
        [(8, 512, 38, 38)],
        None,
    ),
    "YOLOv2's passthrough, 26 x 26 x 64 to 13 x 13 x 256 (Redmon and Farhadi 2017)": (
        source("data", 1, 64, 26, 26) + layer("x", "Reorg", "data", more="reorg_param { stride: 2 }"),
        [(1, 256, 13, 13)],
        [],
    ),
    "and back": (
        source("data", 1, 256, 13, 13) + layer("x", "Reorg", "data", more="reorg_param { stride: 2 reverse: true }"),
        [(1, 64, 26, 26)],
        [],
    ),
    "YOLOv3 on COCO: 3 boxes of 80 classes": (
        sources(data=(4, 255, 13, 13), label=(4, 300, 5))
        + layer("x", "Yolov3", "data label", more="yolov3_param { num_class: 80 num: 3 }"),
        [()],
        [],
    ),
    "PSPNet: 60 x 60 to 473 x 473 (Zhao et al. 2017)": (
        source("data", 1, 21, 60, 60) + layer("x", "Interp", "data", more="interp_param { zoom_factor: 8 }"),
        [(1, 21, 473, 473)],
        [],
    ),
    "PSPNet's pyramid, by size": (
        source("data", 1, 512, 6, 6) + layer("x", "Interp", "data", more="interp_param { height: 60 width: 60 }"),
        [(1, 512, 60, 60)],
        [],
    ),
    "of a factor and a size PSPNet takes the factor": (
        source("data", 1, 21, 60, 60)
        + layer("x", "Interp", "data", more="interp_param { zoom_factor: 8 height: 9 width: 9 }"),
        [(1, 21, 473, 473)],
        [],
    ),
    "of two factors and a size the size": (
        source("data", 1, 21, 60, 60)
        + layer("x", "Interp", "data", more="interp_param { zoom_factor: 8 shrink_factor: 2 height: 9 width: 9 }"),
        [(1, 21, 9, 9)],
        [],
    ),
    "of two factors both": (
        source("data", 1, 21, 61, 61)
        + layer("x", "Interp", "data", more="interp_param { zoom_factor: 2 shrink_factor: 4 pad_beg: -1 pad_end: -1 }"),
        # 59 cut, 15 shrunk, 29 with a value between each two.
        [(1, 21, 29, 29)],
        [],
    ),
    "DeepLab shrinks labels of 321 to 41": (
        source("data", 1, 1, 321, 321)
        + layer("x", "Interp", "data", more="interp_param { shrink_factor: 8 pad_beg: 0 pad_end: 0 }"),
        [(1, 1, 41, 41)],
        [],
    ),
    "SegNet on 360 x 480: its fifth upsampling gives 23 x 30 (Badrinarayanan et al. 2015)": (
        WITH_MASK
        + layer("x", "Upsample", "data mask", more="upsample_param { scale: 2 upsample_w: 30 upsample_h: 23 }"),
        [(4, 512, 23, 30)],
        [],
    ),
    "the same, in the older way to say it": (
        WITH_MASK + layer("x", "Upsample", "data mask", more="upsample_param { scale: 2 pad_out_h: true }"),
        [(4, 512, 23, 30)],
        [],
    ),
    "MobileNet-YOLO's Upsample has no mask": (
        source("data", 1, 256, 13, 13) + layer("x", "Upsample", "data", more="upsample_param { scale: 2 }"),
        [(1, 256, 26, 26)],
        [],
    ),
    "whose defaults differ from SegNet's": (
        source("data", 1, 256, 13, 13) + layer("x", "Upsample", "data"),
        [(1, 256, None, None)],
        [],
    ),
    "SegAccuracy": (
        sources(data=(1, 21, 41, 41), label=(1, 1, 41, 41)) + layer("x", "SegAccuracy", "data label"),
        [(1, 1, 1, 3)],
        [],
    ),
    "DenseCRF": (
        sources(data=(1, 21, 41, 41), dims=(1, 1, 1, 2), image=(1, 3, 41, 41))
        + layer("x", "DenseCRF", "data dims image"),
        [(1, 21, 41, 41)],
        [],
    ),
    "SenseTime's BN in TSN and PSPNet": (
        source("data", 2, 64, 9, 9) + layer("x", "BN", "data", more="bn_param { slope_filler { value: 1 } }"),
        [(2, 64, 9, 9)],
        [None] * 4,
    ),
    "SegNet's BN": (
        source("data", 2, 64, 9, 9) + layer("x", "BN", "data", more="bn_param { scale_filler { value: 1 } }"),
        [(2, 64, 9, 9)],
        [(1, 64, 1, 1)] * 2,
    ),
    "a BN that does not say whose it is": (
        source("data", 2, 64, 9, 9) + layer("x", "BN", "data"),
        [(2, 64, 9, 9)],
        None,
    ),
    "SyncBN": (
        source("data", 2, 64, 9, 9) + layer("x", "SyncBN", "data"),
        [(2, 64, 9, 9)],
        [(1, 64)] * 4,
    ),
    "ShuffleNet": (
        source("data", 1, 240, 28, 28) + layer("x", "ShuffleChannel", "data"),
        [(1, 240, 28, 28)],
        [],
    ),
    "SphereFace-20: 10572 identities of CASIA, 512 features (Liu et al. 2017)": (
        sources(fc5=(256, 512), label=(256,))
        + layer(
            "x",
            "MarginInnerProduct",
            "fc5 label",
            "x lambda",
            'margin_inner_product_param { num_output: 10572 type: QUADRUPLE weight_filler { type: "xavier" } }',
        ),
        [(256, 10572), (1,)],
        [(10572, 512)],
    ),
    "centre loss with as many centres (Wen et al. 2016)": (
        sources(fc5=(256, 512), label=(256,))
        + layer("x", "CenterLoss", "fc5 label", more="center_loss_param { num_output: 10572 }"),
        [()],
        [(10572, 512)],
    ),
    "FlowNetC: 441 displacements (Dosovitskiy et al. 2015)": (
        sources(one=(1, 256, 48, 64), two=(1, 256, 48, 64))
        + layer(
            "x",
            "Correlation",
            "one two",
            more="correlation_param { pad: 20 kernel_size: 1 max_displacement: 20 stride_1: 1 stride_2: 2 }",
        ),
        [(1, 441, 48, 64)],
        [],
    ),
    "DispNetC: 81 displacements across (Mayer et al. 2016)": (
        sources(one=(1, 128, 96, 192), two=(1, 128, 96, 192))
        + layer(
            "x",
            "Correlation1D",
            "one two",
            more="correlation_param { pad: 40 kernel_size: 1 max_displacement: 40 stride_1: 1 stride_2: 1 }",
        ),
        [(1, 81, 96, 192)],
        [],
    ),
    "FlowNet2 warps the second image": (
        sources(image=(1, 3, 384, 512), flow=(1, 2, 384, 512)) + layer("x", "FlowWarp", "image flow"),
        [(1, 3, 384, 512)],
        [],
    ),
    "and brings flow to full size": (
        sources(flow=(1, 2, 96, 128), image=(1, 3, 384, 512)) + layer("x", "Resample", "flow image"),
        [(1, 2, 384, 512)],
        [],
    ),
    "or to a size": (
        source("flow", 1, 2, 96, 128)
        + layer("x", "Downsample", "flow", more="downsample_param { top_height: 48 top_width: 64 }"),
        [(1, 2, 48, 64)],
        [],
    ),
    "brightness error": (source("data", 1, 3, 384, 512) + layer("x", "ChannelNorm", "data"), [(1, 1, 384, 512)], []),
    "FlowNet2's images are padded to multiples of 64": (
        sources(one=(1, 3, 436, 1024), two=(1, 3, 436, 1024))
        + layer("x", "Accum", "one two", more="accum_param { size_divisible_by: 64 }"),
        # Only where both sides grow (accum_layer.cpp).
        [(1, 6, 436, 1024)],
        [],
    ),
    "FlowNet2's augmentation crops, and tells 42 numbers of each image": (
        source("data", 8, 3, 384, 512)
        + layer("x", "DataAugmentation", "data", "x y", "augmentation_param { crop_width: 448 crop_height: 320 }"),
        [(8, 3, 320, 448), (8, 42, 1, 1)],
        None,
    ),
    "a loss without labels": (source("data", 8, 2, 6, 8) + layer("x", "L1Loss", "data"), [()], []),
    "Fast R-CNN's loss, with weights inside and outside": (
        sources(box=(128, 84), aim=(128, 84), inside=(128, 84), outside=(128, 84))
        + layer("x", "SmoothL1Loss", "box aim inside outside"),
        [()],
        [],
    ),
    "R-FCN's loss of each region": (
        sources(box=(128, 8, 1, 1), aim=(128, 8, 1, 1)) + layer("x", "SmoothL1LossOHEM", "box aim", "x each"),
        [(), (128, 1, 1, 1)],
        [],
    ),
    "and of each label": (
        sources(scores=(128, 21), label=(128,)) + layer("x", "SoftmaxWithLossOHEM", "scores label", "x prob each"),
        [(), (128, 21), (128,)],
        [],
    ),
    "TSN's segments of a video, as one": (
        source("data", 4, 1, 3, 101)
        + layer("x", "BatchReduction", "data", more="batch_reduction_param { reduction_param { axis: 2 } }"),
        [(4, 1, 101)],
        [],
    ),
    "TSN's videos": (
        layer("x", "VideoData", "", "x y", 'video_data_param { source: "l" batch_size: 32 num_segments: 3 } '
        "transform_param { crop_size: 224 }"),
        [(32, None, 224, 224), (32, 1, 1, 1)],
        [],
    ),
    "SSD's camera": (
        layer("x", "VideoData", "", "x", "video_data_param { video_type: WEBCAM } data_param { batch_size: 1 } "
        "transform_param { resize_param { resize_mode: WARP height: 300 width: 300 } }"),
        [(1, None, 300, 300)],
        [],
    ),
    "SSD300's images and boxes": (
        layer("x", "AnnotatedData", "", "x y", "data_param { batch_size: 32 } annotated_data_param { anno_type: BBOX } "
        "transform_param { resize_param { resize_mode: WARP height: 300 width: 300 } }"),
        [(32, None, 300, 300), (1, 1, None, 8)],
        [],
    ),
    "PSPNet's images and labels": (
        layer("x", "ImageSegData", "", "x y z", "image_data_param { batch_size: 16 label_type: PIXEL } "
        "transform_param { crop_height: 473 crop_width: 473 }"),
        [(16, 3, 473, 473), (16, 1, 473, 473), (16, 1, 1, 2)],
        [],
    ),
    "SegNet's": (
        layer("x", "DenseImageData", "", "x y", "dense_image_data_param { batch_size: 4 is_color: true }"),
        [(4, 3, None, None), (4, 1, None, None)],
        [],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_shapes_are_the_published_ones(name):
    text, tops, params = PUBLISHED[name]
    assert shapes_of(text) == (tops, params)


def test_every_row_has_a_published_shape_or_one_like_it():
    """But for those that keep a shape, lose it, or read files."""
    cases = [text for text, *_ in PUBLISHED.values()] + [ssd300(), *ALIKE]
    cased = {one.type for text in cases for one in net(text).layer} | {"DetectionOutput", "MultiBoxLoss"}
    assert set(FORK_TYPES) - cased == {
        *("AdaptiveBiasChannel", "BiasChannel", "DetectNetTransformation", "DetectionEvaluate", "EvalDetection"),
        *("LpqLoss", "MatRead", "MatWrite", "Mean", "RegionLoss", "SegData", "SpatialDropout"),
        *("SpatialProduct", "UniqueLabel", "YoloDetectionOutput", "Yolov3DetectionOutput"),
    }


DATA = source("data", 2, 8, 15, 17)
WINDOW = "num_output: 8 kernel_size: 3 stride: 2 pad: 1"
ALIKE = {
    DATA + layer("x", "DepthwiseConvolution", "data", more=f"convolution_param {{ {WINDOW} group: 8 }}"): DATA
    + layer("x", "Convolution", "data", more=f"convolution_param {{ {WINDOW} group: 8 }}"),
    DATA + layer("x", "ConvolutionDepthwise", "data", more=f"convolution_param {{ {WINDOW} dilation: 2 }}"): DATA
    + layer("x", "Convolution", "data", more=f"convolution_param {{ {WINDOW} group: 8 dilation: 2 }}"),
    DATA + source("s", 2, 8, 1, 1) + layer("x", "Axpy", "s data data"): DATA
    + source("s", 2, 8)
    + layer("y", "Scale", "data s", more="scale_param { axis: 0 }")
    + layer("x", "Eltwise", "y data"),
    DATA + layer("x", "Convolution", "data", more=f"convolution_param {{ {WINDOW} hole: 3 }}"): DATA
    + layer("x", "Convolution", "data", more=f"convolution_param {{ {WINDOW} dilation: 3 }}"),
    DATA + layer("x", "Convolution", "data", more=f"convolution_param {{ {WINDOW} hole_h: 1 hole_w: 3 }}"): DATA
    + layer("x", "Convolution", "data", more=f"convolution_param {{ {WINDOW} dilation: 1 dilation: 3 }}"),
    DATA + layer("x", "Convolution", "data", more=f"convolution_param {{ {WINDOW} dilation_h: 2 dilation_w: 3 }}"): DATA
    + layer("x", "Convolution", "data", more=f"convolution_param {{ {WINDOW} dilation: 2 dilation: 3 }}"),
    DATA + layer("x", "Pooling", "data", more="pooling_param { kernel_size: 2 stride: 2 ceil_mode: true }"): DATA
    + layer("x", "Pooling", "data", more="pooling_param { kernel_size: 2 stride: 2 }"),
    # Rounded down, a pooling is as large as a convolution.
    DATA + layer("x", "Pooling", "data", more="pooling_param { kernel_size: 2 stride: 2 ceil_mode: false }"): DATA
    + layer("x", "Convolution", "data", more="convolution_param { num_output: 8 kernel_size: 2 stride: 2 }"),
    DATA + layer("x", "ReLU6", "data") + layer("y", "NegReLU", "x"): DATA + layer("x", "ReLU", "data"),
}
"""Nets with layers of forks, and upstream's with the same shapes of `x` and its parameters."""


@pytest.mark.parametrize("text", ALIKE, ids=lambda text: text[-90:])
def test_shapes_are_those_of_an_upstream_layer_that_does_the_same(caffe, text):
    shapes, params = engine(caffe, ALIKE[text])
    found = infer(net(text), TEST)
    (index,) = (number for number, one in enumerate(net(text).layer) if one.name == "x")
    assert found.blobs["x"] == shapes["x"]
    if "Pooling" not in text:
        assert found.params[index] == params.get("x", [])


REFUSED = [
    (layer("x", "ROIPooling", "data data", more="roi_pooling_param { pooled_h: 7 }"), "pooled_h and pooled_w must be"),
    (layer("x", "ROIPooling", "data data", more="roi_pooling_param { pooled_h: 7 pooled_w: 7 }"), "5 values for each"),
    (
        layer("x", "PSROIPooling", "data data", more="psroi_pooling_param { output_dim: 2 group_size: 3 spatial_scale: 1 }"),
        "output_dim x group_size x group_size channels, 18",
    ),
    (layer("x", "PriorBox", "data data"), "min_size must be given"),
    (layer("x", "PriorBox", "data data", more="prior_box_param { min_size: 9 max_size: 4 }"), "more than its min_size"),
    (layer("x", "DetectionOutput", "data data data"), "num_classes must be given"),
    (layer("x", "Interp", "data"), "give shrink_factor, zoom_factor, or height and width"),
    (layer("x", "Interp", "data", more="interp_param { zoom_factor: 2 pad_beg: 1 }"), "at most 0: they cut"),
    (layer("x", "Upsample", "data", more="upsample_param { upsample_h: 3 upsample_w: 4 }"), "mask as a second bottom"),
    (layer("x", "Reorg", "data"), "stride must be given"),
    (source("s", 2, 7) + layer("x", "Axpy", "s data data"), "a factor for each item and channel"),
    (layer("x", "Correlation", "data data", more="correlation_param { kernel_size: 2 max_displacement: 1 }"), "odd"),
    (layer("x", "FlowWarp", "data data"), "2 channels, across and down"),
    (layer("x", "Resample", "data"), "height and width must be given"),
    (layer("x", "CenterLoss", "data data"), "num_output must be given"),
    (layer("x", "BN", "data", "x y", "bn_param { frozen: true }"), "has several tops"),
    (layer("x", "Convolution", "data", more=f"convolution_param {{ {WINDOW} hole: 2 dilation: 2 }}"), "give dilation, or hole"),
    (layer("x", "Convolution", "data", more=f"convolution_param {{ {WINDOW} hole_h: 2 }}"), "both hole_h and hole_w"),
    (layer("x", "PriorBox", "data"), "has 1 bottom; expected 2"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "said"), REFUSED, ids=[said for _, said in REFUSED])
def test_what_a_fork_refuses_is_said(text, said):
    (one,) = NetView(net(DATA + text), TEST).misfits
    assert said in one.sentence


@pytest.mark.parametrize("kind", sorted(FORK_TYPES))
def test_a_bare_layer_of_any_type_has_shapes_or_a_sentence(kind):
    """With any number of blobs, known and unknown: never an error of another kind, in any question."""
    for bottoms, tops in [("", ""), ("data", "x"), ("data data", "x y"), ("m m m", "x"), ("m", "x"), ("", "x y z")]:
        unknown = layer("m", "Mystery", "", "m")
        message = net(DATA + unknown + layer("x", kind, bottoms, tops))
        for phase in (TRAIN, TEST):
            view = NetView(message, phase)
            assert len(view.misfits) <= 1
            assert view.training.keys() == view.shapes.params.keys()
        problems(message)


@pytest.mark.parametrize(
    ("text", "phases"),
    [
        (layer("x", "SpatialDropout", "data"), [TRAIN]),
        (layer("x", "Dropout", "data", more="dropout_param { sample_weights_test: true }"), [TRAIN, TEST]),
        (layer("x", "Eltwise", "data data", more="eltwise_param { operation: STOCHASTIC_SUM }"), [TRAIN]),
        (layer("x", "DetectNetTransformation", "data data", "x y"), [TRAIN]),
        (layer("x", "Data", "", more="data_param { shuffle: true }"), [TRAIN, TEST]),
        (layer("x", "Data", "", more="transform_param { crop_h: 4 crop_w: 5 }"), [TRAIN]),
        (layer("x", "AnnotatedData", "", more="transform_param { distort_param { } }"), [TRAIN, TEST]),
        (layer("x", "AnnotatedData", "", more="annotated_data_param { batch_sampler { } }"), [TRAIN, TEST]),
        (layer("x", "ROIPooling", "data data"), []),
    ],
)
def test_chance(text, phases):
    one = net(text).layer[0]
    assert [phase for phase in (TRAIN, TEST) if draws(one, phase)] == phases


def test_a_loss_of_a_fork_counts_no_more_when_it_is_frozen():
    (found,) = frozen(net(layer("x", "Yolov3", "data label"))).layer
    assert found.loss_weight == [0]


def test_centres_and_factors_are_frozen_as_weights_are():
    text = sources(data=(2, 8, 4, 4), label=(2,))
    text += layer("c", "CenterLoss", "data label", more="center_loss_param { num_output: 3 }")
    text += layer("n", "Normalize", "data", more="norm_param { }")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = frozen(net(text)).layer
    assert [[spec.lr_mult for spec in one.param] for one in found[2:]] == [[0], [0]]


def test_types_of_one_name_are_told_apart_by_their_options():
    assert of(net(layer("x", "Swish", "data")).layer[0]) is TYPES["Swish"]
    assert of(net(layer("x", "Upsample", "data")).layer[0]) is FORK_TYPES["Upsample"]

"""The layer types that upstream Caffe lacks, by the fork that has them: those that its source registers by this name.

What each type does is a row of `netbuild.layers.fork_table`, if somebody has looked.
"""

from __future__ import annotations

from typing import Dict, Tuple

_SSD = (
    *("AnnotatedData", "DetectionEvaluate", "DetectionOutput", "MultiBoxLoss", "Normalize", "Permute", "PriorBox"),
    *("SmoothL1Loss", "VideoData"),
)

TYPES_OF: Dict[str, Tuple[str, ...]] = {
    "SSD": _SSD,
    "RefineDet": _SSD,
    "MobileNet-YOLO": (
        *("AnnotatedData", "AssistedExcitation", "Axpy", "DepthwiseConvolution", "DetectionEvaluate"),
        *("DetectionOutput", "GaussianYolov3", "LaneData", "MultiBoxLoss", "Normalize", "Permute", "PriorBox", "ReLU6"),
        *("RegionLoss", "Reorg", "SegmentationEvaluate", "SmoothL1Loss", "Upsample", "YoloDetectionOutput", "YoloSeg"),
        *("Yolov3", "Yolov3DetectionOutput"),
    ),
    "NVIDIA 0.17": (*_SSD, "Axpy", "DetectNetTransformation", "L1Loss", "TRT"),
    "NVIDIA 0.15": ("DetectNetTransformation", "L1Loss"),
    "Intel": (
        *_SSD,
        *("Axpy", "BoxAnnotatorOHEM", "BoxData", "EvalDetection", "MnActivation", "PSROIPooling", "ROIPooling"),
        *("RegionLoss", "Reorg", "SmoothL1LossOHEM", "SoftmaxWithLossOHEM", "SpatialDropout"),
    ),
    "TSN": (
        *("BN", "BatchReduction", "Gather", "Normalize", "ROIPooling", "Scatter", "SegData", "SmoothL1Loss", "SyncBN"),
        "VideoData",
    ),
    "PSPNet": (
        *("AdaptiveBiasChannel", "BN", "BiasChannel", "DenseCRF", "DomainTransform", "DomainTransformForwardOnly"),
        *("ImageSegData", "Interp", "MatRead", "MatWrite", "SegAccuracy", "SpatialProduct", "UniqueLabel"),
    ),
    # Its own names are numbers of an enum; these are PSPNet's, which has the layers from it.
    "DeepLab": (
        *("AdaptiveBiasChannel", "BiasChannel", "DenseCRF", "ImageSegData", "Interp", "MatRead", "MatWrite"),
        *("SegAccuracy", "UniqueLabel"),
    ),
    "SegNet": ("BN", "DenseImageData", "Upsample"),
    "FlowNet2": (
        *("Accum", "BlackAugmentation", "ChannelNorm", "Correlation", "Correlation1D", "CustomData"),
        *("DataAugmentation", "DisparityData", "Downsample", "FLOWriter", "FloatReader", "FloatWriter"),
        *("FlowAugmentation", "FlowWarp", "GenerateAugmentationParameters", "ImgReader", "ImgWriter", "L1Loss"),
        *("LpqLoss", "Mean", "NegReLU", "PFMWriter", "Resample"),
    ),
    "SphereFace": ("MarginInnerProduct",),
    "caffe-face": ("CenterLoss",),
    "kendryte-caffe": ("ContinuationIndicator", "CtcLoss", "LabelsequenceAccuracy", "Permute", "Reverse"),
}
"""By the fork's name."""

_STATIC = ("bilinearstatic", "gaussianstatic", "msrastatic", "positive_unitballstatic", "uniformstatic", "xavierstatic")

FILLERS_OF: Dict[str, Tuple[str, ...]] = {
    "FlowNet2": ("diagonal",),
    "Intel": ("gabor",),
    "NVIDIA 0.17": _STATIC,
}
"""The types of fillers that upstream lacks, by the fork's name; NVIDIA's give the same values in each run."""

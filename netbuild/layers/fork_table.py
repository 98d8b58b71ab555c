"""The layer types that upstream Caffe lacks: one row each, as the sources of the forks say.

`schema.layer_types` says which fork has a type. What a row says of shapes and parameters is in the fork's Reshape and
LayerSetUp; what it says of layers in place, gradients and memory was read in its Forward and Backward, and not tried.
Where two forks mean different layers by one name, the rule goes by the options that only one of them has.
"""

from __future__ import annotations

from typing import Dict

from . import detection, footage, learned, losses, mixing, motion, norms, pointwise, segmentation, windows
from .answers import (
    COMPUTES,
    NO_WEIGHTS,
    NONE,
    ONE,
    ONE_LOSS,
    ONE_OR_TWO,
    ONE_TO_ONE,
    OWN_TOPS,
    READS_BOTH,
    READS_BOTTOMS,
    READS_NOTHING,
    REMEMBERING,
    SOME,
    STILL,
    THREE,
    TWO,
    UP_TO_ONE,
    UP_TO_TWO,
    WEIGHT_AND_BIAS,
    as_bottom,
    draws_in_both,
    draws_in_train,
    keeps,
    no_work,
)
from .row import (
    ABORTS,
    ELSE,
    FINE,
    NEVER,
    NOT_SEEN,
    Arity,
    Gradient,
    Kind,
    Labels,
    LayerType,
    Left,
    Reads,
    Role,
    Scores,
    Weights,
)

# A row is written as those of `table` are.
# fmt: off
FORK_TYPES: Dict[str, LayerType] = {
    # Detection.
    "AnnotatedData": LayerType(
        options="annotated_data_param", arity=Arity(NONE, (1, 3)), shapes=footage.annotated_data,
        weights=NO_WEIGHTS, memory=OWN_TOPS, in_place=NEVER, gradient=READS_NOTHING,
        role=Role(Kind.DATA, reads=Reads.UNKNOWN), training=footage.changes_footage("annotated_data_param"),
    ),
    "BoxAnnotatorOHEM": LayerType(
        options="box_annotator_ohem_param", arity=Arity((4, 4), TWO), shapes=detection.box_annotator_ohem,
        weights=NO_WEIGHTS, memory=OWN_TOPS, in_place=NOT_SEEN, gradient=READS_NOTHING, role=COMPUTES, training=STILL,
    ),
    "DetectNetTransformation": LayerType(
        options="detectnet_groundtruth_param", arity=Arity(TWO, TWO),
        shapes=detection.detectnet_transformation, weights=NO_WEIGHTS,
        memory=OWN_TOPS, in_place=NOT_SEEN, gradient=READS_NOTHING, role=COMPUTES, training=draws_in_train(True),
    ),
    "DetectionEvaluate": LayerType(
        options="detection_evaluate_param", arity=Arity((2, 3), ONE), shapes=detection.detection_evaluate,
        weights=NO_WEIGHTS, memory=OWN_TOPS, in_place=NOT_SEEN, gradient=READS_NOTHING,
        role=Role(Kind.MEASURE), training=STILL,
    ),
    "DetectionOutput": LayerType(
        options="detection_output_param", arity=Arity((3, 5), ONE), shapes=detection.detection_output,
        weights=NO_WEIGHTS, memory=OWN_TOPS, in_place=NOT_SEEN, gradient=READS_NOTHING,
        role=Role(Kind.ANSWER), training=STILL,
    ),
    "EvalDetection": LayerType(
        options="eval_detection_param", arity=Arity((2, 3), ONE), shapes=detection.eval_detection,
        weights=NO_WEIGHTS, memory=OWN_TOPS, in_place=NOT_SEEN, gradient=READS_NOTHING,
        role=Role(Kind.MEASURE), training=STILL,
    ),
    "MultiBoxLoss": LayerType(
        options="multibox_loss_param", arity=Arity((4, 6), UP_TO_ONE), shapes=detection.multibox_loss,
        weights=NO_WEIGHTS, memory=OWN_TOPS, in_place=NOT_SEEN, gradient=READS_NOTHING,
        role=Role(Kind.LOSS), training=STILL,
    ),
    "Normalize": LayerType(
        options="norm_param", arity=ONE_TO_ONE, shapes=learned.normalize,
        weights=Weights(("scale_filler",), no_work), memory=OWN_TOPS._replace(columns=learned.normalize_kept),
        in_place=NOT_SEEN, gradient=READS_BOTH, role=COMPUTES, training=STILL,
    ),
    "PSROIPooling": LayerType(
        options="psroi_pooling_param", arity=Arity(TWO, ONE), shapes=detection.psroi_pooling,
        weights=NO_WEIGHTS, memory=keeps(detection.places_kept), in_place=NOT_SEEN, gradient=READS_BOTTOMS,
        role=COMPUTES, training=STILL,
    ),
    "PriorBox": LayerType(
        options="prior_box_param", arity=Arity(TWO, ONE), shapes=detection.prior_box, weights=NO_WEIGHTS,
        memory=OWN_TOPS, in_place=NOT_SEEN, gradient=READS_NOTHING, role=COMPUTES, training=STILL,
    ),
    "ROIAlign": LayerType(
        options="roi_align_param", arity=Arity(TWO, ONE), shapes=detection.roi_align,
        weights=NO_WEIGHTS, memory=OWN_TOPS, in_place=NOT_SEEN, gradient=READS_BOTTOMS, role=COMPUTES, training=STILL,
    ),
    "ROIPooling": LayerType(
        options="roi_pooling_param", arity=Arity(TWO, ONE), shapes=detection.roi_pooling,
        weights=NO_WEIGHTS, memory=keeps(detection.places_kept), in_place=NOT_SEEN,
        gradient=Gradient(bottoms=True, tops=False, needs=Left.VALUES, places=True), role=COMPUTES, training=STILL,
    ),
    "RegionLoss": LayerType(
        options="region_loss_param", arity=ONE_LOSS, shapes=detection.region_loss,
        weights=NO_WEIGHTS, memory=keeps(as_bottom), in_place=NOT_SEEN, gradient=READS_NOTHING,
        role=Role(Kind.LOSS), training=STILL,
    ),
    "SmoothL1Loss": LayerType(
        options="smooth_l1_loss_param", arity=Arity((2, 4), UP_TO_TWO),
        shapes=losses.smooth_l1_loss, weights=NO_WEIGHTS, memory=keeps(losses.smooth_l1_kept), in_place=NOT_SEEN,
        gradient=READS_BOTTOMS, role=Role(Kind.LOSS), training=STILL,
    ),
    "SmoothL1LossOHEM": LayerType(
        options="loss_param", arity=Arity((2, 3), UP_TO_TWO), shapes=losses.smooth_l1_loss,
        weights=NO_WEIGHTS, memory=keeps(losses.smooth_l1_kept), in_place=NOT_SEEN, gradient=READS_BOTTOMS,
        role=Role(Kind.LOSS), training=STILL,
    ),
    "SoftmaxWithLossOHEM": LayerType(
        options="softmax_param", arity=Arity(TWO, (0, 3)), shapes=losses.softmax_loss_ohem,
        weights=NO_WEIGHTS, memory=keeps(as_bottom), in_place=NOT_SEEN, gradient=READS_NOTHING,
        role=Role(Kind.LOSS, labels=Labels(losses.softmax_classes, ignore="loss_param")), training=STILL,
    ),
    "YoloDetectionOutput": LayerType(
        options="yolo_detection_output_param", arity=Arity(SOME, ONE), shapes=detection.yolo_output,
        weights=NO_WEIGHTS, memory=OWN_TOPS, in_place=NOT_SEEN, gradient=READS_NOTHING,
        role=Role(Kind.ANSWER), training=STILL,
    ),
    "Yolov3": LayerType(
        options="yolov3_param", arity=ONE_LOSS, shapes=detection.yolov3_loss, weights=NO_WEIGHTS,
        memory=keeps(detection.loss_kept), in_place=NOT_SEEN, gradient=READS_NOTHING,
        role=Role(Kind.LOSS), training=STILL,
    ),
    "Yolov3DetectionOutput": LayerType(
        options="yolov3_detection_output_param", arity=Arity(SOME, ONE), shapes=detection.yolov3_output,
        weights=NO_WEIGHTS, memory=OWN_TOPS, in_place=NOT_SEEN, gradient=READS_NOTHING,
        role=Role(Kind.ANSWER), training=STILL,
    ),

    # Segmentation.
    "AdaptiveBiasChannel": LayerType(
        options="adaptive_bias_channel_param", arity=Arity(TWO, ONE), shapes=segmentation.as_scores,
        weights=NO_WEIGHTS, memory=OWN_TOPS, in_place=NOT_SEEN, gradient=READS_NOTHING, role=COMPUTES, training=STILL,
    ),
    "BiasChannel": LayerType(
        options="bias_channel_param", arity=Arity(TWO, ONE), shapes=segmentation.as_scores,
        weights=NO_WEIGHTS, memory=OWN_TOPS, in_place=NOT_SEEN, gradient=READS_NOTHING, role=COMPUTES, training=STILL,
    ),
    "BN": LayerType(
        options="bn_param", arity=Arity(ONE, (1, 3)), shapes=norms.bn,
        weights=Weights(norms.bn_fillers, no_work), memory=keeps(norms.bn_kept), in_place=FINE,
        gradient=READS_NOTHING, role=COMPUTES, training=norms.BN,
    ),
    "DenseCRF": LayerType(
        options="dense_crf_param", arity=Arity((2, 3), ONE), shapes=segmentation.as_scores,
        weights=NO_WEIGHTS, memory=OWN_TOPS._replace(columns=segmentation.crf_kept), in_place=NOT_SEEN,
        gradient=READS_NOTHING, role=COMPUTES, training=STILL,
    ),
    "DenseImageData": LayerType(
        options="dense_image_data_param", arity=Arity(NONE, TWO),
        shapes=footage.images_with_label_images("dense_image_data_param"), weights=NO_WEIGHTS,
        memory=OWN_TOPS, in_place=NEVER, gradient=READS_NOTHING,
        role=Role(Kind.DATA, reads=Reads.UNKNOWN), training=footage.changes_footage("dense_image_data_param"),
    ),
    "ImageSegData": LayerType(
        options="image_data_param", arity=Arity(NONE, (2, 3)),
        shapes=footage.images_with_label_images("image_data_param"), weights=NO_WEIGHTS,
        memory=OWN_TOPS, in_place=NEVER, gradient=READS_NOTHING,
        role=Role(Kind.DATA, reads=Reads.UNKNOWN), training=footage.changes_footage("image_data_param"),
    ),
    "Interp": LayerType(
        options="interp_param", arity=ONE_TO_ONE, shapes=segmentation.interp, weights=NO_WEIGHTS,
        memory=OWN_TOPS, in_place=ELSE, gradient=READS_NOTHING, role=COMPUTES, training=STILL,
    ),
    "MatRead": LayerType(
        options="mat_read_param", arity=Arity(NONE, SOME), shapes=footage.mat_read, weights=NO_WEIGHTS,
        memory=OWN_TOPS, in_place=NEVER, gradient=READS_NOTHING, role=Role(Kind.DATA), training=STILL,
    ),
    "MatWrite": LayerType(
        options="mat_write_param", arity=Arity(SOME, NONE), shapes=pointwise.no_tops,
        weights=NO_WEIGHTS, memory=OWN_TOPS, in_place=NEVER, gradient=READS_NOTHING, role=COMPUTES, training=STILL,
    ),
    "SegAccuracy": LayerType(
        options="seg_accuracy_param", arity=Arity(TWO, ONE), shapes=segmentation.seg_accuracy,
        weights=NO_WEIGHTS, memory=OWN_TOPS, in_place=NOT_SEEN, gradient=READS_NOTHING,
        role=Role(Kind.MEASURE), training=STILL,
    ),
    "SegData": LayerType(
        options="seg_data_param", arity=Arity(NONE, TWO), shapes=footage.seg_data, weights=NO_WEIGHTS,
        memory=OWN_TOPS, in_place=NEVER, gradient=READS_NOTHING,
        role=Role(Kind.DATA, reads=Reads.UNKNOWN), training=footage.changes_footage("seg_data_param"),
    ),
    "SpatialProduct": LayerType(
        options="", arity=Arity(TWO, ONE), shapes=segmentation.as_first, weights=NO_WEIGHTS,
        memory=OWN_TOPS, in_place=NOT_SEEN, gradient=READS_BOTTOMS, role=COMPUTES, training=STILL,
    ),
    "SyncBN": LayerType(
        options="bn_param", arity=ONE_TO_ONE, shapes=norms.sync_bn,
        weights=Weights(("slope_filler", "bias_filler"), no_work), memory=OWN_TOPS, in_place=NOT_SEEN,
        gradient=READS_BOTTOMS, role=COMPUTES, training=norms.SYNC_BN,
    ),
    "UniqueLabel": LayerType(
        options="unique_label_param", arity=ONE_TO_ONE, shapes=segmentation.unique_label,
        weights=NO_WEIGHTS, memory=OWN_TOPS, in_place=NOT_SEEN, gradient=READS_NOTHING, role=COMPUTES, training=STILL,
    ),
    "Upsample": LayerType(
        options="upsample_param", arity=Arity(ONE_OR_TWO, ONE),
        shapes=segmentation.upsample, weights=NO_WEIGHTS,
        memory=OWN_TOPS, in_place=ELSE, gradient=READS_BOTTOMS, role=COMPUTES, training=STILL,
    ),

    # Classification.
    "Axpy": LayerType(
        options="", arity=Arity(THREE, ONE), shapes=mixing.axpy,
        weights=NO_WEIGHTS, memory=OWN_TOPS, in_place=NOT_SEEN, gradient=READS_BOTTOMS, role=COMPUTES, training=STILL,
    ),
    "BatchReduction": LayerType(
        options="batch_reduction_param", arity=ONE_TO_ONE, shapes=mixing.batch_reduction,
        weights=NO_WEIGHTS, memory=OWN_TOPS, in_place=NOT_SEEN, gradient=READS_BOTTOMS, role=COMPUTES, training=STILL,
    ),
    "ConvolutionDepthwise": LayerType(
        options="convolution_param", arity=ONE_TO_ONE, shapes=mixing.depthwise,
        weights=Weights(WEIGHT_AND_BIAS, mixing.depthwise_work), memory=keeps(mixing.depthwise_kept),
        in_place=ELSE, gradient=READS_BOTTOMS, role=COMPUTES, training=STILL,
    ),
    "DepthwiseConvolution": LayerType(
        options="convolution_param", arity=Arity(SOME, SOME, paired=True), shapes=windows.convolution,
        weights=Weights(WEIGHT_AND_BIAS, windows.convolution_work), memory=OWN_TOPS,
        in_place=ELSE, gradient=READS_BOTTOMS, role=COMPUTES, training=STILL,
    ),
    "ReLU6": LayerType(
        options="relu6_param", arity=ONE_TO_ONE, shapes=pointwise.same, weights=NO_WEIGHTS,
        memory=OWN_TOPS, in_place=pointwise.relu6_in_place, gradient=READS_BOTTOMS, role=COMPUTES, training=STILL,
    ),
    "Reorg": LayerType(
        options="reorg_param", arity=ONE_TO_ONE, shapes=mixing.reorg, weights=NO_WEIGHTS,
        memory=keeps(as_bottom), in_place=ABORTS, gradient=READS_NOTHING, role=COMPUTES, training=STILL,
    ),
    "ShuffleChannel": LayerType(
        options="shuffle_channel_param", arity=ONE_TO_ONE, shapes=mixing.shuffle_channel,
        weights=NO_WEIGHTS, memory=OWN_TOPS, in_place=ELSE, gradient=READS_NOTHING, role=COMPUTES, training=STILL,
    ),
    "SpatialDropout": LayerType(
        options="dropout_param", arity=ONE_TO_ONE, shapes=pointwise.same, weights=NO_WEIGHTS,
        memory=OWN_TOPS, in_place=FINE, gradient=READS_NOTHING, role=COMPUTES, training=draws_in_train(True),
    ),
    "VideoData": LayerType(
        options="video_data_param",
        arity=Arity(NONE, ONE_OR_TWO), shapes=footage.video_data, weights=NO_WEIGHTS,
        memory=OWN_TOPS, in_place=NEVER, gradient=READS_NOTHING,
        # Which frames it takes is drawn in TRAIN, whatever its options say.
        role=Role(Kind.DATA, reads=Reads.UNKNOWN), training=draws_in_both(True),
    ),

    # Faces.
    "CenterLoss": LayerType(
        options="center_loss_param", arity=ONE_LOSS, shapes=losses.center_loss,
        weights=Weights(("center_filler",), no_work), memory=keeps(losses.center_kept), in_place=NOT_SEEN,
        gradient=READS_BOTTOMS, role=Role(Kind.LOSS, labels=Labels(losses.center_classes, ignore="")), training=STILL,
    ),
    "MarginInnerProduct": LayerType(
        options="margin_inner_product_param", arity=Arity(TWO, ONE_OR_TWO),
        shapes=learned.margin_inner_product, weights=Weights(("weight_filler",), learned.inner_product_work),
        memory=OWN_TOPS, in_place=NOT_SEEN, gradient=READS_BOTTOMS,
        # How much the margin counts goes by the number of passes.
        role=Role(Kind.OTHER, Scores.MAKES), training=REMEMBERING,
    ),

    # Motion.
    "Accum": LayerType(
        options="accum_param", arity=Arity(SOME, ONE), shapes=motion.accum, weights=NO_WEIGHTS,
        memory=OWN_TOPS, in_place=NOT_SEEN, gradient=READS_NOTHING, role=COMPUTES, training=STILL,
    ),
    "ChannelNorm": LayerType(
        options="", arity=ONE_TO_ONE, shapes=motion.channel_norm, weights=NO_WEIGHTS,
        memory=OWN_TOPS, in_place=NOT_SEEN, gradient=READS_BOTH, role=COMPUTES, training=STILL,
    ),
    "Correlation": LayerType(
        options="correlation_param", arity=Arity(TWO, ONE), shapes=motion.correlation,
        weights=NO_WEIGHTS, memory=keeps(motion.correlation_kept), in_place=NOT_SEEN, gradient=READS_NOTHING,
        role=COMPUTES, training=STILL,
    ),
    "Correlation1D": LayerType(
        options="correlation_param", arity=Arity(TWO, ONE), shapes=motion.correlation_1d,
        weights=NO_WEIGHTS, memory=keeps(motion.correlation_kept), in_place=NOT_SEEN, gradient=READS_NOTHING,
        role=COMPUTES, training=STILL,
    ),
    "DataAugmentation": LayerType(
        options="augmentation_param", arity=Arity(ONE_OR_TWO, ONE_OR_TWO),
        shapes=motion.data_augmentation, weights=NO_WEIGHTS, memory=OWN_TOPS, in_place=NOT_SEEN,
        gradient=READS_NOTHING, role=COMPUTES,
        training=draws_in_train(True)._replace(draws_in_test=motion.augments, remembers=True),
    ),
    "Downsample": LayerType(
        options="downsample_param", arity=Arity(ONE_OR_TWO, ONE), shapes=motion.downsample,
        weights=NO_WEIGHTS, memory=OWN_TOPS, in_place=NOT_SEEN, gradient=READS_NOTHING, role=COMPUTES, training=STILL,
    ),
    "FlowWarp": LayerType(
        options="flow_warp_param", arity=Arity(TWO, ONE), shapes=motion.flow_warp,
        weights=NO_WEIGHTS, memory=keeps(as_bottom), in_place=NOT_SEEN, gradient=READS_BOTTOMS,
        role=COMPUTES, training=STILL,
    ),
    "L1Loss": LayerType(
        options="l1_loss_param", arity=Arity(ONE_OR_TWO, UP_TO_ONE),
        shapes=losses.distance_loss, weights=NO_WEIGHTS, memory=keeps(losses.smooth_l1_kept), in_place=NOT_SEEN,
        gradient=READS_NOTHING, role=Role(Kind.LOSS), training=STILL,
    ),
    "LpqLoss": LayerType(
        options="lpq_loss_param", arity=Arity(ONE_OR_TWO, UP_TO_ONE), shapes=losses.distance_loss,
        weights=NO_WEIGHTS, memory=keeps(losses.smooth_l1_kept), in_place=NOT_SEEN, gradient=READS_NOTHING,
        # Its powers go by the number of passes.
        role=Role(Kind.LOSS), training=REMEMBERING,
    ),
    "Mean": LayerType(
        options="mean_param", arity=Arity(SOME, SOME, paired=True), shapes=motion.as_bottoms,
        weights=NO_WEIGHTS, memory=OWN_TOPS, in_place=NOT_SEEN, gradient=READS_NOTHING, role=COMPUTES, training=STILL,
    ),
    "NegReLU": LayerType(
        options="relu_param", arity=ONE_TO_ONE, shapes=pointwise.same, weights=NO_WEIGHTS,
        memory=OWN_TOPS, in_place=pointwise.relu_in_place, gradient=READS_BOTTOMS, role=COMPUTES, training=STILL,
    ),
    "Resample": LayerType(
        options="resample_param", arity=Arity(ONE_OR_TWO, ONE), shapes=motion.resample,
        weights=NO_WEIGHTS, memory=OWN_TOPS, in_place=NOT_SEEN, gradient=READS_NOTHING, role=COMPUTES, training=STILL,
    ),
}
# fmt: on

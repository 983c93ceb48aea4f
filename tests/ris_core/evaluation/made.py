"""Records made by hand, and what stands for a method's answer to one expression."""

from ris_core.evaluation.record import EvaluatedExpression, EvaluatedImage, ScoredAnswer


def outcome(intersection=0, union=0, answer=None, first_union=None, hit=0, score=0.0):
    """An outcome; an answer that is not said covers the intersection."""
    return ScoredAnswer(
        intersection_px=intersection,
        union_px=union,
        answer_px=intersection if answer is None else answer,
        first_union_px=union if first_union is None else first_union,
        first_hit=hit,
        score=score,
    )


def asked(*outcomes, targets=1, truth_px=100, kind="noun", same_class=0, names=("m", "oracle")):
    """An expression with the outcomes of the methods and of the oracle; the last is used for who is not named."""
    every = {name: outcomes[min(i, len(outcomes) - 1)] for i, name in enumerate(names)}
    return EvaluatedExpression("id", "text", kind, same_class, targets, truth_px, every)


def record(image_id, *expressions, part="main", proposals=3, image_px=10_000, objects=()):
    """An image; objects are pairs of area and IoU."""
    return EvaluatedImage(
        image_id,
        part,
        image_px,
        proposals,
        0.5,
        [px for px, _ in objects],
        [iou for _, iou in objects],
        list(expressions),
    )
